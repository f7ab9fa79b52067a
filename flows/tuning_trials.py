"""One trial: a throwaway engine with the settings of a point, under a ramp.

Decides what an ended trial means: an engine that will not start, or that dies, with these settings
has refused them; a first step that misses the objectives ends the trial at once. What is no fault
of the settings (no serving environment, an unknown argument in the space, a load generator that
cannot keep up) is raised. Whatever happens, the engine is gone when this returns.
"""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from assay.errors import ArtifactError, ConfigError, InfrastructureError
from assay.ports import ModelServer, Progress, ServeRequest
from assay.records import PulledArtifact, Role
from assay.serving_profile import Profile
from assay.task import Task
from assay.tuning.arguments import with_point
from assay.tuning.ports import Ramp, Suggestion
from assay.tuning.space import Point, ProfileSpace
from assay.tuning.trials import RampStep, TrialRecord, TrialState, ramp_result

_UNKNOWN = re.compile(r"unrecognized arguments: (?P<rest>[^\n]*)")
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """What every trial of a study has in common."""

    server: ModelServer
    ramp: Ramp
    artifact: PulledArtifact
    task: Task
    profile: Profile
    profile_name: str
    space: ProfileSpace
    space_path: Path
    run_id: str
    cache_dir: Path
    progress: Progress

    def run(self, suggestion: Suggestion) -> TrialRecord:
        """Runs one trial to its end.

        Raises:
            ConfigError: the space names an argument that the engine does not know, or the back end
                is not usable.
            InfrastructureError: the load could not be made, though the engine lives.
        """
        started = time.monotonic()
        steps: list[RampStep] = []
        try:
            self._load(suggestion.point, steps)
        except (ArtifactError, InfrastructureError) as error:
            self._refuse_unknown(suggestion.point, str(error))
            if isinstance(error, _NotTheEnginesError):
                raise InfrastructureError(str(error)) from error
            return self._refused(suggestion, str(error), time.monotonic() - started)
        return _ended(suggestion, steps, time.monotonic() - started)

    def _load(self, point: Point, steps: list[RampStep]) -> None:
        with self.server.launch(self._request(point)) as launched:
            running = launched.wait_ready(lambda line: self.progress(f"engine: {line}"))
            try:
                for step in self.ramp.steps(running):
                    steps.append(step)
                    self.progress(_said(step))
                    if len(steps) == 1 and not step.met:
                        return
            except InfrastructureError as error:
                if running.is_alive():
                    raise _NotTheEnginesError(str(error)) from error
                raise InfrastructureError(
                    f"{error}; its last words:\n{running.log_tail()}"
                ) from error

    def _request(self, point: Point) -> ServeRequest:
        return ServeRequest(
            artifact=self.artifact,
            name=self.artifact.ref.model,
            role=Role.CANDIDATE,
            profile=with_point(self.profile, self.space, point),
            profile_name=self.profile_name,
            run_id=self.run_id,
            readiness_messages=self.task.render(self.task.readiness_text),
            cache_dir=self.cache_dir,
        )

    def _refuse_unknown(self, point: Point, message: str) -> None:
        found = _UNKNOWN.search(message)
        if found is None:
            return
        named = [name for name in point if name in found["rest"].split()]
        for name in named or found["rest"].split()[:1]:
            place = f"{self.space_path}: profiles.{self.profile_name}.arguments"
            where = place if named else f"serving.yaml: profiles.{self.profile_name}.arguments"
            raise ConfigError(
                f"{where}: the engine does not know {name!r}; expected an argument that its "
                "--help lists; correct the name"
            )

    def _refused(self, suggestion: Suggestion, message: str, seconds: float) -> TrialRecord:
        first, _, tail = message.partition("\n")
        return TrialRecord(
            number=suggestion.number,
            point=suggestion.point,
            state=TrialState.REFUSED,
            reason=first.removesuffix("; its last words:"),
            log_tail="\n".join(tail.splitlines()[-_TAIL_LINES:]),
            seconds=seconds,
        )


class _NotTheEnginesError(InfrastructureError):
    """The load failed while the engine lives: nothing is known about the settings."""


def _ended(suggestion: Suggestion, steps: list[RampStep], seconds: float) -> TrialRecord:
    result = ramp_result(steps)
    first = steps[0] if steps else None
    return TrialRecord(
        number=suggestion.number,
        point=suggestion.point,
        state=TrialState.PRUNED if result is None else TrialState.MEASURED,
        result=result,
        excess=None if result is not None or first is None else first.excess,
        reason="" if result is not None or first is None else first.reason,
        seconds=seconds,
    )


def _said(step: RampStep) -> str:
    outcome = "met" if step.met else f"missed ({step.reason.rstrip('.')})"
    return f"{step.rate_per_s:.3g} requests a second: objectives {outcome}"
