"""Writes the figures of the load benchmarks into docs/latency.md.

    python -m bench.load_report

Decides how they are shown; every number comes from bench/results/load*.json. A client that was not
there, or that failed, is named in the table's place.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.calibration_report import table
from bench.load import CONNECTIONS, middle
from bench.peers import ASSAY

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "latency.md"

Rows = Sequence[Mapping[str, Any]]


def clients(rows: Rows) -> list[str]:
    """Returns the clients that were measured, in order."""
    return list(dict.fromkeys(str(row["client"]) for row in rows))


def number(value: float | None, digits: int = 2) -> str:
    """Returns a figure, or a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def ratio(own: float | None, other: float | None) -> str:
    """Returns how many times the other's figure ours is."""
    return "–" if not own or not other else f"{own / other:.2f}"


def rate(rows: list[dict[str, Any]]) -> str:
    """Requests per core of each client, and ours over theirs."""
    head = ["client"]
    for connections in CONNECTIONS:
        head += [f"per core second, {connections} connections", "ours is × as many", "a second"]
    lines = []
    for client in clients(rows):
        line = [client]
        for connections in CONNECTIONS:
            at = {"connections": connections}
            own = middle(rows, ASSAY, "rate", "per_core_s", **at)
            theirs = middle(rows, client, "rate", "per_core_s", **at)
            seen = middle(rows, client, "rate", "per_s", **at)
            line += [number(theirs, 0), ratio(own, theirs), number(seen, 0)]
        lines.append(line)
    return table(head, lines)


def schedule(rows: list[dict[str, Any]]) -> str:
    """Punctuality of each client at half its own rate."""
    names = ("rate_per_s", "late_p50", "late_p99")
    lines = [
        [client]
        + [
            number(middle(rows, client, "schedule", n), 0 if n == "rate_per_s" else 2)
            for n in names
        ]
        for client in clients(rows)
    ]
    return table(["client", "requests a second", "late, p50 (ms)", "late, p99 (ms)"], lines)


def added(rows: list[dict[str, Any]]) -> str:
    """What each client adds to the time to the first token."""
    lines = [
        [client]
        + [number(middle(rows, client, "added", name)) for name in ("added_p50", "added_p99")]
        for client in clients(rows)
    ]
    return table(["client", "added, p50 (ms)", "added, p99 (ms)"], lines)


def targets(rows: Rows) -> str:
    """The targets, and whether they were met."""
    said = {True: "met", False: "**missed**", None: "not measured"}
    return table(
        ["target", "limit", "measured", ""],
        [[r["target"], f"{r['limit']:g}", number(r["value"]), said[r["met"]]] for r in rows],
    )


def about(result: Mapping[str, Any]) -> str:
    """The machine, the versions and the clients that are missing."""
    machine, versions = result["machine"], result["versions"]
    rounds = "One round" if result["rounds"] == 1 else f"{result['rounds']} rounds"
    lines = [
        f"{rounds} in turn on {machine['cores']} cores ({machine['processor']}, "
        f"Python {machine['python']}), client and engine on a core each"
        + (", times taken ahead of the machine's other work." if result["preferred"] else "."),
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
    ]
    lines += [f"{name}: {why}." for name, why in result["missing"].items()]
    return "\n".join(lines)


def truth(result: Mapping[str, Any]) -> str:
    """Reported and true percentiles of each model of arrivals."""
    lines = []
    for name, model in result["models"].items():
        line = [name, model["requests"]]
        for share in (0.5, 0.9, 0.99):
            found = next(
                r for r in model["percentiles"] if (r["kind"], r["share"]) == ("ttft", share)
            )
            line.append(f"{number(found['reported_ms'], 1)} ({number(found['true_ms'], 1)})")
        line.append(f"{100 * model['worst_of_allowed']:.0f} %")
        lines.append(line)
    head = ["arrivals", "requests", "TTFT p50 (truth), ms", "p90", "p99"]
    return table([*head, "largest error of all 20 percentiles, of the allowed"], lines)


def stall(result: Mapping[str, Any]) -> str:
    """What a hang of two seconds looks like to different clients."""
    names = list(next(iter(result["stall"].values())))
    return table(
        ["how it is measured", *(f"{n} (ms)" for n in names)],
        [
            [who, *(number(v, 0) for v in values.values())]
            for who, values in result["stall"].items()
        ],
    )


def limits(result: Mapping[str, Any]) -> str:
    """How large a backlog one core can read in time."""
    head = ["requests a second", "pieces a second when the hang ends"]
    kinds = {"ttft": "TTFT", "itl": "between tokens", "tpot": "TPOT", "e2e": "end to end"}
    return table(
        [*head, *(f"{name}: error, of the allowed" for name in kinds.values())],
        [
            [f"{row['rate_per_s']:g}", number(row["busiest_pieces_per_s"], 0)]
            + [f"{100 * row[f'{kind}_of_allowed']:,.0f} %" for kind in kinds]
            for row in result["limits"]
        ],
    )


def vllm(result: Mapping[str, Any]) -> str:
    """What each client says of the same prompts at the same rate on vLLM."""
    rows = result["rows"]
    names = ["ttft_p50", "ttft_p90", "ttft_p99", "e2e_p50", "e2e_p99"]
    names += ["ttft_mean", "engine_ttft_mean"]
    head = ["client", "TTFT p50", "p90", "p99", "end to end p50", "p99"]
    lines = []
    for client in clients(rows):
        own = [row for row in rows if row["client"] == client]
        values = [[row[name] for row in own if row.get(name) is not None] for name in names]
        lines.append([client, *(number(median(v) if v else None, 1) for v in values)])
    lines += [[name, why, *["–"] * 6] for name, why in result["missing"].items()]
    figures = table([*head, "TTFT mean", "TTFT mean by `/metrics`"], lines)
    memory = result["idle_engine_gib"]
    return (
        f"{figures}\n\n{result['rate_per_s']:g} requests a second, answers of "
        f"{result['max_tokens']} tokens. The idle engine held {memory:g} GiB of memory of its own, "
        "with 1 GiB set for its cache."
    )


def filled(text: str) -> str:
    """Returns the page with every table written anew from the results."""
    speed = json.loads((RESULTS / "load.json").read_text())
    true = json.loads((RESULTS / "load_truth.json").read_text())
    parts = {
        "targets": targets(speed["targets"]),
        "about": about(speed),
        "rate": rate(speed["rows"]),
        "schedule": schedule(speed["rows"]),
        "added": added(speed["rows"]),
        "truth": truth(true),
        "stall": stall(true),
        "limits": limits(true),
        "vllm": vllm(json.loads((RESULTS / "load_vllm.json").read_text())),
        "settle": f"```\n{(RESULTS / 'settle.txt').read_text()}```",
    }
    for name, body in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        replacement = f"{begin}\n{body}\n{end}"
        text, count = re.subn(pattern, lambda _, new=replacement: new, text, flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f"{PAGE}: expected {begin} … {end} once, found {count}")
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
