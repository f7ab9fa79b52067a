"""What happened, as a notice: a gate's end, a move back, a golden set that has become worse.

Decides which event it is and which sentences go with it; sending is `flows.notifying`'s.
"""

import hashlib
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from assay.notifications.notice import Event, Notice
from assay.records import VerdictKind, WayBack
from flows.conclude import GateResult
from flows.request import GateRequest

if TYPE_CHECKING:
    from flows.golden_watch import Look

_EVENTS: dict[VerdictKind, Event] = {
    VerdictKind.PROMOTE: "not_promoted",
    VerdictKind.BLOCK: "blocked",
    VerdictKind.INCONCLUSIVE: "inconclusive",
    VerdictKind.INVALID: "invalid",
}


def gate_notice(result: GateResult, request: GateRequest, run_id: str) -> Notice | None:
    """Returns what a gate has to tell; None where it only found a verdict that was known.

    `run_id` is this run's, which the verdict's may not be; the notice's id follows from it.
    """
    verdict, outcome = result.verdict, result.promotion
    moved = outcome is not None and outcome.moved
    if result.reused and not moved:
        return None
    details = [] if outcome is None else [outcome.reason]
    if moved and verdict.verdict is not VerdictKind.PROMOTE:
        details.append(f"The verdict is {verdict.verdict.value}: people have overridden it.")
    event = "promoted" if moved else _EVENTS[verdict.verdict]
    return Notice(
        id=_id_of(f"{run_id} {event}"),
        event=event,
        at=_now(),
        model=request.model,
        version=request.version,
        summary=verdict.summary,
        details=tuple(details),
        next_steps=() if moved else verdict.next_steps,
        run_id=verdict.context.run_id,
        report=str(result.evidence_dir / "report.html"),
        who=verdict.context.who,
    )


def rollback_notice(way: WayBack, *, reason: str, run_id: str, who: str, folder: Path) -> Notice:
    """Returns what is told when production has moved back."""
    target, left = way.target, way.current
    return Notice(
        id=_new_id(),
        event="rolled_back",
        at=_now(),
        model=target.model,
        version=target.version,
        summary=f"Production of {target.model} moved back from {left.version} to {target.version}.",
        details=(f"Why: {reason}",),
        next_steps=(f"Deploy what the alias `production` names now: {target.version}.",),
        run_id=run_id,
        report=str(folder),
        who=who,
    )


def golden_notice(seen: "Look") -> Notice:
    """Returns what is told when a look finds the golden set worse than the one before.

    It names the checks; the reasons, which describe cases, stay in the report.
    """
    change = seen.change
    details = [f"broken: {', '.join(change.broken)}"] if change.broken else []
    if change.lost:
        details.append(f"no longer known: {', '.join(change.lost)}")
    return Notice(
        id=_new_id(),
        event="golden_degraded",
        at=_now(),
        model=None,
        version=None,
        summary=f"The golden set {seen.health.digest} fails checks that it did not fail before.",
        details=tuple(details),
        next_steps=("See which rows: assay golden check", "docs/golden-set.md says what mends it."),
    )


def sample_notice(event: Event, who: str) -> Notice:
    """Returns a notice of something that did not happen, by which channels are tried."""
    golden = event == "golden_degraded"
    return Notice(
        id=_new_id(),
        event=event,
        at=_now(),
        model=None if golden else "example-model",
        version=None if golden else "0.0.0",
        summary="Somebody tries the channels (`assay notify test`): nothing has happened.",
        next_steps=("Nothing: this notice has arrived, which is all it is for.",),
        who=who,
        test=True,
    )


def _id_of(happening: str) -> str:
    """The id of something that happens once, however often it is told."""
    return f"msg_{hashlib.sha256(happening.encode()).hexdigest()[:24]}"


def _new_id() -> str:
    return f"msg_{secrets.token_hex(12)}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
