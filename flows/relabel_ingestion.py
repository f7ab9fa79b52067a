"""Ingests an export of people's answers: from a file to a proposed golden set in a folder.

Decides the order of the steps and what is reported; leaves every judgement to `assay.relabelling`,
checking the resulting set to the validator and publishing it to whoever publishes. Nothing that
exists is changed: the proposal is a folder of its own, which appears whole or not at all.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay import digests
from assay.adapters.relabel_export import Export
from assay.documents import read_text
from assay.errors import ConfigError
from assay.golden_frozen import GOLDEN_FILE, canonical
from assay.golden_set import GoldenSet, golden_digest
from assay.ports import GoldenValidator, Progress
from assay.records import Finding, FindingStatus, GoldenCase
from assay.relabelling.admission import Training
from assay.relabelling.derive import Derivation, Derived, Fate
from assay.relabelling.history import (
    HistoryRow,
    before_answers,
    continue_history,
    read_history,
)
from assay.relabelling.identities import IdentityRow
from assay.relabelling.intake import Intake, Pseudonyms, Refusal
from assay.relabelling.ledger import Key, Ledger, read_ledger
from assay.relabelling.policy import RelabelPolicy
from assay.relabelling.proposal import HISTORY_FILE, LEDGER_FILE, next_version
from assay.relabelling.sketches import salt_id


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRequest:
    """What is to be ingested, into which set, by which rules.

    `folder` is where the set's history and ledger lie. `version` is what new cases are added in;
    None takes the next. `salt` is that of people's pseudonyms, `identities` what the opaque
    names of review exports stand for.
    """

    export: Path
    golden: GoldenSet
    folder: Path
    labels: Sequence[str]
    question: str
    policy: RelabelPolicy
    salt: bytes
    training: Sequence[Training] = ()
    version: str | None = None
    identities: Mapping[str, IdentityRow] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What an ingestion found, before anything is written.

    `touched` are the texts that the export is about, with the row they first stood in and the
    number of rows; `refusals` the rows that became no text.
    """

    request: IngestRequest
    version: str
    export: Export
    ledger: Ledger
    touched: Mapping[Key, tuple[int, int]]
    refusals: Sequence[Refusal]
    derived: Derived
    after: GoldenSet
    history: tuple[HistoryRow, ...]
    changes: tuple[HistoryRow, ...]
    checks: Sequence[Finding]

    @property
    def sound(self) -> bool:
        """Whether every check of the resulting set holds."""
        return all(one.status is FindingStatus.PASSED for one in self.checks)

    def fates(self) -> Iterator[tuple[Key, Fate]]:
        """Yields what became of each text of the export, in the order of ids."""
        for key in sorted(self.touched):
            yield key, self.derived.fates[key]

    @property
    def rows(self) -> Counter[str]:
        """Texts and refused rows by status."""
        found = Counter(fate.status for _, fate in self.fates())
        found.update("quarantined" if r.quarantined else "rejected" for r in self.refusals)
        return found

    @property
    def all_accepted(self) -> bool:
        """Whether no row was quarantined or rejected."""
        return not (self.rows["quarantined"] or self.rows["rejected"])


def ingest(request: IngestRequest, validator: GoldenValidator, progress: Progress) -> Ingested:
    """Returns what follows from an export. Writes nothing.

    Raises:
        ConfigError: the export, the ledger, the history or the golden set is not what it must be.
        EvaluatorError: the resulting set could not be checked.
    """
    current = {case.id: case for case in request.golden.cases}
    history = _beside(request, HISTORY_FILE)
    earlier = read_history(history, str(request.folder / HISTORY_FILE)) if history else ()
    before, added_in = before_answers(current, earlier)
    reading = _Reading(request, before)
    progress(f"reading {request.export}")
    reading.run()
    progress(f"{reading.export.rows} rows, {len(reading.touched)} texts; deciding")
    version = request.version or next_version(request.folder, request.golden.cases)
    derived = Derivation(
        before,
        reading.ledger.items,
        added_in=added_in,
        version=version,
        training=request.training,
        policy=request.policy,
    ).run()
    after = _as_set(derived.cases, request)
    progress(f"{after.size} cases follow; checking them")
    changes = continue_history(earlier, current, derived.cases, derived.why)
    return Ingested(
        request=request,
        version=version,
        export=reading.export,
        ledger=reading.ledger,
        touched=reading.touched,
        refusals=reading.refusals,
        derived=derived,
        after=after,
        history=(*earlier, *changes),
        changes=changes,
        checks=validator.check(after, request.labels),
    )


