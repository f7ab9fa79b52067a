"""The state of one run: what was asked for, where things are, and what is known so far.

Decides nothing: `obtaining` fills it, `conduct` judges and concludes from it, and what must survive
a kill is in its journal.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from assay.documents import validate
from assay.evidence import context_to_json
from assay.ports import Progress
from assay.records import Problem, RunContext, SettingsMove, Verdict
from assay.verdict import verdict_bytes
from assay.verdict_document import ContextDocument
from flows import resuming, settings_change
from flows.conclude import tool_versions
from flows.gathering import Baseline, Gathering, Ports
from flows.journal import Journal, MeasuredEvent, Opened, write_durably
from flows.measure import Measured
from flows.request import Documents, GateRequest
from flows.settings import Settings
from flows.settings_change import SettingsChange
from flows.steps import Steps
from flows.watched import WatchedSteps


class GateRun:
    """One run: its identity, its places, its adapters, and what it has found out."""

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
        self.ports, self.progress, self.now = ports, progress, now
        self.journal, self.run_id = journal, begun.run_id
        self.steps: Steps = WatchedSteps(steps, ports.watch, self.run_id)
        self.change: SettingsChange | None = None
        self.baseline: Baseline | None = None
        self.measured: Measured | None = None
        self.gathering = Gathering(
            request=request,
            documents=documents,
            ports=ports,
            steps=self.steps,
            run_id=self.run_id,
        )
        self.context = RunContext(
            run_id=self.run_id,
            who=begun.who,
            started_at=begun.started_at,
            digests={"serving": documents.serving.digest, "task": documents.task.digest},
            tools=tool_versions(),
        )

    def over(
        self,
        *,
        problems: tuple[Problem, ...] = (),
        rejected: str | None = None,
        files: Mapping[str, str] | None = None,
        key: Mapping[str, str] | None = None,
    ) -> MeasuredEvent:
        """Writes down that nothing more will be asked, and what the judgement will rest on."""
        known = (*self.context.problems, *problems)
        self.context = replace(self.context, finished_at=iso(self.now()), problems=known)
        event = MeasuredEvent(
            context=validate(context_to_json(self.context), ContextDocument, "run.json"),
            files=dict(files or {}),
            key=dict(key or {}),
            rejected=rejected,
        )
        self.journal.append(event)
        return event

    def find_settings(self, baseline: Baseline) -> None:
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

    def settings_move(self) -> SettingsMove | None:
        """Returns the engine settings that a promote of this run moves too."""
        return settings_change.move(self.change, self.request, self.documents, self.context)

    def store_verdict(self, verdict: Verdict) -> None:
        """Keeps the verdict beside the journal, for a resumed run and its result."""
        write_durably(self.journal.folder / resuming.VERDICT, verdict_bytes(verdict))


def iso(moment: datetime) -> str:
    """Returns a time as records hold it: UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
