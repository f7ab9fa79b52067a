"""The way of a release, from the request to a moved (or unmoved) alias, as plain code.

::

    documents ─▶ model's turn, devices ─▶ golden set, checks, production's alias ─▶ pull, verify
       ─▶ recorded verdict? ─▶ measure ─▶ thrown away? ─▶ judge ─▶ evidence ─▶ record ─▶ promote

Decides the order of things and what a failure means: an artifact that is not what it claims is a
block; anything that kept the gate from measuring is `invalid`, with the problem named; neither ever
becomes a number. Promotion is the last step. What is done is written down before the next thing
begins (`journal`), so a run that was killed anywhere goes on with `resume` and the same inputs.
`gate_release` runs this as a Prefect flow and the command line runs it in-process; the steps are
the same.
"""

import json
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from assay import digests, refusal
from assay.adapters import server_hardware
from assay.documents import validate
from assay.errors import ArtifactError, ConfigError, InfrastructureError
from assay.evidence import context_to_json
from assay.golden_set import golden_digest
from assay.ports import Progress
from assay.records import Problem, Role, RunContext, SettingsMove, Verdict
from assay.verdict import verdict_bytes
from assay.verdict_document import ContextDocument
from evaluators.judgement import Judgement, judge
from flows import asked_before, resuming, settings_change, teardown
from flows.asked_before import AskedBefore
from flows.conclude import (
    SEALS,
    Conclusion,
    GateResult,
    Settlement,
    finish,
    registered_document,
    settings_document,
    tool_versions,
)
from flows.gathering import Baseline, Gathering, Ports, UnmeasurableError
from flows.journal import (
    Gathered,
    Journal,
    Judged,
    MeasuredEvent,
    Opened,
    Recorded,
    Verified,
    write_durably,
)
from flows.measure import Measured, Measurement, Subject
from flows.queueing import devices
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
    resume: str | None = None,
) -> GateResult:
    """Runs one gate, or goes on with one.

    Args:
        request: what is asked for; when resuming, what was.
        settings: where things are.
        ports: the adapters.
        steps: how steps are run.
        progress: receives sentences for people.
        now: the clock.
        resume: id of a run that was killed; a finished one returns its recorded result.

    Raises:
        ConfigError: the request or a document is wrong, or is not what the resumed run began with;
            nothing was started.
        InfrastructureError: the verdict stands in the evidence folder but could not be recorded or
            promoted; `resume` goes on from there and asks nothing twice.
    """
    if resume is not None:
        with Journal(resuming.folder_of(settings, resume), now=now) as journal:
            done = resuming.result(journal)
            if done is not None:
                return done
            # Its report folder was empty when it began, and may hold its own evidence now.
            documents = load_documents(replace(request, report_dir=None))
            begun = next(event for event in journal.events if isinstance(event, Opened))
            resuming.check_opened(begun, request, documents)
            progress(f"run {resume} goes on after {journal.events[-1].state!r}")
            return _Gate(request, documents, settings, ports, steps, progress, now, journal).run()
    documents = load_documents(request)
    started = now()
    run_id = new_run_id(started)
    with Journal(settings.runs / run_id, now=now) as journal:
        journal.append(
            resuming.opened(run_id, request, documents, who=settings.who, started_at=_iso(started))
        )
        progress(f"run {run_id}; were it killed: assay gate --resume {run_id}")
        return _Gate(request, documents, settings, ports, steps, progress, now, journal).run()


