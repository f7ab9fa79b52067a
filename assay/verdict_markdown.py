"""A verdict as Markdown: a CI job's summary, a pull request, Prefect's artifact.

Decides what a reader sees first (the answer, why, what to do) and that nothing a verdict quotes can
become mark-up; leaves the words to the verdict and the whole story to the report.
"""

from collections.abc import Sequence
from pathlib import Path

from assay.records import Finding, FindingStatus, Verdict
from assay.verdict import DECIMALS

SIGNS = {
    FindingStatus.PASSED: "✓",
    FindingStatus.FAILED: "✗",
    FindingStatus.UNDECIDED: "?",
}


def as_markdown(
    verdict: Verdict, *, evidence: Path | None = None, notes: Sequence[str] = ()
) -> str:
    """Returns the verdict, the reason, what to do next and the gating findings as Markdown.

    Args:
        verdict: what is told.
        evidence: the folder that proves it, where there is one.
        notes: Markdown sentences about this run that the verdict itself does not say.
    """
    gating = [finding for finding in verdict.findings if finding.gating]
    lines = [f"# {verdict.verdict.value}", "", _inline(verdict.summary), ""]
    for note in notes:
        lines += [note, ""]
    if verdict.next_steps:
        steps = (f"- {_inline(step)}" for step in verdict.next_steps)
        lines += ["## What to do next", "", *steps, ""]
    lines += _open_questions(gating)
    if gating:
        lines += [
            "## Findings",
            "",
            "| | check | candidate | production | bound | margin | n |",
            "|---|---|---|---|---|---|---|",
            *(_row(finding) for finding in gating),
            "",
        ]
    if evidence is not None:
        where = f"Evidence: `{evidence}` (open `report.html`)"
        lines += [f"{where}; prove it: `assay verify {evidence}`", ""]
    return "\n".join(lines)


def _open_questions(gating: Sequence[Finding]) -> list[str]:
    """The reason of each check that did not pass, folded away."""
    unsettled = [finding for finding in gating if finding.status is not FindingStatus.PASSED]
    if not unsettled:
        return []
    reasons = (f"- {SIGNS[f.status]} `{_code(f.metric)}`: {_inline(f.reason)}" for f in unsettled)
    head = f"<details><summary>Why {len(unsettled)} of {len(gating)} did not pass</summary>"
    return [head, "", *reasons, "", "</details>", ""]


def _row(finding: Finding) -> str:
    numbers = (finding.candidate, finding.production, finding.bound, finding.margin)
    # Rounded first as `verdict.json` is, so that a stored verdict gives the same page.
    shown = " | ".join("–" if n is None else f"{round(n, DECIMALS):.4g}" for n in numbers)
    support = "–" if finding.n is None else str(finding.n)
    # A class may be named `a|b`, and ends no cell.
    metric = _code(finding.metric).replace("|", "\\|")
    return f"| {SIGNS[finding.status]} | `{metric}` | {shown} | {support} |"


def _inline(sentence: str) -> str:
    """One line in which nothing is mark-up but the code that verdicts quote names in."""
    line = " ".join(sentence.split())
    # An @name would notify whoever has that name; brackets would make a link or an image.
    for sign, harmless in {"&": "&amp;", "<": "&lt;", "[": "&#91;", "@": "&#64;"}.items():
        line = line.replace(sign, harmless)
    return line


def _code(name: str) -> str:
    return " ".join(name.split()).replace("`", "ˋ")