@dataclass(slots=True)
class _Reading:
    """An export being taken into the ledger."""

    request: IngestRequest
    before: Mapping[str, GoldenCase]
    ledger: Ledger = field(init=False)
    export: Export = field(init=False)
    touched: dict[Key, tuple[int, int]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)

    def run(self) -> None:
        request = self.request
        kept = _beside(request, LEDGER_FILE)
        where = str(request.folder / LEDGER_FILE)
        self.ledger = read_ledger(kept, where, salt_id(request.salt)) if kept else Ledger()
        self.export = Export(request.export, request.question)
        intake = Intake(
            request.policy, request.labels, Pseudonyms(request.salt), request.identities
        )
        texts = {name: c.text for name, c in self.before.items() if c.text is not None}
        for task in self.export.read():
            item = task if isinstance(task, Refusal) else intake.take(task, texts)
            if isinstance(item, Refusal):
                self.refusals.append(item)
                continue
            place = task.place
            key = self.ledger.add(item)
            first, count = self.touched.get(key, (place, 0))
            self.touched[key] = (first, count + 1)
        _refuse_strange_labels(self, request)


def _refuse_strange_labels(reading: _Reading, request: IngestRequest) -> None:
    """An export of which no answer is a label of the task belongs to another task."""
    kinds = Counter(
        answer.kind.value
        for key in reading.touched
        for answer in reading.ledger.items[key].answers.values()
    )
    if kinds["unknown_label"] and not kinds["label"]:
        raise ConfigError(
            f"{request.export}: none of its {kinds['unknown_label']} labels is one of the task's "
            f"({', '.join(map(repr, request.labels))}): the export of another project; export the "
            "right one, or name its --task"
        )


def _beside(request: IngestRequest, name: str) -> str | None:
    path = request.folder / name
    return read_text(path) if path.is_file() else None


def _as_set(cases: Mapping[str, GoldenCase], request: IngestRequest) -> GoldenSet:
    if not cases:
        raise ConfigError(f"{request.export}: no golden case follows from it, and there was none")
    ordered = canonical(cases.values())
    return GoldenSet(cases=ordered, digest=golden_digest(ordered), revision=GOLDEN_FILE)


def report_rows(found: Ingested) -> Iterator[dict[str, Any]]:
    """Yields the rows of the report, without any text: refused rows first, then texts by id."""
    for refusal in sorted(found.refusals, key=lambda one: one.place):
        yield {
            "row": refusal.place,
            "id": refusal.id,
            "status": "quarantined" if refusal.quarantined else "rejected",
            "reason": refusal.reason,
            "detail": refusal.detail,
        }
    for key, fate in found.fates():
        first, rows = found.touched[key]
        item = found.ledger.items[key]
        row: dict[str, Any] = {"row": first, "rows": rows, "id": item.id, "status": fate.status}
        row |= {"reason": fate.reason, "detail": fate.detail}
        if fate.decision is not None:
            row["votes"] = fate.decision.votes
        out = {
            who: why
            for who, answer in sorted(item.answers.items())
            if (why := found.derived.annotators.why_not(who, answer))
        }
        yield row | ({"not_counted": out} if out else {})


def policy_digest(policy: RelabelPolicy) -> str:
    """Returns the identity of the rules."""
    return digests.of_json(policy.model_dump(mode="json"))