def new_run_id(now: datetime) -> str:
    """Returns an id that sorts by time and does not repeat: `20261123T151200Z-1f2e3d4c`."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


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
        journal: Journal,
    ) -> None:
        begun = next(event for event in journal.events if isinstance(event, Opened))
        self.request, self.documents, self.settings = request, documents, settings
        self.ports, self.steps, self.progress, self.now = ports, steps, progress, now
        self.journal, self.run_id = journal, begun.run_id
        self.change: SettingsChange | None = None
        self.baseline: Baseline | None = None
        self.measured: Measured | None = None
        self.gathering = Gathering(
            request=request, documents=documents, ports=ports, steps=steps, run_id=self.run_id
        )
        self.context = RunContext(
            run_id=self.run_id,
            who=begun.who,
            started_at=begun.started_at,
            digests={"serving": documents.serving.digest, "task": documents.task.digest},
            tools=tool_versions(),
        )

    def run(self) -> GateResult:
        """Runs the steps that are left; every problem ends in a verdict with evidence."""
        if complaint := self.ports.notary.complaint(self.documents.policy):
            self.progress(complaint)
        for line in self.steps.run("remove what dead gates left", self.ports.server.reap):
            self.progress(line)
        with ExitStack() as held:
            recorded = self.journal.last(Recorded)
            if recorded is not None:
                self._wait(held)
                return self._settle(recorded, resuming.stored_verdict(self.journal))
            found = self._found(held)
            if isinstance(found, Recorded):
                return self._settle(found, resuming.stored_verdict(self.journal))
            judgement = self._judgement(found)
            recorded = self._conclude(judgement, found)
            if recorded is not None:
                return self._settle(recorded, judgement.verdict)
            finish(self.journal, judgement.verdict, None)
            done = resuming.result(self.journal)
            assert done is not None  # noqa: S101 - finished right above
            return done

    def _found(self, held: ExitStack) -> MeasuredEvent | Recorded:
        """Returns what there is to judge, or the recorded answer to the same question."""
        try:
            self._wait(held)
            self.baseline = self._gathered()
            return self._measured_once(self.baseline)
        except UnmeasurableError as stop:
            if self.journal.last(MeasuredEvent) is not None:
                raise InfrastructureError(
                    f"--resume {self.run_id}: {stop.problem.reason} {stop.problem.action}"
                ) from stop
            return self._over(problems=(stop.problem,))
        except ArtifactError as error:
            return self._over(rejected=str(error))

    # --- waiting --------------------------------------------------------------------------------

    def _wait(self, held: ExitStack) -> None:
        """Takes this model's turn, and the devices; repairs what a killed promotion left."""
        model, registry = self.request.model, self.ports.registry
        try:
            held.enter_context(registry.turn(model, run_id=self.run_id, progress=self.progress))
        except InfrastructureError as error:
            raise UnmeasurableError(
                Problem(
                    where="registry",
                    reason=str(error),
                    action="Run the same command again once it answers.",
                )
            ) from error
        repaired = self.gathering.measurable(
            "registry",
            "repair an interrupted promotion",
            lambda: registry.repair(model),
            retries=2,
        )
        if repaired is not None:
            self.progress(repaired)
            notes = (*self.context.notes, f"before this run, {repaired}")
            self.context = replace(self.context, notes=notes)
        if self.request.backend != "endpoint":  # what answers at a URL is on no device of ours
            names = server_hardware.devices(self.documents.profile.gpus)
            held.enter_context(devices(names, self.settings.device_locks, self.progress))

    # --- gathering ------------------------------------------------------------------------------

    def _gathered(self) -> Baseline:
        known = self.journal.last(Gathered)
        measured = self.journal.last(MeasuredEvent) is not None
        baseline = self.gathering.baseline()
        if known is None:
            self.journal.append(
                Gathered(
                    golden=baseline.golden.digest,
                    probes=golden_digest(baseline.probes),
                    production=registered_document(baseline.production),
                )
            )
            return baseline
        resuming.check_gathered(self.run_id, known, baseline, measured=measured)
        # What is in production now is the registry's to compare, when the alias is to move.
        return replace(baseline, production=resuming.registered(known.production))

    def _measured_once(self, baseline: Baseline) -> MeasuredEvent | Recorded:
        known = self.journal.last(MeasuredEvent)
        if known is not None:
            self.context = known.context.to_record()
            self._find_settings(baseline)
            if known.files:
                self.measured = resuming.load_measured(self.journal.folder, known)
            return known
        with self._throwaway() as (staging, server):
            subjects = self._verified(baseline, staging)
            key = asked_before.key(
                self.request, self.documents, self.context, baseline, self.change
            )
            recorded = self._asked_before(key, baseline)
            if recorded is not None:
                return recorded
            self._refuse_first_release(subjects)
            uses = self._uses(baseline)
            anchor = self.gathering.anchor(staging)
            self.measured = self._measure(server, subjects, anchor, baseline)
        measured = self.measured
        self.context = replace(
            self.context,
            engine=measured.engine,
            production_engine=measured.production_engine,
            digests={**self.context.digests, "image": measured.engine.image.rpartition("@")[2]},
            notes=(*self.context.notes, *measured.notes, uses),
        )
        return self._over(files=resuming.store_measured(self.journal.folder, measured), key=key)

    def _verified(self, baseline: Baseline, staging: Path) -> dict[Role, Subject]:
        subjects = self.gathering.subjects(baseline, staging)
        found = {role: subject.ref for role, subject in subjects.items()}
        known = self.journal.last(Verified)
        if known is None:
            self._keep_seals(subjects)
            self.journal.append(
                Verified(
                    candidate=resuming.artifact_document(found[Role.CANDIDATE]),
                    production=None
                    if Role.PRODUCTION not in found
                    else resuming.artifact_document(found[Role.PRODUCTION]),
                )
            )
        elif self.request.backend != "endpoint":
            resuming.check_verified(self.run_id, known, found)
        self.context = replace(
            self.context, candidate=found[Role.CANDIDATE], production=found.get(Role.PRODUCTION)
        )
        self._find_settings(baseline)
        if self.change is not None:
            production = subjects[Role.PRODUCTION]
            subjects[Role.PRODUCTION] = replace(production, profile=self.change.profile)
        return subjects

    def _keep_seals(self, subjects: Mapping[Role, Subject]) -> None:
        """Keeps what vouches for the artifacts: a move back may not find the store."""
        for role, subject in subjects.items():
            if subject.artifact is not None:
                for path in sorted((subject.artifact.folder.parent / SEALS).glob("*")):
                    kept = self.journal.folder / SEALS / role.value / path.name
                    write_durably(kept, path.read_bytes())

    def _find_settings(self, baseline: Baseline) -> None:
        """Finds production's own engine settings, where the verdict is to be about settings."""
        candidate = self.context.candidate
        if candidate is None:
            return
        request, held = self.request, baseline.production
        self.change = settings_change.find(request, self.documents, held, candidate)
        notes = settings_change.notes(request, self.documents, held, self.change)
        found = dict(self.context.digests)
        if self.change is not None:
            texts = {**self.documents.texts, settings_change.EVIDENCE: self.change.text}
            self.documents = replace(self.documents, texts=texts)
            found[settings_change.EVIDENCE] = self.change.digest
        kept = tuple(dict.fromkeys((*self.context.notes, *notes)))
        self.context = replace(self.context, digests=found, notes=kept)

    # --- the same question asked before ---------------------------------------------------------

    def _asked_before(self, key: Mapping[str, str], baseline: Baseline) -> Recorded | None:
        found: AskedBefore | None = asked_before.find(
            key,
            gathering=self.gathering,
            ports=self.ports,
            change=self.change,
            progress=self.progress,
        )
        if found is None:
            return None
        self._store_verdict(found.verdict)
        recorded = Recorded(
            run=found.run,
            evidence=str(found.evidence),
            reused=True,
            may_promote=found.may_promote,
            settings=settings_document(self._settings_move()),
        )
        self.journal.append(recorded)
        return recorded

    def _uses(self, baseline: Baseline) -> str:
        uses = self.gathering.measurable(
            "registry",
            "count the golden set's uses",
            lambda: self.ports.registry.uses(self.request.model, baseline.golden.digest),
            retries=2,
        )
        return f"this golden version has driven {uses} verdicts of this model before this one"

    def _refuse_first_release(self, subjects: Mapping[Role, Subject]) -> None:
        if Role.PRODUCTION in subjects or self.documents.policy.first_release == "allow":
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
        self,
        server: teardown.Watched,
        subjects: Mapping[Role, Subject],
        anchor: Subject | None,
        baseline: Baseline,
    ) -> Measured:
        measurement = Measurement(
            server=server,
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
            generator=self.ports.generator,
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

    @contextmanager
    def _throwaway(self) -> Iterator[tuple[Path, teardown.Watched]]:
        """Gives a folder for private copies and a back end; afterwards looks whether all is gone.

        Looked for on every way out, also the interrupt of a person: a leftover must be told.
        """
        self.settings.staging.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f"{self.run_id}-", dir=self.settings.staging))
        server = teardown.Watched(self.ports.server)
        try:
            yield staging, server
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            found = teardown.examine(server.launched, staging, self.progress)
            text = json.dumps(found.model_dump(mode="json"), indent=2) + "\n"
            write_durably(self.journal.folder / teardown.FILE, text.encode())
            self.context = replace(
                self.context,
                problems=(*self.context.problems, *found.problems()),
                notes=(*self.context.notes, *found.notes()),
            )

    def _over(
        self,
        *,
        problems: tuple[Problem, ...] = (),
        rejected: str | None = None,
        files: Mapping[str, str] | None = None,
        key: Mapping[str, str] | None = None,
    ) -> MeasuredEvent:
        """Writes down that nothing more will be asked, and what the judgement will rest on."""
        known = (*self.context.problems, *problems)
        self.context = replace(self.context, finished_at=_iso(self.now()), problems=known)
        event = MeasuredEvent(
            context=validate(context_to_json(self.context), ContextDocument, "run.json"),
            files=dict(files or {}),
            key=dict(key or {}),
            rejected=rejected,
        )
        self.journal.append(event)
        return event

    def _judgement(self, found: MeasuredEvent) -> Judgement:
        """Judges; a resumed run judges again, and must come to the very same bytes."""
        judgement = self._judge_once(found)
        digest = digests.of_bytes(verdict_bytes(judgement.verdict))
        known = self.journal.last(Judged)
        if known is not None and known.digest != digest:
            raise ConfigError(
                f"--resume {self.run_id}: judging the stored answers again gives another verdict "
                f"({judgement.verdict.verdict.value}, before {known.verdict.value}); expected the "
                "same bytes; the code has changed since: begin a new run"
            )
        if known is None:
            self._store_verdict(judgement.verdict)
            self.journal.append(Judged(verdict=judgement.verdict.verdict, digest=digest))
        return judgement

    def _judge_once(self, found: MeasuredEvent) -> Judgement:
        measured, baseline = self.measured, self.baseline
        if found.rejected is not None:
            return _bare(refusal.rejected(self.context, found.rejected))
        if measured is None or baseline is None:
            return _bare(refusal.unmeasured(self.context))
        return self.steps.run(
            "judge",
            lambda: judge(
                golden=baseline.golden,
                probes=baseline.probes,
                task=self.documents.task,
                policy=self.documents.policy,
                candidate=measured.answers[Role.CANDIDATE],
                production=measured.answers.get(Role.PRODUCTION),
                context=self.context,
                anchor=measured.anchor,
            ),
        )

    # --- afterwards -----------------------------------------------------------------------------

    def _conclude(self, judgement: Judgement, found: MeasuredEvent) -> Recorded | None:
        folder = self.request.report_dir or self.settings.reports / self.run_id
        return Conclusion(
            request=self.request,
            documents=self.documents,
            ports=self.ports,
            steps=self.steps,
            context=self.context,
            folder=folder.absolute(),
            judgement=judgement,
            baseline=self.baseline,
            measured=self.measured,
            ledger_key=found.key,
            journal=self.journal,
            settings=self._settings_move(),
        ).run()

    def _settle(self, recorded: Recorded, verdict: Verdict) -> GateResult:
        gathered = self.journal.last(Gathered)
        return Settlement(
            verdict=verdict,
            recorded=recorded,
            request=self.request,
            policy=self.documents.policy,
            golden=gathered.golden if gathered else "",
            production=resuming.registered(gathered.production if gathered else None),
            ports=self.ports,
            steps=self.steps,
            journal=self.journal,
        ).run()

    def _settings_move(self) -> SettingsMove | None:
        return settings_change.move(self.change, self.request, self.documents, self.context)

    def _store_verdict(self, verdict: Verdict) -> None:
        write_durably(self.journal.folder / resuming.VERDICT, verdict_bytes(verdict))


def _bare(verdict: Verdict) -> Judgement:
    return Judgement(verdict=verdict, tables={})


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
