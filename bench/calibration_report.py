"""Writes the figures of the calibration study into docs/statistics.md, and draws them.

    python -m bench.calibration_report

Decides how the study is shown; every number comes from bench/results/*.json.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.calibration import standing

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "statistics.md"
PICTURE = ROOT / "docs" / "calibration.svg"

GATES = {
    "assay": "this gate",
    "no_drop": "no class may drop",
    "mcnemar": "McNemar on accuracy",
    "mlflow": "MLflow, macro-F1",
}
TESTS = {"tilted": "this gate", "percentile": "percentile bootstrap", "bca": "BCa bootstrap"}


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Returns a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def percent(value: float) -> str:
    """Returns a share as a percentage with one decimal."""
    return f"{100 * value:.1f} %"


def class_tests(rows: Sequence[Mapping[str, Any]]) -> str:
    """Ranges of the false-promotion rate, by the number of discordant cases in the class."""
    bands = [(0, 4.5), (4.5, 10), (10, 30), (30, 1000)]
    names = ["fewer than 5", "5 to 10", "10 to 30", "more than 30"]
    lines = []
    for (low, high), name in zip(bands, names, strict=True):
        held = [row for row in rows if low <= row["discordant"] < high]
        spans = [[row[test] for row in held] for test in TESTS]
        lines.append([name, len(held), *(f"{percent(min(s))} to {percent(max(s))}" for s in spans)])
    return table(["discordant cases in the class", "cells", *TESTS.values()], lines)


def few_discordant(rows: Sequence[Mapping[str, Any]]) -> str:
    """The cells with few discordant cases, one by one, beside what any honest test could pass."""
    held = sorted((row for row in rows if "attainable" in row), key=lambda row: row["discordant"])
    head = ["discordant cases in the class", "cases of the class", "margin", "disagreement"]
    return table(
        [*head, "this gate", "the most any test could pass", "so this gate is"],
        [
            [
                row["discordant"],
                f"{row['positives']:.0f}",
                row["margin"],
                f"{row['ratio']:g} margins",
                percent(row["tilted"]),
                percent(row["attainable"]),
                standing(row),
            ]
            for row in held
        ],
    )


def standings(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many cells stand where."""
    counts = Counter(standing(row) for row in rows)
    return table(["where a cell stands", "cells"], [[k, n] for k, n in sorted(counts.items())])


def clusters(rows: Sequence[Mapping[str, Any]]) -> str:
    """Several answers to a case: false promotion, and what each way of resampling states."""
    head = ["cases of the class", "chance that an answer is the case's own", "this gate"]
    return table(
        [
            *head,
            "every answer taken for a case",
            "standard error stated / true: whole cases",
            "cases, then answers",
        ],
        [
            [
                f"{row['positives']:.0f}",
                f"{100 * row['kept']:.0f} %",
                percent(row["tilted"]),
                percent(row["answers_as_cases"]),
                f"{row['spread_whole_cases']:.2f}",
                f"{row['spread_cases_then_answers']:.2f}",
            ]
            for row in rows
        ],
    )


def power(rows: Sequence[Mapping[str, Any]]) -> str:
    """Chance that a class that is exactly as good passes at the margin 0.05."""
    ratios = sorted({row["ratio"] for row in rows})
    positives = sorted({row["positives"] for row in rows})
    found = {(row["positives"], row["ratio"]): row["tilted"] for row in rows}
    head = ["cases of the class", *(f"{5 * ratio:.0f} % of them discordant" for ratio in ratios)]
    return table(
        head, [[f"{n:.0f}", *(percent(found[n, ratio]) for ratio in ratios)] for n in positives]
    )


def family(rows: Sequence[Mapping[str, Any]]) -> str:
    """How often equal candidates are blamed, and blocked."""
    head = ["structure", "cases", "answers changed", "some class shown worse", "blocked"]
    return table(
        [*head, "blocked by “no class may drop”"],
        [
            [
                row["structure"],
                row["n"],
                percent(row["discordance"]),
                percent(row["max_t"]),
                percent(row["blocked"]),
                percent(row["no_class_may_drop"]),
            ]
            for row in rows
        ],
    )


