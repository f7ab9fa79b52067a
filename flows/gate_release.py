"""The Prefect flow `gate-release`: `conduct`, with every step as a Prefect task.

Decides how a gate looks in Prefect (task names, retries, artifacts, the final state) and nothing
about the gate itself. The flow completes when the gate has promoted; a block, an inconclusive or an
invalid verdict ends it as failed with the verdict's name, so that
`prefect deployment run … --watch` serves as a gate in other people's pipelines. What Prefect shows
is a courtesy: a gate whose Prefect server has gone measures, judges and promotes without it.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import MissingContextError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Completed, Failed
from prefect.tasks import Task

from assay.errors import AssayError, ConfigError, InfrastructureError
from assay.policy import ChangeClass, load_policy
from assay.records import VerdictKind
from flows import resuming
from flows.approval_pause import wait_for_people
from flows.conclude import GateResult
from flows.conduct import conduct
from flows.forms import (
    GoldenSet,
    ModelName,
    PolicyFile,
    ProfileName,
    ServingFile,
    TaskFile,
    question,
)
from flows.release_events import announce
from flows.request import BackendName, GateRequest
from flows.settings import from_environment
from flows.summary import as_markdown
from flows.wiring import wire

T = TypeVar("T")

STEPS_IN_A_FULL_GATE = 18
AWAY_S = 300.0
"""How long nothing is shown once Prefect's server has not answered."""


