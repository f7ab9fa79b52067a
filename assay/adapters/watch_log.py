"""A gate as lines of the log: each event one line, with the figures as fields.

Decides the words, the fields and the level of a line; where lines go and how they look is
`log_json`'s. Every other line of this process carries the same run and step meanwhile.
"""

import logging
from typing import Any

from assay.adapters import log_json
from assay.gate_events import (
    GateBegun,
    GateEnded,
    GateEvent,
    StepBegun,
    StepEnded,
    StepOutcome,
)

_log = logging.getLogger(__name__)


class LogWatch:
    """Logs what a gate does."""

    def told(self, event: GateEvent) -> None:
        """Logs one event."""
        fields = log_json.FIELDS
        match event:
            case GateBegun():
                fields.run_id, fields.steps = event.run_id, []
                _log.info("the gate began", extra=_begun(event))
            case StepBegun():
                fields.steps.append(event.name)
                _log.debug("the step began", extra={"event": "step_begun"})
            case StepEnded():
                level = logging.INFO if event.outcome is StepOutcome.OK else logging.WARNING
                _log.log(level, "the step ended", extra=_step_ended(event))
                fields.steps.pop()
            case GateEnded():
                level = logging.ERROR if event.outcome.is_trouble else logging.INFO
                _log.log(level, "the gate ended", extra=_gate_ended(event))

    def close(self) -> None:
        """Names the run no longer."""
        log_json.FIELDS.run_id = None


def _begun(event: GateBegun) -> dict[str, Any]:
    return {
        "event": "gate_begun",
        "model": event.model,
        "version": event.version,
        "profile": event.profile,
        "backend": event.backend,
        "resumed": event.resumed,
    }


def _step_ended(event: StepEnded) -> dict[str, Any]:
    return {
        "event": "step_ended",
        "outcome": event.outcome.value,
        "duration_s": round(event.duration_s, 3),
        "attempts": event.attempts,
    } | _trouble(event)


def _gate_ended(event: GateEnded) -> dict[str, Any]:
    findings: dict[str, dict[str, int]] = {}
    for (evaluator, status), count in event.findings.items():
        findings.setdefault(evaluator, {})[status] = count
    return {
        "event": "gate_ended",
        "model": event.model,
        "outcome": event.outcome.value,
        "verdict": event.verdict,
        "reused": event.reused,
        "duration_s": round(event.duration_s, 3),
        "findings": findings,
    } | _trouble(event)


def _trouble(event: StepEnded | GateEnded) -> dict[str, Any]:
    if event.error_kind is None:
        return {}
    return {"error_kind": event.error_kind, "error": event.error}
