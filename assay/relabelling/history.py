"""What happened to each case because of people's answers: rows are added, never changed.

Decides when a case's state counts as changed and what is written down then; the golden file is the
state that the last rows leave. A row that replaces another names it (`supersedes`), so the way from
any label back to the first is on record, and with it the set as it was before people answered.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from pydantic import Field

from assay import digests
from assay.documents import Document, Identifier, parse_jsonl
from assay.golden_set import AnnotationRow
from assay.records import Annotation, GoldenCase

Change = Literal["added", "relabelled", "confirmed", "withdrawn"]


class Before(Document):
    """What a golden case held before the first answer changed it."""

    label: str
    annotations: tuple[AnnotationRow, ...] = ()
    agreement: float | None = None


class HistoryLine(Document):
    """One line of `history.jsonl`, as it enters; the fields of `HistoryRow`."""

    id: str = Field(pattern="^[0-9a-f]{64}$")
    case_id: Identifier
    change: Change
    label: str | None
    previous: Before | None = None
    supersedes: str | None = None
    valid_from: str | None = None
    reason: str
    votes: dict[str, int] = Field(default_factory=dict)
    agreement: float | None = None
    source: str
    stratum: str
    selection: str | None = None
    added_in: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One change of one case.

    `id` is the digest of the row's other fields. `valid_from` is when the answers decided it, not
    when they were ingested: None where they have no time. `previous` is what the row replaces, and
    `supersedes` the row that said so, where there is one.
    """

    id: str
    case_id: str
    change: Change
    label: str | None
    previous: Before | None
    supersedes: str | None
    valid_from: str | None
    reason: str
    votes: Mapping[str, int]
    agreement: float | None
    source: str
    stratum: str
    selection: str | None
    added_in: str


@dataclasses.dataclass(frozen=True, slots=True)
class Why:
    """Why a case is as it is: what a history row says beside the case itself."""

    reason: str
    annotations: tuple[Annotation, ...] = ()
    valid_from: str = ""
    selection: str | None = None


_GONE = Why("the answers behind it no longer count")


def read_history(text: str, where: str) -> tuple[HistoryRow, ...]:
    """Reads the text of a `history.jsonl`.

    Raises:
        ConfigError: a line is not what a history holds.
    """
    return tuple(
        HistoryRow(**{name: getattr(line, name) for name in HistoryLine.model_fields})
        for _, line in parse_jsonl(text, where, HistoryLine)
    )


def before_answers(
    current: Mapping[str, GoldenCase], history: Iterable[HistoryRow]
) -> tuple[dict[str, GoldenCase], dict[str, str]]:
    """Returns the set as it was before people answered, and the version that each added case is of.

    Cases that people's answers added are left out; labels that they changed are changed back.
    """
    base, added_in = dict(current), dict[str, str]()
    seen: set[str] = set()
    for row in history:
        if row.case_id in seen:
            continue
        seen.add(row.case_id)
        if row.change == "added":
            base.pop(row.case_id, None)
            added_in[row.case_id] = row.added_in
        elif row.previous is not None and row.case_id in base:
            base[row.case_id] = dataclasses.replace(
                base[row.case_id],
                label=row.previous.label,
                annotations=tuple(
                    Annotation(annotator=a.annotator, label=a.label)
                    for a in row.previous.annotations
                ),
                agreement=row.previous.agreement,
            )
    return base, added_in


def continue_history(
    history: Sequence[HistoryRow],
    before: Mapping[str, GoldenCase],
    after: Mapping[str, GoldenCase],
    why: Mapping[str, Why],
) -> tuple[HistoryRow, ...]:
    """Returns the rows to add to a history: one for each case whose state changed."""
    heads = {row.case_id: row.id for row in history}
    return tuple(
        _row(before.get(name), after.get(name), why.get(name) or _GONE, heads.get(name))
        for name in sorted(before.keys() | after.keys())
        if _state(before.get(name)) != _state(after.get(name))
    )


def history_lines(rows: Iterable[HistoryRow]) -> Iterator[bytes]:
    """Yields the lines of a history's file, in the order given."""
    for row in rows:
        told = {name: value for name, value in _fields(row).items() if value is not None}
        yield json.dumps({"id": row.id, **told}, ensure_ascii=False).encode() + b"\n"


def _fields(row: HistoryRow) -> dict[str, object]:
    """Returns every field but the id, as JSON values."""
    names = [field.name for field in dataclasses.fields(row) if field.name != "id"]
    fields = {name: getattr(row, name) for name in names}
    if row.previous is not None:
        fields["previous"] = row.previous.model_dump(mode="json")
    return fields


def _state(case: GoldenCase | None) -> object:
    return None if case is None else (case.label, case.annotations, case.agreement)


def _row(
    old: GoldenCase | None, new: GoldenCase | None, why: Why, supersedes: str | None
) -> HistoryRow:
    case = new or old
    assert case is not None  # noqa: S101 - one of the two differs from None
    change: Change
    if new is None:
        change = "withdrawn"
    elif old is None:
        change = "added"
    else:
        change = "confirmed" if old.label == new.label else "relabelled"
    row = HistoryRow(
        id="",
        case_id=case.id,
        change=change,
        label=None if new is None else new.label,
        previous=None if old is None else _before(old),
        supersedes=supersedes,
        valid_from=why.valid_from or None,
        reason=why.reason,
        votes=votes_of(why.annotations),
        agreement=None if new is None else new.agreement,
        source=case.source,
        stratum=case.stratum,
        selection=why.selection,
        added_in=case.added_in,
    )
    said = json.dumps(_fields(row), sort_keys=True, ensure_ascii=False).encode()
    return dataclasses.replace(row, id=digests.of_bytes(said).removeprefix("sha256:"))


def votes_of(annotations: Iterable[Annotation]) -> dict[str, int]:
    """Returns label → votes, most first."""
    counted = Counter(one.label for one in annotations)
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))


def _before(case: GoldenCase) -> Before:
    annotations = tuple(
        AnnotationRow(annotator=a.annotator, label=a.label) for a in case.annotations
    )
    return Before(label=case.label, annotations=annotations, agreement=case.agreement)
