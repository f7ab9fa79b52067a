"""The Prefect flow `tune-serving`: `conduct_tuning`, with every step as a Prefect task.

Decides how a search looks in Prefect and nothing about the search itself. The flow completes
whether settings change or not: to keep what is there is an answer. Settings are never applied here.
"""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from assay.errors import AssayError
from flows.forms import GoldenSet, LocalBackend, ModelName, ProfileName, TaskFile, question
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
    model: ModelName,
    version: Annotated[
        str | None, question("Version", "The version to serve; empty: the one in production.")
    ] = None,
    space: Annotated[
        str, question("Space file", "Which settings may be changed, and how far (YAML).")
    ] = "tune.yaml",
    policy: Annotated[
        str, question("Policy file", "Holds the objectives that the load must meet (YAML).")
    ] = "policy.yaml",
    task: TaskFile = "task.yaml",
    serving: Annotated[
        str, question("Serving file", "The settings as they are, to be bettered (YAML).")
    ] = "serving.yaml",
    profile: ProfileName = "cpu",
    backend: LocalBackend = None,
    golden: GoldenSet = None,
    trials: Annotated[
        int | None,
        question("Trials", "How many settings to try; empty: as the space file says.", at_least=1),
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
