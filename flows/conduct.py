"""The way of a release, from the request to a moved (or unmoved) alias, as plain code.

::

    documents ─▶ lock ─▶ golden set, checks ─▶ production's alias ─▶ pull, verify both
       ─▶ recorded verdict? ─▶ measure ─▶ judge ─▶ evidence ─▶ record ─▶ promote

Decides the order of things and what a failure means: an artifact that is not what it claims is a
block; anything that kept the gate from measuring is `invalid`, with the problem named; neither ever
becomes a number. Promotion is the last step. `gate_release` runs this as a Prefect flow and the
command line runs it in-process; the steps are the same.
"""

import platform
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from assay import digests, evidence, refusal
from assay.errors import ArtifactError, ConfigError, InfrastructureError
from assay.golden_set import GoldenSet
from assay.ports import (
    ArtifactStore,
    ChatClient,
    GateRecord,
    GoldenSource,
    GoldenValidator,
    ModelServer,
    Progress,
    Registry,
)
from assay.records import (
    ArtifactRef,
    FindingStatus,
    Probe,
    Problem,
    PromotionOutcome,
    PulledArtifact,
    RegisteredVersion,
    Role,
    RunContext,
    Verdict,
)
from assay.verdict import may_move_alias, verdict_bytes
from assay.verdict_document import verdict_from_json
from evaluators.judgement import Judgement, RawAnswers, judge
from flows.measure import Measured, Measurement, Subject
from flows.request import Documents, GateRequest, load_documents
from flows.settings import Settings
from flows.steps import Steps

T = TypeVar("T")

