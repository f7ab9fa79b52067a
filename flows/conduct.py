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

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime

from assay import digests, refusal
from assay.errors import ConfigError
from assay.ports import Progress
from assay.records import Role, Verdict
from assay.verdict import verdict_bytes
from evaluators.judgement import Judgement, judge
from flows import resuming, teardown
from flows.conclude import Conclusion, GateResult, Settlement, finish, result_of
from flows.gathering import Ports
from flows.journal import Gathered, Journal, Judged, MeasuredEvent, Opened, Recorded, Told
from flows.notices import gate_notice
from flows.notifying import tell
from flows.obtaining import Obtaining
from flows.request import GateRequest, load_documents
from flows.run_state import GateRun, iso
from flows.scratch import temporary_files_of
from flows.settings import Settings
from flows.steps import Steps
from flows.watched import watch_gate


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
                teardown.remove_staged(settings, mine=resume)  # killed when all but this was done
                return done
            # Its report folder was empty when it began, and may hold its own evidence now.
            documents = load_documents(replace(request, report_dir=None))
            begun = next(event for event in journal.events if isinstance(event, Opened))
            resuming.check_opened(begun, request, documents)
            progress(f"run {resume} goes on after {journal.events[-1].state!r}")
            run = GateRun(request, documents, settings, ports, steps, progress, now, journal)
            return _watched(run, resumed=True)
    documents = load_documents(request)
    started = now()
    run_id = new_run_id(started)
    with Journal(settings.runs / run_id, now=now) as journal:
        journal.append(
            resuming.opened(run_id, request, documents, who=settings.who, started_at=iso(started))
        )
        progress(f"run {run_id}; were it killed: assay gate --resume {run_id}")
        run = GateRun(request, documents, settings, ports, steps, progress, now, journal)
        return _watched(run, resumed=False)


def new_run_id(now: datetime) -> str:
    """Returns an id that sorts by time and does not repeat: `20261123T151200Z-1f2e3d4c`.

    The last eight digits are the microsecond in five and chance in three, so that two runs of one
    second sort by time, too.
    """
    return f"{now:%Y%m%dT%H%M%SZ}-{now.microsecond:05x}{secrets.token_hex(2)[1:]}"


def _watched(run: GateRun, *, resumed: bool) -> GateResult:
    return watch_gate(
        run.ports.watch,
        run.run_id,
        run.request,
        backend=run.ports.backend,
        resumed=resumed,
        gate=lambda: _Gate(run).finish(),
    )


class _Gate:
    """The second half of a run, after `Obtaining`: judged, recorded, promoted."""

    def __init__(self, run: GateRun) -> None:
        self.run, self.obtaining = run, Obtaining(run)

    def finish(self) -> GateResult:
        """Runs the steps that are left, then tells people; every problem ends in a verdict."""
        result = self._settled()
        self._tell(result)
        finish(self.run.journal, result)
        return result

    def _tell(self, result: GateResult) -> None:
        """Tells people, unless a killed attempt of this run has: killed in between, it tells again.

        The notice has the same id then, so that who receives it can drop what came already.
        """
        notice = gate_notice(result, self.run.request, self.run.run_id)
        if notice is None or self.run.journal.last(Told) is not None:
            return
        tell(notice, self.run.settings, self.run.progress)
        self.run.journal.append(Told(notice=notice.id))

    def _settled(self) -> GateResult:
        run = self.run
        if complaint := run.ports.notary.complaint(run.documents.policy):
            run.progress(complaint)
        for line in run.steps.run("remove what dead gates left", self._remove_what_was_left):
            run.progress(line)
        with ExitStack() as held:
            recorded = run.journal.last(Recorded)
            found = self.obtaining.answers(held) if recorded is None else recorded
            if isinstance(found, Recorded):
                if recorded is not None:
                    self.obtaining.wait_again(held)
                return self._settle(found, resuming.stored_verdict(run.journal))
            judgement = self._judgement(found)
            with self._temporary_files():
                written = self._conclude(judgement, found)
            if written is not None:
                return self._settle(written, judgement.verdict)
            return result_of(run.journal, judgement.verdict, None, None)

    def _remove_what_was_left(self) -> list[str]:
        staged = teardown.remove_staged(self.run.settings, mine=self.run.run_id)
        return [*self.run.ports.server.reap(), *staged]

    def _judgement(self, found: MeasuredEvent) -> Judgement:
        """Judges; a resumed run judges again, and must come to the very same bytes."""
        judgement = self._judge_once(found)
        digest = digests.of_bytes(verdict_bytes(judgement.verdict))
        known = self.run.journal.last(Judged)
        if known is not None and known.digest != digest:
            raise ConfigError(
                f"--resume {self.run.run_id}: judging the stored answers again gives another "
                f"verdict ({judgement.verdict.verdict.value}, before {known.verdict.value}); "
                "expected the same bytes; the code has changed since: begin a new run"
            )
        if known is None:
            self.run.store_verdict(judgement.verdict)
            self.run.journal.append(Judged(verdict=judgement.verdict.verdict, digest=digest))
        return judgement

    def _judge_once(self, found: MeasuredEvent) -> Judgement:
        measured, baseline = self.run.measured, self.run.baseline
        if found.rejected is not None:
            return _bare(refusal.rejected(self.run.context, found.rejected))
        if measured is None or baseline is None:
            return _bare(refusal.unmeasured(self.run.context))
        return self.run.steps.run(
            "judge",
            lambda: judge(
                golden=baseline.golden,
                probes=baseline.probes,
                task=self.run.documents.task,
                policy=self.run.documents.policy,
                candidate=measured.answers[Role.CANDIDATE],
                production=measured.answers.get(Role.PRODUCTION),
                context=self.run.context,
                anchor=measured.anchor,
            ),
        )

    def _conclude(self, judgement: Judgement, found: MeasuredEvent) -> Recorded | None:
        folder = self.run.request.report_dir or self.run.settings.reports / self.run.run_id
        return Conclusion(
            request=self.run.request,
            documents=self.run.documents,
            ports=self.run.ports,
            steps=self.run.steps,
            context=self.run.context,
            folder=folder.absolute(),
            judgement=judgement,
            baseline=self.run.baseline,
            measured=self.run.measured,
            ledger_key=found.key,
            journal=self.run.journal,
            settings=self.run.settings_move(),
        ).run()

    def _settle(self, recorded: Recorded, verdict: Verdict) -> GateResult:
        gathered = self.run.journal.last(Gathered)
        settlement = Settlement(
            verdict=verdict,
            recorded=recorded,
            request=self.run.request,
            policy=self.run.documents.policy,
            golden=gathered.golden if gathered else "",
            production=resuming.registered(gathered.production if gathered else None),
            ports=self.run.ports,
            steps=self.run.steps,
            journal=self.run.journal,
        )
        with self._temporary_files():
            outcome = settlement.run()
        return result_of(self.run.journal, verdict, recorded, outcome)

    def _temporary_files(self) -> AbstractContextManager[None]:
        return temporary_files_of(self.run.run_id, self.run.settings.staging)


def _bare(verdict: Verdict) -> Judgement:
    return Judgement(verdict=verdict, tables={})
