"""Verdicts of runs that never came to a judgement: refused artifacts and unmeasurable runs.

Decides how the two look; when they arise is the gate's to say. An artifact that is not what it
claims to be is a `block` with the check as its one finding. A run that could not measure is
`invalid`, and its context names the problem. Neither holds a number about the candidate.
"""

from assay import digests
from assay.evidence import context_to_json
from assay.records import Finding, FindingStatus, RunContext, Verdict, VerdictKind
from assay.verdict import decide, next_steps, summarise

EVALUATOR = "artifact"


def rejected(context: RunContext, reason: str) -> Verdict:
    """Returns the `block` of an artifact that was refused before anything of it ran.

    Args:
        context: of the run; its candidate may be None, since nothing was verified.
        reason: what was found, where, and what to do.
    """
    finding = Finding(
        evaluator=EVALUATOR,
        metric=f"{EVALUATOR}/verified",
        kind="limit",
        status=FindingStatus.FAILED,
        reason=reason if reason.endswith(".") else reason + ".",
    )
    return Verdict(
        verdict=VerdictKind.BLOCK,
        summary=f"The candidate was refused before anything of it ran: {finding.reason}",
        findings=(finding,),
        next_steps=(
            "Publish the model again as a new version, from a source you trust, and gate that one.",
            "If nobody changed the artifact on purpose, find out who could write to the store.",
        ),
        inputs=_inputs(context),
        metrics={},
        seed=_seed(context),
        only=(),
        context=context,
    )


def unmeasured(context: RunContext) -> Verdict:
    """Returns the `invalid` verdict of a run whose context names what kept it from measuring."""
    kind = decide((), context.problems)
    return Verdict(
        verdict=kind,
        summary=summarise(kind, (), context.problems, context),
        findings=(),
        next_steps=next_steps(kind, (), context.problems),
        inputs=_inputs(context),
        metrics={},
        seed=_seed(context),
        only=(),
        context=context,
    )


def _inputs(context: RunContext) -> dict[str, str]:
    inputs = dict(context.digests)
    for role, ref in (("candidate", context.candidate), ("production", context.production)):
        if ref is not None:
            inputs[f"{role}_artifact"] = ref.digest
    return inputs


def _seed(context: RunContext) -> int:
    return int(digests.of_json(context_to_json(context)).removeprefix("sha256:")[:16], 16)
