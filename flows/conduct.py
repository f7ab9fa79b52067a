"""The way of a release, from the request to a moved (or unmoved) alias, as plain code.

::

    documents ─▶ queue ─▶ golden set, checks ─▶ production's alias ─▶ pull, verify both
       ─▶ recorded verdict? ─▶ measure ─▶ judge ─▶ evidence ─▶ record ─▶ promote

Decides the order of things and what a failure means: an artifact that is not what it claims is a
block; anything that kept the gate from measuring is `invalid`, with the problem named; neither ever
becomes a number. Promotion is the last step. `gate_release` runs this as a Prefect flow and the
command line runs it in-process; the steps are the same.
"""

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from assay import refusal
from assay.errors import ArtifactError, InfrastructureError
from assay.ports import Progress
from assay.records import ArtifactRef, Problem, Role, RunContext, Verdict
from assay.verdict_document import verdict_from_json
from evaluators.judgement import Judgement, judge
from flows import settings_change
from flows.conclude import Conclusion, GateResult, tool_versions
from flows.gathering import Baseline, Gathering, Ports, UnmeasurableError
from flows.measure import Measured, Measurement, Subject
from flows.promotion import Promotion, evidence_of
from flows.request import Documents, GateRequest, load_documents
from flows.settings import Settings
from flows.settings_change import SettingsChange
from flows.steps import Steps


