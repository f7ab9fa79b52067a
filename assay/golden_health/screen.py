"""A golden set's health on one screen of a terminal: counts, power, and what needs attention.

Decides the layout; every figure is the health's.
"""

from typing import Any

from assay.golden_health.health import Check, Health
from assay.records import FindingStatus

_BAR = 24
_SIGNS = {FindingStatus.FAILED: "✗", FindingStatus.UNDECIDED: "?"}


def screen(health: Health) -> list[str]:
    """Returns the lines."""
    counts = health.tables["counts"]
    lines = [health.summary, f"{health.cases} cases · {health.digest}", ""]
    lines += _by_label(counts, {row["label"]: row for row in health.tables.get("power", ())})
    lines += ["", *_shares(counts)]
    if drift := health.tables.get("drift"):
        lines += ["", "aspect      p (Holm)   JS bits      PSI"]
        lines += [
            f"{x['aspect']:<10} {x['adjusted']:>9.3g} {x['js']:>9.3f} {x['psi']:>8.2f}"
            for x in drift
        ]
    attention = [c for c in health.checks if c.status is not FindingStatus.PASSED]
    if attention:
        lines += ["", "What needs attention, or could not be told:"]
        lines += [_line(check) for check in attention]
    return lines


def _by_label(counts: Any, power: dict[str, Any]) -> list[str]:
    by_label, langs = counts["by_label"], list(counts["by_lang"])
    width = max(map(len, (*by_label, "label")))
    most = max(by_label.values())
    head = f"{'label':<{width}}  {'cases':>6}  " + "  ".join(f"{lang:>6}" for lang in langs)
    lines = [head + ("  needed" if power else "")]
    for label, cases in by_label.items():
        cells = "  ".join(f"{counts['by_label_lang'][label][lang]:>6}" for lang in langs)
        needed = f"  {power[label]['needed_many']:>6}" if label in power else ""
        bar = "█" * max(1, round(_BAR * cases / most))
        lines.append(f"{label:<{width}}  {cases:>6}  {cells}{needed}  {bar}")
    return lines


def _shares(counts: Any) -> list[str]:
    lines = []
    for title, key in (
        ("strata", "by_stratum"),
        ("sources", "by_source"),
        ("added in", "by_added_in"),
    ):
        cells = ", ".join(f"{name} {n}" for name, n in counts[key].items())
        lines.append(f"{title + ':':<10} {cells}")
    lengths = counts["text_length"]
    if lengths:
        lines.append(
            f"{'length:':<10} {lengths['smallest']} to {lengths['largest']} characters, median "
            f"{lengths['median']}"
        )
    return lines


def _line(check: Check) -> str:
    note = "" if check.gating else " (informs only)"
    return f"{_SIGNS[check.status]} {check.name}{note}: {check.reason}"