def gates(rows: Sequence[Mapping[str, Any]]) -> str:
    """Whole gates on equal candidates and on candidates with one broken class."""
    head = ["candidate", "cases", "answers changed"]
    head += [f"promoted by {name}" for name in GATES.values()]
    return table(
        [*head, "blocked by this gate"],
        [
            [
                "one class 0.10 worse" if row["true_drop"] else "as good",
                row["n"],
                percent(row["discordance"]),
                *(percent(row[gate]) for gate in GATES),
                percent(row["assay_block"]),
            ]
            for row in sorted(rows, key=lambda row: row["true_drop"])
        ],
    )


def speed(result: Mapping[str, Any]) -> str:
    """The times of bench.judgement."""
    timed = {name: value for name, value in result.items() if isinstance(value, dict)}
    small = next(iter(timed.values()))
    rows = [[name, f"{value['judged_s']:.2f} s"] for name, value in timed.items()]
    rows += [
        ["1,000,000 cases over 500", f"{result['large_over_small']:g} times"],
        ["one resampling of 500 cases from counts", f"{small['resampled_once_s']:.3f} s"],
        [
            "the same through `sklearn.metrics.f1_score`, one replicate at a time",
            f"{small['looped_over_scikit_learn_s']:.0f} s, "
            f"{result['loop_over_one_resampling']:g} times as long",
        ],
        [
            "the whole judgement against that one loop",
            f"{result['loop_over_whole_judgement']:g} times as fast",
        ],
        ["peak memory of the process", f"{result['peak_memory_mb']} MB"],
    ]
    return table(["what", "processor time"], rows)


def draw(rows: Sequence[Mapping[str, Any]], alpha: float) -> None:
    """Draws false promotion against the number of discordant cases."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    # The same bytes for the same figures.
    matplotlib.rcParams["svg.hashsalt"] = "assay"
    figure, axes = pyplot.subplots(figsize=(7.5, 4.2), layout="constrained")
    marks = {"tilted": ("o", "#0b6e4f"), "percentile": ("x", "#b3541e"), "bca": ("+", "#6a4c93")}
    for test, (mark, colour) in marks.items():
        axes.scatter(
            [row["discordant"] for row in rows],
            [100 * row[test] for row in rows],
            marker=mark,
            color=colour,
            label=TESTS[test],
            s=28,
        )
    axes.axhline(100 * alpha, color="black", linewidth=0.8)
    axes.annotate("nominal", (400, 100 * alpha), xytext=(0, 3), textcoords="offset points")
    axes.set_xscale("log")
    axes.set_xlabel("discordant cases of the class (mean)")
    axes.set_ylabel("promoted although worse by the margin, %")
    axes.set_title("A class whose F1 is worse by exactly the margin: how often its test passes")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURE, metadata={"Date": None})


def filled(text: str) -> str:
    """Returns the page with every table written anew from the results."""
    study = json.loads((RESULTS / "calibration.json").read_text())
    parts = {
        "class_tests": class_tests(study["class_tests"]),
        "standings": standings(study["class_tests"]),
        "few_discordant": few_discordant(study["class_tests"]),
        "clusters": clusters(study["clusters"]),
        "power": power(study["power"]),
        "family": family(study["family"]),
        "gates": gates(study["gates"]),
        "speed": speed(json.loads((RESULTS / "judgement.json").read_text())),
    }
    for name, body in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        replacement = f"{begin}\n{body}\n{end}"
        text, count = re.subn(pattern, lambda _, new=replacement: new, text, flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f"{PAGE}: expected {begin} … {end} once, found {count}")
    return text


def main() -> None:
    """Fills the page's figures in, and draws them."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    study = json.loads((RESULTS / "calibration.json").read_text())
    draw(study["class_tests"], study["alpha"])


if __name__ == "__main__":
    main()
