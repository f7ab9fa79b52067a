"""The page about a golden set's health: self-contained HTML in the style of the gate's report.

Decides what stands where. Every number comes from `Health`; nothing is loaded from anywhere, no
script is run, every name is treated as untrusted, and no case text is in it. The words that tell
the set from traffic are named only where they are common (`drift.telling_words`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from assay.golden_health.health import Check, Health
from assay.golden_health.plots import bars_svg, pairs_svg, stacked_svg
from assay.records import FindingStatus
from assay.report import page_template
from assay.report_numbers import MISSING, number, p_value
from assay.report_svg import drawing
from assay.report_tables import Grid

TITLES: Mapping[str, str] = {
    "provenance": "Who published it",
    "structure": "Structure and copies",
    "labels": "Labels",
    "strata": "Random sample and chosen cases",
    "power": "Power of each class",
    "answers": "What models made of it",
    "wear": "Age and use",
    "traffic": "Coverage of traffic",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A drawing with what a reader who does not see it is told; `legend` is (style, word)."""

    title: str
    svg: Markup
    spoken: str
    caption: str = ""
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One area: its checks, then plots and tables that they rest on."""

    id: str
    title: str
    checks: tuple[Check, ...]
    plots: tuple[Plot, ...]
    grids: tuple[Grid, ...]

    @property
    def tally(self) -> Mapping[str, int]:
        """Deciding checks by status."""
        return {
            status.value: sum(c.gating and c.status is status for c in self.checks)
            for status in (FindingStatus.FAILED, FindingStatus.UNDECIDED, FindingStatus.PASSED)
        }


def write_page(path: Path, health: Health) -> None:
    """Writes the page, whole or not at all; the folder must exist."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(render_page(health).encode("utf-8", errors="replace"))
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def render_page(health: Health) -> str:
    """Returns the page's HTML; the same health gives the same bytes."""
    with drawing():
        parts = _parts(health)
    todo = [c for c in health.checks if c.action and c.status is FindingStatus.FAILED]
    return page_template("golden_health.html.j2").render(
        health=health,
        parts=parts,
        todo=sorted(todo, key=lambda check: not check.gating),
        unknown=health.undecided,
    )


def _parts(health: Health) -> list[Part]:
    tables = health.tables
    drawn = {
        "structure": ((), _near_duplicates(tables)),
        "labels": (_counted(tables), _labels(tables)),
        "power": (_power(tables), ()),
        "answers": (_answers(tables), ()),
        "wear": ((), _versions(tables)),
        "traffic": (_drift(tables), _effects(tables)),
    }
    parts = []
    for area in dict.fromkeys(check.area for check in health.checks):
        plots, grids = drawn.get(area, ((), ()))
        parts.append(
            Part(
                id=area,
                title=TITLES.get(area, area.capitalize()),
                checks=tuple(check for check in health.checks if check.area == area),
                plots=tuple(plots),
                grids=tuple(grids),
            )
        )
    return parts


def _grid(key: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Grid:
    return Grid(
        id=f"table-{key}", title=title, columns=tuple(columns), rows=tuple(map(tuple, rows))
    )


def _spoken(names: Sequence[str], values: Sequence[object]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))


def _counted(tables: Mapping[str, Any]) -> list[Plot]:
    plots = []
    for title, key in (
        ("Cases of each label", "by_label"),
        ("Cases of each language", "by_lang"),
        ("Cases of each slice", "by_slice"),
    ):
        counts = tables["counts"][key]
        if counts:
            names, values = list(counts), list(counts.values())
            svg = bars_svg(names, values, name=f"plot-{key}")
            plots.append(Plot(title=title, svg=svg, spoken=_spoken(names, values)))
    return plots


def _power(tables: Mapping[str, Any]) -> list[Plot]:
    rows = tables.get("power")
    if not rows:
        return []
    names = [row["label"] for row in rows]
    cases = [row["cases"] for row in rows]
    needed = [row["needed_many"] for row in rows]
    return [
        Plot(
            title="Core cases of each class, and what its margin takes",
            svg=bars_svg(names, cases, name="plot-power", marks=needed),
            spoken=_spoken(names, [f"{c} of {n}" for c, n in zip(cases, needed, strict=True)]),
            caption="At the mark, an equal candidate that was trained anew usually passes "
            f"(margin {rows[0]['margin']:g}"
            + (", or the class's own)." if len({row["margin"] for row in rows}) > 1 else ")."),
            legend=(("key", "core cases"), ("key objective", "cases needed")),
        )
    ]


