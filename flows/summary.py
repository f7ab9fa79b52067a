"""A gate's result as Markdown: for Prefect's artifact, a pull request, a job summary."""

from assay.records import Finding, FindingStatus, VerdictKind
from flows.conclude import GateResult

SIGNS = {
    FindingStatus.PASSED: "✓",
    FindingStatus.FAILED: "✗",
    FindingStatus.UNDECIDED: "?",
}


def as_markdown(result: GateResult) -> str:
    """Returns the verdict, the reason, what to do next and the gating findings as Markdown."""
    verdict = result.verdict
    lines = [f"# {verdict.verdict.value}", "", verdict.summary, ""]
    if result.reused:
        lines += [f"Recorded verdict of run `{verdict.context.run_id}`; nothing was run again.", ""]
    if verdict.next_steps:
        lines += ["## What to do next", "", *(f"- {step}" for step in verdict.next_steps), ""]
    gating = [finding for finding in verdict.findings if finding.gating]
    if gating:
        lines += [
            "## Findings",
            "",
            "| | check | candidate | production | bound | margin | n |",
            "|---|---|---|---|---|---|---|",
            *(_row(finding) for finding in gating),
            "",
        ]
    lines.append(f"Evidence: `{result.evidence_dir}` (open `report.html`)")
    return "\n".join(lines)


def one_line(result: GateResult) -> str:
    """Returns the verdict and what became of the alias, in one sentence."""
    verdict, promotion = result.verdict, result.promotion
    if verdict.verdict is VerdictKind.PROMOTE and promotion is not None:
        return f"{verdict.summary} ({promotion.reason})"
    return verdict.summary


def _row(finding: Finding) -> str:
    numbers = (finding.candidate, finding.production, finding.bound, finding.margin)
    shown = " | ".join("–" if number is None else f"{number:.4g}" for number in numbers)
    support = "–" if finding.n is None else str(finding.n)
    metric = finding.metric.replace("|", "\\|")  # a class may be named so, and ends no cell
    return f"| {SIGNS[finding.status]} | `{metric}` | {shown} | {support} |"