def conduct(
    request: GateRequest,
    *,
    settings: Settings,
    ports: Ports,
    steps: Steps,
    progress: Progress,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> GateResult:
    """Runs one gate.

    Raises:
        ConfigError: the request or a document is wrong; nothing was started.
        InfrastructureError: the verdict stands in the evidence folder but could not be recorded or
            promoted; running the same command again asks nothing twice.
    """
    documents = load_documents(request)
    gate = _Gate(request, documents, settings, ports, steps, progress, now)
    with _queue(settings, request.model, progress):
        return gate.run()


def new_run_id(now: datetime) -> str:
    """Returns an id that sorts by time and does not repeat: `20261123T151200Z-1f2e3d4c`."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


@contextmanager
def _queue(settings: Settings, model: str, progress: Progress) -> Iterator[None]:
    """Lets one gate of a model run at a time, and one gate use this machine's engine at a time."""
    settings.locks.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for name in (f"gate-{model}", "engine"):
            lock = FileLock(settings.locks / f"{name}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                progress(f"another gate holds {lock.lock_file}; waiting for it to finish")
                lock.acquire()
            stack.callback(lock.release)
        yield


class _Gate:
    """One run: its identity, its places, and its steps in order."""

    def __init__(
        self,
        request: GateRequest,
        documents: Documents,
        settings: Settings,
        ports: Ports,
        steps: Steps,
        progress: Progress,
        now: Callable[[], datetime],
    ) -> None:
        self.request, self.documents, self.settings = request, documents, settings
        self.ports, self.steps, self.progress, self.now = ports, steps, progress, now
        started = now()
        self.run_id = new_run_id(started)
        self.change: SettingsChange | None = None
        self.gathering = Gathering(
            request=request, documents=documents, ports=ports, steps=steps, run_id=self.run_id
        )
        self.context = RunContext(
            run_id=self.run_id,
            who=settings.who,
            started_at=_iso(started),
            digests={"serving": documents.serving.digest, "task": documents.task.digest},
            tools=tool_versions(),
        )

    def run(self) -> GateResult:
        """Runs the steps; every problem ends in a verdict with evidence."""
        if complaint := self.ports.notary.complaint(self.documents.policy):
            self.progress(complaint)
        for line in self.steps.run("remove what dead gates left", self.ports.server.reap):
            self.progress(line)
        baseline: Baseline | None = None
        try:
            baseline = self.gathering.baseline()
            with self._staging() as staging:
                return self._judged(baseline, staging)
        except UnmeasurableError as stop:
            self._finished(problems=(stop.problem,))
            return self._conclude(_bare(refusal.unmeasured(self.context)), baseline)
        except ArtifactError as error:
            self._finished()
            return self._conclude(_bare(refusal.rejected(self.context, str(error))), baseline)

    def _judged(self, baseline: Baseline, staging: Path) -> GateResult:
        subjects = self.gathering.subjects(baseline, staging)
        production = subjects.get(Role.PRODUCTION)
        candidate = subjects[Role.CANDIDATE].ref
        self.context = replace(
            self.context,
            candidate=candidate,
            production=None if production is None else production.ref,
        )
        subjects = self._with_production_settings(subjects, baseline)
        key = self._ledger_key(candidate, baseline)
        recorded = self._recorded(key, baseline)
        if recorded is not None:
            return recorded
        self._refuse_first_release(production)
        measured = self._measure(subjects, self.gathering.anchor(staging), baseline)
        uses = self._uses(baseline)
        self.context = replace(
            self.context,
            engine=measured.engine,
            production_engine=measured.production_engine,
            digests={**self.context.digests, "image": measured.engine.image.rpartition("@")[2]},
            notes=(*self.context.notes, *measured.notes, uses),
        )
        self._finished()
        judgement = self.steps.run("judge", lambda: self._judge(measured, baseline))
        return self._conclude(judgement, baseline, measured, key)

    # --- the same question asked before ---------------------------------------------------------

    def _with_production_settings(
        self, subjects: Mapping[Role, Subject], baseline: Baseline
    ) -> dict[Role, Subject]:
        """Gives production its own engine settings, where the verdict is to be about settings."""
        request, documents, found = self.request, self.documents, dict(subjects)
        held, candidate = baseline.production, subjects[Role.CANDIDATE].ref
        change = settings_change.find(request, documents, held, candidate)
        notes = settings_change.notes(request, documents, held, change)
        digests = dict(self.context.digests)
        if change is not None:
            production = found[Role.PRODUCTION]
            found[Role.PRODUCTION] = replace(production, profile=change.profile)
            texts = {**documents.texts, settings_change.EVIDENCE: change.text}
            self.documents = replace(documents, texts=texts)
            digests[settings_change.EVIDENCE] = change.digest
        self.change = change
        self.context = replace(self.context, digests=digests, notes=(*self.context.notes, *notes))
        return found

    def _ledger_key(self, candidate: ArtifactRef, baseline: Baseline) -> dict[str, str]:
        production = self.context.production
        own = {} if self.change is None else {settings_change.EVIDENCE: self.change.digest}
        return own | {
            "model": candidate.model,
            "candidate": candidate.digest,
            "production": production.digest if production else "none",
            "golden": baseline.golden.digest,
            "policy": self.documents.policy.digest,
            "task": self.documents.task.digest,
            "serving": self.documents.serving.digest,
        }

    def _recorded(self, key: Mapping[str, str], baseline: Baseline) -> GateResult | None:
        """Returns the recorded verdict of the same question, if there is one.

        A promote whose alias never moved (the gate was killed in between) is promoted now.
        """
        if self.request.backend == "endpoint":  # what answers at a URL has no lasting identity
            return None
        promoted = key["candidate"] == key["production"] and self.change is None
        if promoted:  # by which verdict?
            key = {name: value for name, value in key.items() if name != "production"}
        found = self.gathering.measurable(
            "registry",
            "look for a recorded verdict",
            lambda: self.ports.registry.recorded_verdict(key),
            retries=2,
        )
        if found is None:
            return None
        run, document = found
        verdict = verdict_from_json(document, f"MLflow run {run}: verdict.json")
        registry, notary = self.ports.registry, self.ports.notary
        folder = self.gathering.measurable(
            "registry",
            "look for its evidence",
            lambda: evidence_of(run, verdict.context.run_id, registry, notary),
            retries=2,
        )
        if not promoted and (why := notary.why_not_reused(folder)):
            self.progress(f"the verdict of MLflow run {run} is not used again: {why}")
            return None
        self.progress(f"nothing has changed since MLflow run {run}: its verdict stands")
        promotion = Promotion(
            verdict=verdict,
            folder=folder,
            policy=self.documents.policy,
            golden=baseline.golden.digest,
            change=self.request.change,
            production=baseline.production,
            recorded_as=run,
            settings=settings_change.move(self.change, self.request, self.documents, self.context),
        )
        return GateResult(
            verdict=verdict,
            evidence_dir=folder,
            recorded_as=run,
            promotion=None if promoted else promotion.run(registry, notary, self.steps),
            reused=True,
        )

    def _uses(self, baseline: Baseline) -> str:
        uses = self.gathering.measurable(
            "registry",
            "count the golden set's uses",
            lambda: self.ports.registry.uses(self.request.model, baseline.golden.digest),
            retries=2,
        )
        return f"this golden version has driven {uses} verdicts of this model before this one"

    def _refuse_first_release(self, production: Subject | None) -> None:
        if production is not None or self.documents.policy.first_release == "allow":
            return
        raise UnmeasurableError(
            Problem(
                where="production",
                reason=f"{self.request.model} has no production version to compare with, and the "
                "policy says first_release: refuse.",
                action="If this really is the first release, set first_release: allow in "
                f"{self.request.policy} and run the gate again; otherwise restore the alias.",
            )
        )

    # --- measuring and judging ------------------------------------------------------------------

    def _measure(
        self, subjects: Mapping[Role, Subject], anchor: Subject | None, baseline: Baseline
    ) -> Measured:
        measurement = Measurement(
            server=self.ports.server,
            client=self.ports.client,
            documents=self.documents,
            profile_name=self.request.profile,
            golden=baseline.golden,
            probes=baseline.probes,
            run_id=self.run_id,
            answers_dir=self.settings.answers,
            cache_dir=self.settings.caches,
            seed=int(baseline.golden.digest.removeprefix("sha256:")[:8], 16),
            steps=self.steps,
            progress=self.progress,
            engine_probes=self.ports.engine_probes,
            free_memory_bytes=self.ports.free_memory_bytes,
        )
        try:
            return measurement.run(subjects, anchor)
        except InfrastructureError as error:
            raise UnmeasurableError(
                Problem(
                    where="measuring",
                    reason=str(error),
                    action="Mend what is named, then run the same command again: answers already "
                    "stored are not asked again.",
                )
            ) from error

    def _judge(self, measured: Measured, baseline: Baseline) -> Judgement:
        return judge(
            golden=baseline.golden,
            probes=baseline.probes,
            task=self.documents.task,
            policy=self.documents.policy,
            candidate=measured.answers[Role.CANDIDATE],
            production=measured.answers.get(Role.PRODUCTION),
            context=self.context,
            anchor=measured.anchor,
        )

    # --- afterwards -----------------------------------------------------------------------------

    def _conclude(
        self,
        judgement: Judgement,
        baseline: Baseline | None,
        measured: Measured | None = None,
        key: Mapping[str, str] | None = None,
    ) -> GateResult:
        folder = self.request.report_dir or self.settings.reports / self.run_id
        return Conclusion(
            request=self.request,
            documents=self.documents,
            ports=self.ports,
            steps=self.steps,
            context=self.context,
            folder=folder.absolute(),
            judgement=judgement,
            baseline=baseline,
            measured=measured,
            ledger_key=key or {},
            settings=settings_change.move(self.change, self.request, self.documents, self.context),
        ).run()

    def _finished(self, *, problems: tuple[Problem, ...] = ()) -> None:
        self.context = replace(self.context, finished_at=_iso(self.now()), problems=problems)

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        self.settings.staging.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{self.run_id}-", dir=self.settings.staging))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _bare(verdict: Verdict) -> Judgement:
    return Judgement(verdict=verdict, tables={})


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