TOOLS = ("assay-gate", "mlflow", "prefect", "dvc", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The adapters one gate works with; `flows.wiring` picks them."""

    store: ArtifactStore
    server: ModelServer
    backend: str
    client: ChatClient
    golden: GoldenSource
    validator: GoldenValidator
    registry: Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """What a gate leaves behind.

    `recorded_as` is the registry's run id; `reused` says that the verdict is an earlier run's,
    returned because nothing that determines it has changed.
    """

    verdict: Verdict
    evidence_dir: Path
    recorded_as: str | None
    promotion: PromotionOutcome | None
    reused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Baseline:
    golden: GoldenSet
    probes: tuple[Probe, ...]
    production: RegisteredVersion | None


class _UnmeasurableError(Exception):
    """Carries a problem up to where it becomes an `invalid` verdict; never leaves this module."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.reason)
        self.problem = problem


def new_run_id(now: datetime) -> str:
    """Returns an id that sorts by time and does not repeat: `20261123T151200Z-1f2e3d4c`."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


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
        self.folder = (request.report_dir or settings.reports / self.run_id).absolute()
        self.context = RunContext(
            run_id=self.run_id,
            who=settings.who,
            started_at=_iso(started),
            digests={"serving": documents.serving.digest, "task": documents.task.digest},
            tools=tool_versions(),
        )

    def run(self) -> GateResult:
        """Runs the steps; every problem ends in a verdict with evidence."""
        for line in self.steps.run("remove what dead gates left", self.ports.server.reap):
            self.progress(line)
        with ExitStack() as stack:
            baseline: _Baseline | None = None
            try:
                baseline = self._baseline()
                return self._judged(baseline, stack)
            except _UnmeasurableError as stop:
                return self._finish(self._unmeasured(stop.problem), baseline)
            except ArtifactError as error:
                return self._finish(self._rejected(error), baseline)

    def _judged(self, baseline: _Baseline, stack: ExitStack) -> GateResult:
        staging = stack.enter_context(self._staging())
        subjects = self._subjects(baseline, staging)
        self._remember(subjects)
        key = self._ledger_key(baseline)
        recorded = self._recorded(key)
        if recorded is not None:
            return recorded
        self._refuse_first_release(subjects)
        measured = self._measure(subjects, baseline)
        self.context = replace(
            self.context,
            engine=measured.engine,
            digests={**self.context.digests, "image": _as_digest(measured.engine.image)},
            notes=(*self.context.notes, *measured.notes, self._use_of_golden(baseline)),
        )
        self.context = replace(self.context, finished_at=_iso(self.now()))
        judgement = self.steps.run("judge", lambda: self._judge(measured, baseline))
        return self._finish(judgement, baseline, measured, key)

    # --- before measuring -----------------------------------------------------------------------

    def _baseline(self) -> _Baseline:
        task = self.documents.task
        golden = self._measurable(
            "golden set",
            "load the golden set",
            lambda: self.ports.golden.load(self.request.golden, task.labels),
            retries=1,
        )
        probes: tuple[Probe, ...] = ()
        if self.documents.wants("toxicity") or self.documents.wants("injection"):
            probes = tuple(
                self._measurable(
                    "probes",
                    "load the probes",
                    lambda: self.ports.golden.load_probes(self.request.golden),
                    retries=1,
                )
            )
        self._check(golden)
        production = None
        if self.request.backend != "endpoint":
            production = self._measurable(
                "registry",
                "read production's alias",
                lambda: self.ports.registry.production(self.request.model),
                retries=2,
            )
        return _Baseline(golden=golden, probes=probes, production=production)

    def _check(self, golden: GoldenSet) -> None:
        findings = self._measurable(
            "golden set",
            "check the golden set",
            lambda: self.ports.validator.check(golden, self.documents.task.labels),
        )
        failed = [one for one in findings if one.status is not FindingStatus.PASSED]
        if failed:
            raise _UnmeasurableError(
                Problem(
                    where="golden set",
                    reason=" ".join(one.reason for one in failed),
                    action="correct the golden set (assay golden check shows every check), "
                    "publish it, and run the gate again",
                )
            )

    def _subjects(self, baseline: _Baseline, staging: Path) -> dict[Role, Subject]:
        request = self.request
        if request.backend == "endpoint":
            urls = {Role.CANDIDATE: request.candidate_url, Role.PRODUCTION: request.production_url}
            return {
                role: Subject(
                    role=role,
                    ref=ArtifactRef(
                        model=request.model,
                        version=request.version if role is Role.CANDIDATE else "endpoint",
                        digest=digests.of_json({"endpoint": url, "run": self.run_id}),
                    ),
                    url=url,
                )
                for role, url in urls.items()
                if url is not None
            }
        candidate = self._pull(request.version, staging / "candidate", "candidate")
        subjects = {
            Role.CANDIDATE: Subject(role=Role.CANDIDATE, ref=candidate.ref, artifact=candidate)
        }
        held = baseline.production
        if held is not None and held.digest != candidate.ref.digest:
            subjects[Role.PRODUCTION] = self._pull_production(held, staging / "production")
        elif held is not None:
            subjects[Role.PRODUCTION] = Subject(
                role=Role.PRODUCTION, ref=candidate.ref, artifact=candidate
            )
        return subjects

    def _pull(self, version: str, destination: Path, name: str) -> PulledArtifact:
        return self._measurable(
            "trusted store",
            f"pull and verify {name} {version}",
            lambda: self.ports.store.pull(self.request.model, version, destination),
            retries=2,
            config_is_usage=True,
        )

    def _pull_production(self, held: RegisteredVersion, destination: Path) -> Subject:
        where = f"production {held.version}"
        try:
            pulled = self._pull(held.version, destination, "production")
        except (ArtifactError, ConfigError) as error:
            raise _UnmeasurableError(
                Problem(
                    where=where,
                    reason=f"the baseline cannot be verified: {error}",
                    action="restore the deployed version in the trusted store, or roll production "
                    "back to a version that verifies; then run the gate again",
                )
            ) from error
        if pulled.ref.digest != held.digest:
            raise _UnmeasurableError(
                Problem(
                    where=where,
                    reason=f"the store holds {pulled.ref.digest} but the alias production names "
                    f"{held.digest}: the baseline is not what is deployed",
                    action="find out which of the two is deployed and correct the other",
                )
            )
        return Subject(role=Role.PRODUCTION, ref=pulled.ref, artifact=pulled)

    def _remember(self, subjects: Mapping[Role, Subject]) -> None:
        production = subjects.get(Role.PRODUCTION)
        self.context = replace(
            self.context,
            candidate=subjects[Role.CANDIDATE].ref,
            production=None if production is None else production.ref,
        )

    def _refuse_first_release(self, subjects: Mapping[Role, Subject]) -> None:
        if Role.PRODUCTION in subjects or self.documents.policy.first_release == "allow":
            return
        raise _UnmeasurableError(
            Problem(
                where="production",
                reason=f"{self.request.model} has no production version to compare with, and the "
                "policy says first_release: refuse",
                action="if this really is the first release, set first_release: allow in "
                f"{self.request.policy} and run the gate again; otherwise restore the alias",
            )
        )

    def _ledger_key(self, baseline: _Baseline) -> dict[str, str]:
        candidate, production = self.context.candidate, self.context.production
        if candidate is None:
            raise ConfigError("the ledger needs a candidate")
        return {
            "model": candidate.model,
            "candidate": candidate.digest,
            "production": production.digest if production else "none",
            "golden": baseline.golden.digest,
            "policy": self.documents.policy.digest,
            "task": self.documents.task.digest,
            "serving": self.documents.serving.digest,
        }

    def _recorded(self, key: Mapping[str, str]) -> GateResult | None:
        if self.request.backend == "endpoint":
            return None
        if key["candidate"] == key["production"]:  # already promoted: by which verdict?
            key = {name: value for name, value in key.items() if name != "production"}
        found = self._measurable(
            "registry",
            "look for a recorded verdict",
            lambda: self.ports.registry.recorded_verdict(key),
            retries=2,
        )
        if found is None:
            return None
        run, document = found
        self.progress(f"nothing has changed since run {run}: its verdict stands")
        verdict = verdict_from_json(document, f"MLflow run {run}: verdict.json")
        folder = self.settings.reports / verdict.context.run_id
        return GateResult(
            verdict=verdict, evidence_dir=folder, recorded_as=run, promotion=None, reused=True
        )

    def _use_of_golden(self, baseline: _Baseline) -> str:
        if self.request.backend == "endpoint":
            return "the golden set's earlier uses are not counted for endpoints"
        uses = self._measurable(
            "registry",
            "count the golden set's uses",
            lambda: self.ports.registry.uses(self.request.model, baseline.golden.digest),
            retries=2,
        )
        return f"this golden version has driven {uses} verdicts of this model before this one"

    # --- measuring and judging ------------------------------------------------------------------

    def _measure(self, subjects: Mapping[Role, Subject], baseline: _Baseline) -> Measured:
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
        )
        try:
            return measurement.run(subjects)
        except InfrastructureError as error:
            raise _UnmeasurableError(
                Problem(
                    where="measuring",
                    reason=str(error),
                    action="mend what is named, then run the same command again: answers already "
                    "stored are not asked again",
                )
            ) from error

    def _judge(self, measured: Measured, baseline: _Baseline) -> Judgement:
        return judge(
            golden=baseline.golden,
            probes=baseline.probes,
            task=self.documents.task,
            policy=self.documents.policy,
            candidate=measured.answers[Role.CANDIDATE],
            production=measured.answers.get(Role.PRODUCTION),
            context=self.context,
        )

    def _unmeasured(self, problem: Problem) -> Judgement:
        self.context = replace(self.context, problems=(problem,), finished_at=_iso(self.now()))
        return Judgement(verdict=refusal.unmeasured(self.context), tables={})

    def _rejected(self, error: ArtifactError) -> Judgement:
        self.context = replace(self.context, finished_at=_iso(self.now()))
        return Judgement(verdict=refusal.rejected(self.context, str(error)), tables={})

    # --- afterwards -----------------------------------------------------------------------------

    def _finish(
        self,
        judgement: Judgement,
        baseline: _Baseline | None,
        measured: Measured | None = None,
        key: Mapping[str, str] | None = None,
    ) -> GateResult:
        self.steps.run("write the evidence", lambda: self._write(judgement, baseline, measured))
        recorded_as, promotion = None, None
        if baseline is not None:
            record = self._record(judgement.verdict, baseline, measured, key or {})
            recorded_as = self.steps.run(
                "record in MLflow", lambda: self.ports.registry.record(record), retries=2
            )
            promotion = self._promote(judgement.verdict, baseline, recorded_as)
        return GateResult(
            verdict=judgement.verdict,
            evidence_dir=self.folder,
            recorded_as=recorded_as,
            promotion=promotion,
        )

    def _write(
        self, judgement: Judgement, baseline: _Baseline | None, measured: Measured | None
    ) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        request = self.request
        for name in ("policy", "task", "serving"):
            shutil.copyfile(getattr(request, name), self.folder / f"{name}.yaml")
        evidence.write_json(self.folder / "run.json", evidence.context_to_json(self.context))
        if baseline is not None:
            evidence.write_indexes(self.folder, baseline.golden.cases, baseline.probes)
        if measured is not None:
            for role, answers in measured.answers.items():
                evidence.write_answers(
                    self.folder,
                    role,
                    predictions=answers.predictions,
                    probe_answers=answers.probe_answers,
                    latency=answers.latency,
                )
        (self.folder / "verdict.json").write_bytes(verdict_bytes(judgement.verdict))
        evidence.write_json(self.folder / "timings.json", self.steps.timings_s)
        from assay.report import write_report  # plots are slow to import

        write_report(self.folder / "report.html", judgement.verdict, judgement.tables)
        evidence.seal(self.folder)

    def _record(
        self,
        verdict: Verdict,
        baseline: _Baseline,
        measured: Measured | None,
        key: Mapping[str, str],
    ) -> GateRecord:
        request, candidate = self.request, self.context.candidate
        answers: Mapping[Role, RawAnswers] = measured.answers if measured else {}
        return GateRecord(
            model=request.model,
            version=request.version,
            verdict=verdict,
            context=self.context,
            evidence_dir=self.folder,
            predictions={role: one.predictions for role, one in answers.items()},
            golden=baseline.golden,
            source=None
            if candidate is None or request.backend == "endpoint"
            else f"trusted-store://{request.model}/{request.version}@{candidate.digest}",
            ledger_key=key,
        )

    def _promote(
        self, verdict: Verdict, baseline: _Baseline, recorded_as: str
    ) -> PromotionOutcome | None:
        candidate = self.context.candidate
        if not may_move_alias(verdict) or candidate is None:
            return None
        allowed = self.documents.policy.backends_that_may_promote
        if self.ports.backend not in allowed:
            return PromotionOutcome(
                moved=False,
                reason=f"the policy lets {', '.join(allowed)} move production, and this verdict "
                f"was computed on {self.ports.backend}; run the gate there to promote",
                production=baseline.production,
                previous=None,
            )
        return self.steps.run(
            "move production",
            lambda: self.ports.registry.promote(
                candidate, expected=self.context.production, gate_run=recorded_as
            ),
            retries=1,
        )

    # --- small things ---------------------------------------------------------------------------

    def _measurable(
        self,
        where: str,
        name: str,
        action: Callable[[], T],
        *,
        retries: int = 0,
        config_is_usage: bool = False,
    ) -> T:
        """Runs a step without which nothing can be measured."""
        try:
            return self.steps.run(name, action, retries=retries)
        except ConfigError as error:
            if config_is_usage:
                raise
            problem = Problem(where=where, reason=str(error), action="mend it, then run again")
            raise _UnmeasurableError(problem) from error
        except InfrastructureError as error:
            problem = Problem(
                where=where, reason=str(error), action="run the same command again once it answers"
            )
            raise _UnmeasurableError(problem) from error

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        self.settings.staging.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{self.run_id}-", dir=self.settings.staging))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def tool_versions() -> dict[str, str]:
    """Returns the versions of the tools that take part in a verdict."""
    return {"python": platform.python_version()} | {name: installed_version(name) for name in TOOLS}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _as_digest(image: str) -> str:
    return image.rpartition("@")[2]
