"""The Prefect flow `rollback-release`: `roll_back`, visible to everybody who watches releases.

Decides how a move back looks in Prefect and nothing about it. The flow completes when the version
asked for is in production, by this move or already.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed, Failed

from assay.errors import AssayError
from flows.conduct import new_run_id
from flows.forms import question
from flows.gate_release import flow_logger
from flows.rollback import RollbackResult, roll_back
from flows.settings import from_environment
from flows.wiring import wire_rollback


@flow(
    name="rollback-release",
    flow_run_name="roll back {model}",
    persist_result=False,
    description="Moves production back to a version whose evidence and signature verify.",
)
def rollback_release(
    model: Annotated[str, question("Model", "The model's name in the registry.")],
    reason: Annotated[
        str, question("Reason", "Why production moves back: a sentence for the record.")
    ],
    to: Annotated[
        str | None,
        question("To version", "Where to; empty: the version that was in production before."),
    ] = None,
) -> State[Any]:
    """Moves production back.

    Returns:
        Completed when the version asked for is in production; Failed, with the reason, otherwise.
    """
    settings, log = from_environment(), flow_logger()
    try:
        result = roll_back(
            model,
            to,
            reason=reason,
            run_id=new_run_id(datetime.now(UTC)),
            settings=settings,
            ports=wire_rollback(settings),
            progress=log.info,
        )
    except AssayError as error:
        return Failed(name=type(error).__name__, message=str(error))
    create_markdown_artifact(
        markdown=_as_markdown(result), key="rollback", description=result.outcome.reason
    )
    if not result.in_place:
        return Failed(name="NotMoved", message=result.outcome.reason)
    if result.outcome.moved:
        emit_event(
            event="assay.release.rolled-back",
            resource={
                "prefect.resource.id": f"assay.model.{model}",
                "prefect.resource.name": f"{model} {result.way.target.version}",
                "assay.version": result.way.target.version,
            },
            payload={"from": result.way.current.version, "reason": reason},
        )
    return Completed(name="RolledBack", message=result.outcome.reason)


def _as_markdown(result: RollbackResult) -> str:
    rows = [f"| {c.what} | {c.result} | {c.detail} |" for c in result.checks]
    table = ["| looked at | | |", "|---|---|---|", *rows] if rows else []
    return "\n".join([f"# {result.outcome.reason}", "", *table])