def _only_infrastructure(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Retry condition: the world failed, not the candidate and not a file."""
    try:
        state.result()
    except InfrastructureError:
        return True
    except Exception:
        return False
    return False


class Showing:
    """Shows things in Prefect; where its server does not answer, says so and goes on without.

    Prefect's client would try for a minute each time, and engines would wait with it.
    """

    def __init__(self) -> None:
        self._away_until = 0.0

    def show(self, action: Callable[[], T]) -> T | None:
        """Does something that only shows; returns None where it was not shown."""
        if time.monotonic() < self._away_until:
            return None
        try:
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
                return action()
        except Exception as error:  # Prefect's client raises errors of several libraries
            self._away_until = time.monotonic() + AWAY_S
            flow_logger().warning(
                "Prefect's server does not answer (%s: %s); this run goes on without showing its "
                "progress there: check PREFECT_API_URL and the server",
                type(error).__name__,
                error,
            )
            return None


class PrefectSteps:
    """Steps as Prefect tasks, with a progress artifact that counts them.

    Args:
        expected: about how many steps there will be.
        key: of the progress artifact.
    """

    def __init__(self, expected: int = STEPS_IN_A_FULL_GATE, key: str = "gate-progress") -> None:
        self.timings_s: dict[str, float] = {}
        self._expected = expected
        self._done = 0
        self._showing = Showing()
        artifact = self._showing.show(
            lambda: create_progress_artifact(
                progress=0.0, key=key, description="Steps that are done."
            )
        )
        # A coroutine only when called from async code.
        self._progress = cast(UUID | None, artifact)

    def run(self, name: str, action: Callable[[], T], *, retries: int = 0) -> T:
        """Runs `action` as a task of that name."""
        started = time.monotonic()
        try:
            step = task(
                name=name,
                task_run_name=name,
                retries=retries,
                retry_delay_seconds=[2.0 * 2**n for n in range(retries)],
                retry_condition_fn=_only_infrastructure,
                cache_policy=NO_CACHE,
                persist_result=False,
            )(action)
            return step()
        finally:
            elapsed = time.monotonic() - started
            self.timings_s[name] = self.timings_s.get(name, 0.0) + elapsed
            self._done += 1
            self._show_progress()

    def _show_progress(self) -> None:
        shown, share = self._progress, min(99.0, 100.0 * self._done / self._expected)
        if shown is not None:
            self._showing.show(lambda: update_progress_artifact(artifact_id=shown, progress=share))


@flow(
    name="gate-release",
    flow_run_name="gate {model} {version}",
    persist_result=False,
    description="Judges a candidate version against production and promotes or blocks it.",
)
def gate_release(
    model: ModelName,
    version: Annotated[
        str, question("Candidate version", "The version to judge, in the trusted store.")
    ],
    policy: PolicyFile = "policy.yaml",
    task: TaskFile = "task.yaml",
    serving: ServingFile = "serving.yaml",
    profile: ProfileName = "cpu",
    backend: Annotated[
        BackendName | None,
        question("Engine", "Where the engines run; empty: docker where it can, else a process."),
    ] = None,
    candidate_url: Annotated[
        str | None,
        question("Candidate's URL", "With the engine `endpoint`: the server of the candidate."),
    ] = None,
    production_url: Annotated[
        str | None,
        question("Production's URL", "With the engine `endpoint`: the server of production."),
    ] = None,
    golden: GoldenSet = None,
    report_dir: Annotated[
        str | None,
        question("Evidence folder", "Where the evidence goes; empty: a folder of the run's own."),
    ] = None,
    change: Annotated[
        ChangeClass,
        question("Class of change", "By it the policy asks for more or fewer approvals."),
    ] = "standard",
    production_serving: Annotated[
        str | None,
        question(
            "Production's serving file",
            "Judges engine settings, not the model; empty: what production was promoted with, "
            "where the version is the one in production.",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        question(
            "Resume run",
            "The id of a run that was killed: goes on with what it began with; empty: a new run.",
        ),
    ] = None,
) -> State[Any]:
    """Judges a candidate version against production and promotes or blocks it.

    Returns:
        Completed when the verdict is promote; Failed, named after the verdict, otherwise.
    """
    request = GateRequest(
        model=model,
        version=version,
        policy=Path(policy),
        task=Path(task),
        serving=Path(serving),
        profile=profile,
        backend=backend,
        candidate_url=candidate_url,
        production_url=production_url,
        golden=golden,
        report_dir=None if report_dir is None else Path(report_dir),
        change=change,
        production_serving=None if production_serving is None else Path(production_serving),
    )
    settings = from_environment()
    log = flow_logger()
    try:
        if resume is not None:
            begun = resuming.request_of(settings, resume)
            if (begun.model, begun.version) != (model, version):
                raise ConfigError(
                    f"run {resume} is of {begun.model} {begun.version}, found {model} {version}; "
                    "name those, or another run"
                )
            request = begun
        ports, steps = wire(request, settings), PrefectSteps()

        def gate(asked: GateRequest, goes_on: str | None = None) -> GateResult:
            return conduct(
                asked,
                settings=settings,
                ports=ports,
                steps=steps,
                progress=log.info,
                resume=goes_on,
            )

        result = wait_for_people(
            gate(request, resume),
            settings=settings,
            ports=ports,
            wait_s=load_policy(request.policy).promotion.wait_hours * 3600,
            again=lambda: gate(replace(request, report_dir=None)),  # the evidence is there
            progress=log.info,
        )
    except AssayError as error:
        return Failed(name=type(error).__name__, message=str(error))
    return _conclude(result)


def _conclude(result: GateResult) -> State[Any]:
    verdict = result.verdict
    Showing().show(
        lambda: create_markdown_artifact(
            markdown=as_markdown(result), key="verdict", description=verdict.summary
        )
    )
    announce(result)
    if result.promotion is not None and result.promotion.moved:
        overridden = verdict.verdict is not VerdictKind.PROMOTE
        return Completed(name="Overridden" if overridden else "Promote", message=verdict.summary)
    if verdict.verdict is not VerdictKind.PROMOTE:
        return Failed(name=verdict.verdict.value.capitalize(), message=verdict.summary)
    if result.not_promoted is not None:
        return Failed(name="NotPromoted", message=result.not_promoted)
    return Completed(name="Promote", message=verdict.summary)


def flow_logger() -> "logging.Logger | logging.LoggerAdapter[Any]":
    """Returns the run's logger, or a plain one where there is no run."""
    try:
        return get_run_logger()
    except MissingContextError:  # called as `gate_release.fn`, without a server
        return logging.getLogger(__name__)
