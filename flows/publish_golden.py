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
from pydantic import Field

from assay.errors import AssayError
from assay.golden_diff import lines
from flows.gate_release import PrefectSteps, flow_logger
from flows.golden_publishing import Published, PublishRequest, publish
from flows.golden_wiring import wire_publication
from flows.request import GateRequest
from flows.settings import from_environment

_STEPS = 11


@flow(
    name="publish-golden",
    flow_run_name="publish {proposal}",
    persist_result=False,
    description="Publishes a golden version, all or nothing, and scores production on it.",
)
def publish_golden(
    proposal: Annotated[str, Field(description="What ingest-relabels wrote, or a golden file.")],
    why: Annotated[str, Field(description="Why: a sentence for the changelog.")],
    version: Annotated[
        str | None, Field(description="The version; empty: the proposal's own.")
    ] = None,
    bump: Annotated[
        Literal["major", "minor", "patch"] | None, Field(description="Or which number to raise.")
    ] = None,
    base: Annotated[
        str | None, Field(description="For a golden file: the version it was made from.")
    ] = None,
    model: Annotated[
        str | None, Field(description="Score this model's production on it; empty: none.")
    ] = None,
    task: Annotated[str, Field(description="What the model is asked.")] = "task.yaml",
    policy: Annotated[str, Field(description="The thresholds.")] = "policy.yaml",
    serving: Annotated[str, Field(description="How vLLM is started.")] = "serving.yaml",
    profile: Annotated[
        Literal["cpu", "gpu"], Field(description="The profile of serving.yaml.")
    ] = "cpu",
    backend: Annotated[
        Literal["docker", "process"] | None, Field(description="Where the engine runs.")
    ] = None,
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
