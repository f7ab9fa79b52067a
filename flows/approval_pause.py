"""A Prefect run that waits for people: paused with a form, resumed by a command.

::

    gate ends: everything thrown away, locks let go, verdict recorded
       └ the policy wants people ─▶ pause (form) ─▶ `assay approve`, or the form ─▶ ask again
                                        └ nobody in time, or "reject" ─▶ not promoted

Decides how a run waits and what the form asks. The form itself approves nothing: it carries a
statement that somebody signed with a key of their own, which is checked like any other.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from assay.errors import ConfigError, InfrastructureError
from assay.ports import Progress
from flows.approval import accept
from flows.conclude import GateResult
from flows.gathering import Ports
from flows.settings import Settings


def wait_for_people(
    result: GateResult,
    *,
    settings: Settings,
    ports: Ports,
    wait_s: float,
    again: Callable[[], GateResult],
    progress: Progress,
) -> GateResult:
    """Pauses the flow run as long as the release waits for people, and asks again after each.

    Args:
        result: of the gate, which is over.
        settings: where it is noted which run waits.
        ports: its notary says whose signatures count.
        wait_s: how long to wait in all; each pause may take as long.
        again: asks again with what has been signed since.
        progress: told what it waits for.
    """
    from prefect.exceptions import FlowPauseTimeout
    from prefect.flow_runs import pause_flow_run

    while result.promotion is not None and result.promotion.waits:
        progress(f"waiting for people: {result.promotion.reason}")
        run_id = result.verdict.context.run_id
        _note(settings, run_id)
        try:
            answer = pause_flow_run(
                wait_for_input=_form(result.promotion.reason),
                timeout=int(wait_s),
                poll_interval=2,
                key=f"people-{run_id.lower()}-{_count(result.evidence_dir)}",
            )
        except FlowPauseTimeout:
            progress("nobody has approved in time")
            return result
        finally:
            _forget(settings, run_id)
        if answer.decision == "reject":
            progress("rejected in the form")
            return result
        if answer.statement.strip():
            envelope, notary = answer.statement.encode(), ports.notary
            why = accept(result.evidence_dir, envelope, notary.trust, notary.now())
            if why:
                progress(f"the statement does not count: {why}")
        result = again()
    return result


def resume(run_id: str, envelope: bytes, settings: Settings) -> str | None:
    """Lets the Prefect run that waits for a gate go on; returns what was done, None if none waits.

    Raises:
        InfrastructureError: it waits, but the Prefect server could not be told.
    """
    path = settings.paused / f"{run_id}.json"
    if not path.exists():
        return None
    from prefect.flow_runs import resume_flow_run

    flow_run = UUID(json.loads(path.read_text())["flow_run"])
    try:
        resume_flow_run(flow_run, run_input={"decision": "approve", "statement": envelope.decode()})
    except Exception as error:  # Prefect's client raises errors of several libraries
        raise InfrastructureError(
            f"Prefect run {flow_run} waits for this and could not be told "
            f"({type(error).__name__}); the statement is beside the evidence: resume the run in "
            "Prefect's UI, or run the same gate again"
        ) from error
    return f"Prefect run {flow_run} goes on"


def _form(reason: str) -> Any:
    """Returns the form that a paused run shows; made here, since Prefect is slow to import."""
    from prefect.input import RunInput
    from pydantic import Field

    class PeopleForm(RunInput):
        """What a person hands over."""

        decision: Literal["approve", "reject"] = Field(
            default="approve", description="`reject` ends the run without a promotion."
        )
        statement: str = Field(
            default="",
            description="What `assay approve` or `assay override` printed, signed with your key.",
        )

    return PeopleForm.with_initial_data(description=reason)


def _note(settings: Settings, run_id: str) -> None:
    from prefect.context import get_run_context
    from prefect.runtime import flow_run

    get_run_context()  # fails where there is no run to pause
    if not flow_run.id:
        raise ConfigError("no Prefect run to pause; run the flow on a Prefect server")
    settings.paused.mkdir(parents=True, exist_ok=True)
    path = settings.paused / f"{run_id}.json"
    path.write_text(json.dumps({"flow_run": str(flow_run.id)}), encoding="utf-8")


def _forget(settings: Settings, run_id: str) -> None:
    (settings.paused / f"{run_id}.json").unlink(missing_ok=True)


def _count(folder: Path) -> int:
    return sum(1 for _ in (folder / "approvals").glob("*.json"))