def _answers(tables: Mapping[str, Any]) -> list[Plot]:
    found = tables.get("answers")
    if not found:
        return []
    names = list(found["by_label"])
    parts = [tuple(found["by_label"][name]) for name in names]
    return [
        Plot(
            title="Cases by how many of the models answer right",
            svg=stacked_svg(names, parts, name="plot-answers"),
            spoken=_spoken(names, [f"never {a}, sometimes {b}, always {c}" for a, b, c in parts]),
            caption=f"{found['cases']} cases, answered by {', '.join(found['models'])}. Red: by "
            "none; grey: by some; green: by all.",
        )
    ]  # fmt: skip


def _drift(tables: Mapping[str, Any]) -> list[Plot]:
    plots = []
    for one in tables.get("drift", ()):
        names = one["bins"]
        percents = [
            f"{100 * ours:.1f} % of the set, {100 * theirs:.1f} % of traffic"
            for ours, theirs in zip(one["golden"], one["traffic"], strict=True)
        ]
        unit = " (characters)" if one["aspect"] == "lengths" else ""
        plots.append(
            Plot(
                title=one["aspect"].capitalize() + unit,
                svg=pairs_svg(names, one["golden"], one["traffic"], name=f"plot-{one['aspect']}"),
                spoken=_spoken(names, percents),
                legend=(("key", "golden core"), ("key bars", "traffic")),
            )
        )
    return plots


def _effects(tables: Mapping[str, Any]) -> list[Grid]:
    grids = []
    if drift := tables.get("drift"):
        rows = [
            [x["aspect"], x["method"], p_value(x["adjusted"]), f"{x['js']:.3f}", f"{x['psi']:.2f}"]
            for x in drift
        ]
        head = ("", "Test", "p (Holm)", "JS, bits", "PSI")
        grids.append(_grid("drift", "Tests, and sizes of effect", head, rows))
    if words := tables.get("words"):
        rows = [[w["word"], number(w["golden"], "1"), number(w["traffic"], "1")] for w in words]
        columns = ("Word", "Texts of the set", "Texts of traffic")
        grids.append(_grid("words", "Words that tell them apart", columns, rows))
    return grids


def _near_duplicates(tables: Mapping[str, Any]) -> list[Grid]:
    pairs = tables.get("near_duplicates")
    if not pairs:
        return []
    rows = [
        [x["first"], x["second"], f"{x['similarity']:.0f}", "yes" if x["same_label"] else "no"]
        for x in pairs
    ]
    columns = ("Case", "Repeats it", "Similarity", "Same label")
    return [_grid("near-duplicates", "Cases that say the same", columns, rows)]


def _labels(tables: Mapping[str, Any]) -> list[Grid]:
    grids = []
    if found := tables.get("agreement"):
        rows = [[label, *_alpha(one)] for label, one in found["by_label"].items()]
        rows.append(["all", *_alpha(found["overall"])])
        columns = ("Label", "Alpha", "95 % interval", "Cases")
        grids.append(_grid("agreement", "Agreement of annotators", columns, rows))
    if suspects := tables.get("suspects"):
        rows = [[x["id"], x["label"], f"{x['score']:.3f}", str(x["models"])] for x in suspects]
        columns = ("Case", "Label", "Score", "Models")
        grids.append(_grid("suspects", "Labels to look at first", columns, rows))
    return grids


def _alpha(one: Mapping[str, Any]) -> list[str]:
    low_high = one["interval"]
    return [
        MISSING if one["alpha"] is None else f"{one['alpha']:.3f}",
        MISSING if low_high is None else f"{low_high[0]:.3f} to {low_high[1]:.3f}",
        str(one["units"]),
    ]


def _versions(tables: Mapping[str, Any]) -> list[Grid]:
    dates, added = tables.get("versions", {}), tables["counts"]["by_added_in"]
    rows = [[version, dates.get(version, MISSING), str(n)] for version, n in added.items()]
    return [_grid("versions", "Where cases came in", ("Version", "Day", "Cases"), rows)]
