"""Events about releases, for Prefect's automations: their names, their resource, their payload.

==============================  =================================================================
event                           a gate ended, and
==============================  =================================================================
``assay.release.promoted``      the candidate may be used: its verdict is promote, and it is in
                                production wherever there is an alias to move; or people signed an
                                override and it was moved (the payload's ``verdict`` says which)
``assay.release.held``          its verdict is promote and it is not in production all the same:
                                ``reason`` says why (nobody approved it, somebody else was faster)
``assay.release.blocked``       it is worse than it may be
``assay.release.inconclusive``  too few cases to tell; the evidence holds the work order
``assay.release.invalid``       the measurement cannot be trusted; nothing is known
==============================  =================================================================

Decides what an event says. A gate that ends without a verdict (an error, a crash) raises none of
them: its flow run fails, which Prefect itself announces.
"""

from typing import Any

from prefect.events import emit_event

from assay.records import VerdictKind
from flows.conclude import GateResult

PREFIX = "assay.release."

_OUTCOMES = {
    VerdictKind.PROMOTE: "promoted",
    VerdictKind.BLOCK: "blocked",
    VerdictKind.INCONCLUSIVE: "inconclusive",
    VerdictKind.INVALID: "invalid",
}


def announce(result: GateResult) -> None:
    """Raises the event of a gate that has ended."""
    emit_event(event=name(result), resource=resource(result), payload=payload(result))


def name(result: GateResult) -> str:
    """Returns the event's name: what became of the release."""
    if result.promotion is not None and result.promotion.moved:
        return f"{PREFIX}promoted"
    if result.not_promoted is not None:
        return f"{PREFIX}held"
    return PREFIX + _OUTCOMES[result.verdict.verdict]


def resource(result: GateResult) -> dict[str, str]:
    """Returns what the event is about: a model, and of it a version, by which to match."""
    candidate = result.verdict.context.candidate
    if candidate is None:  # refused before its name and version could be believed
        return {"prefect.resource.id": "assay.model.unknown", "assay.version": "unverified"}
    return {
        "prefect.resource.id": f"assay.model.{candidate.model}",
        "prefect.resource.name": f"{candidate.model} {candidate.version}",
        "assay.version": candidate.version,
    }


def payload(result: GateResult) -> dict[str, Any]:
    """Returns what an automation's templates may use; never a case's text."""
    verdict = result.verdict
    moved = result.promotion is not None and result.promotion.moved
    return {
        "verdict": verdict.verdict.value,
        "summary": verdict.summary,
        "reason": result.not_promoted or verdict.summary,
        "production_moved": moved,
        "run_id": verdict.context.run_id,
        "evidence": str(result.evidence_dir.absolute()),
        "recorded_as": result.recorded_as,
    }
