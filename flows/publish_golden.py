"""The Prefect flow `publish-golden`: `publish`, visible to everybody who watches the golden set.

Decides how a publication looks in Prefect and nothing about it. The flow completes when the version
is in force and what follows it is done.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed, Failed

from assay.errors import AssayError
from assay.golden_diff import lines
from flows.forms import LocalBackend, PolicyFile, ProfileName, ServingFile, TaskFile, question
from flows.gate_release import PrefectSteps, flow_logger
from flows.golden_publishing import Published, PublishRequest, publish
from flows.golden_wiring import wire_publication
from flows.request import GateRequest
from flows.settings import from_environment

_STEPS = 12


@flow(
    name="publish-golden",
    flow_run_name="publish {proposal}",
    persist_result=False,
    description="Publishes a golden version, all or nothing, and scores production on it.",
)
def publish_golden(
    proposal: Annotated[
        str, question("Proposal", "The folder that ingest-relabels wrote, or a golden file.")
    ],
    why: Annotated[str, question("Why", "A sentence for the golden set's changelog.")],
    version: Annotated[
        str | None, question("Version", "Its version; empty: the proposal's own, or the bump's.")
    ] = None,
    bump: Annotated[
        Literal["major", "minor", "patch"] | None,
        question("Bump", "Which number to raise in place of naming a version; empty: none."),
    ] = None,
    base: Annotated[
        str | None,
        question("Made from", "For a golden file: the version it was made from; else empty."),
    ] = None,
    model: Annotated[
        str | None,
        question("Score model", "Whose production is scored on it at once; empty: none."),
    ] = None,
    task: TaskFile = "task.yaml",
    policy: PolicyFile = "policy.yaml",
    serving: ServingFile = "serving.yaml",
    profile: ProfileName = "cpu",
    backend: LocalBackend = None,
) -> State[Any]:
    """Publishes a golden version; a killed publication is gone on with.

    Returns:
        Completed when it is in force; Failed, named after the error, otherwise.
    """
    progress, steps = flow_logger().info, PrefectSteps(expected=_STEPS, key="publish-progress")
    gate = None
    if model is not None:
        gate = GateRequest(
            model=model,
            version="0",
            task=Path(task),
            policy=Path(policy),
            serving=Path(serving),
            profile=profile,
            backend=backend,
        )
    try:
        ports = wire_publication(
            from_environment(),
            root=Path.cwd(),
            key=None,
            gate=gate,
            steps=steps,
            progress=progress,
        )
        done = publish(
            PublishRequest(
                proposal=Path(proposal),
                why=why,
                version=version,
                bump=bump,
                base=base,
                task=Path(task),
            ),
            ports=ports,
            steps=steps,
            progress=progress,
        )
    except AssayError as error:
        return Failed(name=type(error).__name__, message=str(error))
    create_markdown_artifact(markdown=_as_markdown(done), key="golden", description=done.tag)
    emit_event(
        event="assay.golden.published",
        resource={"prefect.resource.id": "assay.golden", "assay.version": done.version},
        payload={"digest": done.digest, "base": done.base, "why": why},
    )
    return Completed(name="Published", message=f"{done.tag}: {done.digest}")


def _as_markdown(done: Published) -> str:
    changes = [f"- {line}" for line in lines(done.changes)]
    return "\n".join([f"# {done.tag}", "", done.why, "", *changes, "", done.baseline])
