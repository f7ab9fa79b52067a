"""A gate's result in words: Prefect's artifact, and one sentence for its state."""

from assay.records import VerdictKind
from assay.verdict_markdown import as_markdown as verdict_as_markdown
from flows.conclude import GateResult


def as_markdown(result: GateResult) -> str:
    """Returns the verdict, the reason, what to do next and the gating findings as Markdown."""
    run = result.verdict.context.run_id
    notes = [f"Recorded verdict of run `{run}`; nothing was run again."] if result.reused else []
    if result.not_promoted is not None:
        notes.append(f"**Not promoted**: {result.not_promoted}")
    return verdict_as_markdown(result.verdict, evidence=result.evidence_dir, notes=notes)


def one_line(result: GateResult) -> str:
    """Returns the verdict and what became of the alias, in one sentence."""
    verdict, promotion = result.verdict, result.promotion
    if verdict.verdict is VerdictKind.PROMOTE and promotion is not None:
        return f"{verdict.summary} ({promotion.reason})"
    return verdict.summary
