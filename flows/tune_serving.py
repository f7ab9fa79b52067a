"""The Prefect flow `tune-serving`: `conduct_tuning`, with every step as a Prefect task.

Decides how a search looks in Prefect and nothing about the search itself. The flow completes
whether settings change or not: to keep what is there is an answer. Settings are never applied here.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from assay.errors import AssayError
from flows.gate_release import PrefectSteps, flow_logger
from flows.settings import from_environment
from flows.tuning import conduct_tuning
from flows.tuning_request import TuneRequest, load_tune_documents
from flows.tuning_wiring import wire_tuning


@flow(
    name="tune-serving",
    flow_run_name="tune {model}",
    persist_result=False,
    description="Searches better engine settings and recommends them, or says to keep the present.",
)
def tune_serving(
    model: Annotated[str, Field(description="The model's name in the trusted store.")],
    version: Annotated[
        str | None, Field(description="The version; empty: the one in production.")
    ] = None,
    space: Annotated[str, Field(description="Which settings may be changed.")] = "tune.yaml",
    policy: Annotated[str, Field(description="Holds the load's objectives.")] = "policy.yaml",
    task: Annotated[str, Field(description="What the model is asked.")] = "task.yaml",
    serving: Annotated[str, Field(description="The settings as they are.")] = "serving.yaml",
    profile: Annotated[
        Literal["cpu", "gpu"], Field(description="The profile of serving.yaml.")
    ] = "cpu",
    backend: Annotated[
        Literal["docker", "process"] | None,
        Field(description="Where the engines run; empty: docker where it can, else a process."),
    ] = None,
    golden: Annotated[
        str | None,
        Field(description="Git revision or file of the golden set; empty: the working tree's."),
    ] = None,
    trials: Annotated[
        int | None, Field(description="Settings to try in all; empty: the space's.")
    ] = None,
) -> State[Any]:
    """Searches better engine settings for a version; a killed search is gone on with.

    Returns:
        Completed with the recommendation; Failed, named after the error, where there is none.
    """
    request = TuneRequest(
        model=model,
        version=version,
        space=Path(space),
        policy=Path(policy),
        task=Path(task),
        serving=Path(serving),
        profile=profile,
        backend=backend,
        golden=golden,
        trials=trials,
    )
    settings = from_environment()
    try:
        plan = load_tune_documents(request)
        result = conduct_tuning(
            request,
            settings=settings,
            ports=wire_tuning(request, settings),
            steps=PrefectSteps(expected=3 * plan.trials, key="tuning-progress"),
            progress=flow_logger().info,
        )
    except AssayError as error:
        return Failed(name=type(error).__name__, message=str(error))
    reason = result.outcome.recommendation.reason
    page = (result.folder / "report.md").read_text(encoding="utf-8")
    create_markdown_artifact(markdown=page, key="tuning", description=reason)
    return Completed(name="Keep" if result.serving is None else "Change", message=reason)
