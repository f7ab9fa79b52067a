"""The search for better engine settings, from the request to a recommendation, as plain code.

::

    documents ─▶ artifact ─▶ study (new, or resumed) ─▶ trial 0: the settings as they are
       ─▶ trials, one throwaway engine each ─▶ the best and the present, measured again in turn
       ─▶ recommendation: a diff of serving.yaml, a picture, one sentence ─▶ MLflow

Decides the order of things, what ends a search (budget, time, a space with nothing left), and that
nothing is applied unless asked for: a gate judges settings (`flows.settings_change`). A study is
known by what determines it, so the same command goes on where a killed one stopped, and one that
is finished answers at once.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from assay.errors import ConfigError, InfrastructureError
from assay.ports import Progress
from assay.records import PulledArtifact
from assay.tuning import arguments
from assay.tuning.ports import Optimiser, StudyRecord, Suggestion
from assay.tuning.recommendation import Pair, Recommendation, best_trial, recommend
from assay.tuning.space import Point
from assay.tuning.trials import RampResult, TrialRecord, TrialState, metrics_of
from flows.queueing import devices
from flows.settings import Settings
from flows.steps import Steps
from flows.tuning_files import Outcome, TuneResult, write_outcome
from flows.tuning_request import Plan, TunePorts, TuneRequest, load_tune_documents, study_id
from flows.tuning_trials import Trials


def conduct_tuning(
    request: TuneRequest,
    *,
    settings: Settings,
    ports: TunePorts,
    steps: Steps,
    progress: Progress,
    clock: Callable[[], float] = time.monotonic,
) -> TuneResult:
    """Runs one search, or goes on with it.

    Raises:
        ConfigError: the request or a document is wrong, the space names an argument that the engine
            does not know, or another process is at this very study.
        ArtifactError: the artifact is not what it claims to be.
        InfrastructureError: the present settings do not start, or the load cannot be made.
    """
    plan = load_tune_documents(request)
    version = request.version or _production(request, ports)
    with ExitStack() as stack:
        staging = settings.staging / f"tune-{request.model}-{version}"
        stack.enter_context(_alone(settings.locks / f"tune-{request.model}-{version}.lock"))
        names = ports.devices(plan.profile)
        stack.enter_context(devices(names, settings.device_locks, progress))
        for line in steps.run("remove what dead searches left", ports.server.reap):
            progress(line)
        stack.callback(_remove, staging)
        _remove(staging)
        artifact = steps.run(
            f"pull and verify {request.model} {version}",
            lambda: ports.store.pull(request.model, version, staging),
            retries=2,
        )
        return _Search(request, plan, settings, ports, steps, progress, clock, artifact).run()


class _Search:
    """One study on one artifact."""

    def __init__(
        self,
        request: TuneRequest,
        plan: Plan,
        settings: Settings,
        ports: TunePorts,
        steps: Steps,
        progress: Progress,
        clock: Callable[[], float],
        artifact: PulledArtifact,
    ) -> None:
        self.request, self.plan, self.ports, self.steps = request, plan, ports, steps
        self.progress, self.clock, self.artifact = progress, clock, artifact
        self.started = clock()
        golden = ports.golden.load(request.golden, plan.task.labels)
        self.study = study_id(request, plan, artifact.ref, golden.digest, ports.backend)
        self.folder = settings.home / "tuning" / self.study
        self.who = settings.who
        self.present = arguments.present(plan.profile, plan.space)
        self.optimiser: Optimiser = ports.optimiser(
            self.folder / "study.journal", plan.space.parameters, plan.document.seed
        )
        self.trials = Trials(
            server=ports.server,
            ramp=ports.ramp(plan, golden.cases, self.study),
            artifact=artifact,
            task=plan.task,
            profile=plan.profile,
            profile_name=request.profile,
            space=plan.space,
            space_path=request.space,
            run_id=f"tune-{self.study}",
            cache_dir=settings.caches,
            progress=progress,
        )

    def run(self) -> TuneResult:
        """Searches, confirms and recommends."""
        self.run_id = self.steps.run(
            "open the study in MLflow", lambda: self.ports.log.open(self._record()), retries=2
        )
        past = self.optimiser.past()
        for trial in past:
            self._log(trial)
        if past:
            self.progress(f"study {self.study}: {len(past)} trials were run before")
        present = self._search()
        return self._conclude(present)

    # --- searching ------------------------------------------------------------------------------

    def _search(self) -> TrialRecord:
        """Runs trials until the budget is spent; returns the one of the present settings."""
        present = self._measured_present()
        if present is None:
            present = self._trial(self.optimiser.begin(self.present))
            if present.state is TrialState.REFUSED:
                raise InfrastructureError(
                    f"{self.request.serving}: the present settings do not serve the model, so no "
                    f"other can be compared with them: {present.reason}; mend them first"
                    + (
                        f"; the engine's last words:\n{present.log_tail}"
                        if present.log_tail
                        else ""
                    )
                )
        while (done := len(self.optimiser.past())) < self.plan.trials:
            if self._out_of_time():
                self.progress(f"the time is over after {done} of {self.plan.trials} trials")
                break
            suggestion = self.optimiser.ask()
            if suggestion is None:
                self.progress(f"the space has no other settings left after {done} trials")
                break
            self._trial(suggestion)
        return present

    def _measured_present(self) -> TrialRecord | None:
        usable = (TrialState.MEASURED, TrialState.PRUNED)
        for trial in self.optimiser.past():
            if trial.state in usable and dict(trial.point) == self.present:
                return trial
        return None

    def _trial(self, suggestion: Suggestion) -> TrialRecord:
        changed = self._changes(suggestion.point)
        name = f"trial {suggestion.number}"
        self.progress(f"{name}: {changed or 'the settings as they are'}")
        record = self.steps.run(name, lambda: self.trials.run(suggestion))
        self.optimiser.tell(record)
        self._log(record)
        self.progress(f"{name}: {_outcome(record)}")
        return record

    def _out_of_time(self) -> bool:
        minutes = self.plan.document.minutes
        return minutes is not None and self.clock() - self.started >= 60 * minutes

    # --- confirming -----------------------------------------------------------------------------

    def _confirm(self, present: TrialRecord, best: TrialRecord) -> tuple[list[Pair], str]:
        """Measures both again, in turn, first one and then the other first."""
        key = f"confirmations of {best.number}"
        done = [_pair(one) for one in self.optimiser.recall(key) or ()]
        for number in range(len(done), self.plan.document.confirmations):
            found: dict[str, RampResult] = {}
            order = [("present", present), ("best", best)]
            for name, trial in order if number % 2 == 0 else reversed(order):
                step = f"measure the {name} settings again, {number + 1}"
                again = Suggestion(number=trial.number, point=trial.point)
                record = self.steps.run(step, partial(self.trials.run, again))
                if record.result is None:
                    return done, f"measured again, the {name} ones {_outcome(record)}."
                found[name] = record.result
            done.append(Pair(present=found["present"], best=found["best"]))
            self.optimiser.remember(key, [asdict(one) for one in done])
        return done, ""

    # --- afterwards -----------------------------------------------------------------------------

    def _conclude(self, present: TrialRecord) -> TuneResult:
        trials, pairs, unsteady = self.optimiser.past(), list[Pair](), ""
        best = best_trial(trials, present)
        if best is not None and best.number != present.number and present.result is not None:
            pairs, unsteady = self._confirm(present, best)
        said = "" if best is None else self._changes(best.point)
        recommendation: Recommendation = recommend(
            trials, present, pairs, changes=said, unsteady=unsteady
        )
        outcome = Outcome(
            study=self.study,
            ref=self.artifact.ref,
            trials=tuple(trials),
            present=present.number,
            recommendation=recommendation,
            pairs=tuple(pairs),
        )
        result = write_outcome(outcome, self.request, self.plan, self.folder / "recommendation")
        gained = recommendation.gain
        metrics = {} if gained is None else {"tuning/gain": gained.ratio}
        self.steps.run(
            "record the recommendation in MLflow",
            lambda: self.ports.log.close(
                self.run_id, result.folder, reason=recommendation.reason, metrics=metrics
            ),
            retries=2,
        )
        return result

    def _changes(self, point: Point) -> str:
        plan = self.plan
        after = arguments.with_point(plan.profile, plan.space, point)
        found = arguments.changes(plan.profile, after, plan.space)
        return arguments.in_words(found) if found else ""

    def _record(self) -> StudyRecord:
        ref = self.artifact.ref
        return StudyRecord(
            study=self.study,
            model=ref.model,
            version=ref.version,
            artifact_digest=ref.digest,
            who=self.who,
            facts={
                "profile": self.request.profile,
                "backend": self.ports.backend,
                "load": self.plan.load.name,
                "seed": str(self.plan.document.seed),
                "present arguments": " ".join(self.plan.profile.arguments),
            },
        )

    def _log(self, trial: TrialRecord) -> None:
        metrics = metrics_of(trial, self.plan.document.price_per_hour)
        self.steps.run(
            "record the trial in MLflow",
            lambda: self.ports.log.log_trial(self.run_id, trial, trial.point, metrics),
            retries=2,
        )


def _outcome(trial: TrialRecord) -> str:
    if trial.result is not None:
        return f"meets the objectives at up to {trial.result.goodput_per_s:.3g} requests a second"
    words = {
        TrialState.PRUNED: "miss the objectives at the lowest rate",
        TrialState.REFUSED: "are refused by the engine",
    }
    return f"{words.get(trial.state, 'were not measured')} ({trial.reason.rstrip('.')})"


def _pair(stored: dict[str, dict[str, float | None]]) -> Pair:
    return Pair(**{name: RampResult(**values) for name, values in stored.items()})  # type: ignore[arg-type]


def _production(request: TuneRequest, ports: TunePorts) -> str:
    held = ports.registry.production(request.model)
    if held is None:
        raise ConfigError(
            f"{request.model} has no production version to tune; expected a version; name one: "
            f"assay tune {request.model} VERSION"
        )
    return held.version


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lets one process at a time work at a study: two would spend its budget twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"{path}: another `assay tune` is at this model and version; wait for it to end, or "
            "stop it: its study can be gone on with"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
