"""Somebody else's rows as golden cases: what a mapping document says, and which rows fit it.

Decides which row becomes which case and why a row does not; leaves reading files to
`adapters.row_sources` and what is done about rejected rows to the command. For any labels and any
language: what a label may be is the task's to say. Reasons name columns, ids and labels, no text.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from assay import digests
from assay.documents import Document, describe, quoted
from assay.golden_frozen import SEMANTIC_VERSION, canonical
from assay.golden_set import GoldenRow
from assay.near_duplicates import same_text_key
from assay.records import GoldenCase

_ID_DIGITS = 16


class Columns(Document):
    """Which column of the source holds which field; a field without a column is a constant."""

    text: str = Field(min_length=1)
    label: str = Field(min_length=1)
    id: str | None = None
    lang: str | None = None
    source: str | None = None
    slices: str | None = Field(
        default=None, description="A list, or words between semicolons; empty for none."
    )


class Constants(Document):
    """Fields that are the same in every case."""

    lang: str | None = Field(default=None, min_length=2, max_length=35)
    source: str | None = Field(default=None, min_length=1)
    stratum: Literal["core", "hitl"] = "core"
    slices: tuple[str, ...] = ()
    added_in: str = Field(default="1.0.0", pattern=SEMANTIC_VERSION)


class IdRule(Document):
    """How a case is named: by a column, or by its text, which then keeps its id wherever it is."""

    by: Literal["column", "text"] = "text"
    prefix: str = Field(default="", max_length=60, pattern=r"^[\w.-]*$")


class GoldenMapping(Document):
    """The whole of a mapping document."""

    schema_version: Literal[1]
    columns: Columns
    constants: Constants = Constants()
    labels: dict[str, str | None] = Field(
        default_factory=dict,
        description="Label in the source → the task's; null leaves its rows out. Others stay.",
    )
    id: IdRule = IdRule()

    @model_validator(mode="after")
    def _says_everything(self) -> Self:
        for name in ("lang", "source"):
            if getattr(self.columns, name) is None and getattr(self.constants, name) is None:
                raise ValueError(f"{name} is neither under columns nor under constants; name it")
        if (self.id.by == "column") != (self.columns.id is not None):
            raise ValueError("id.by is 'column' exactly when columns.id names one")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class RowReport:
    """What became of one row of the source; `id` is its case's, or that of the case it repeats."""

    row: str
    status: Literal["accepted", "rejected", "left out"]
    id: str | None = None
    why: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the row of the report."""
        said = {"row": self.row, "status": self.status, "id": self.id, "why": self.why}
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """Cases in canonical form, and a report of every row in the order of the source.

    `unknown_labels` counts labels that neither the mapping nor the task knows.
    """

    cases: tuple[GoldenCase, ...]
    rows: tuple[RowReport, ...]
    unknown_labels: Mapping[str, int]

    def count(self, status: str) -> int:
        """Returns how many rows came out so."""
        return sum(row.status == status for row in self.rows)


class _Rejected(Exception):  # noqa: N818 - it ends one row, and is no error of ours
    def __init__(self, why: str, identity: str | None = None) -> None:
        super().__init__(why)
        self.identity = identity


class _LeftOut(Exception):  # noqa: N818 - as above
    pass


@dataclass(slots=True)
class _Importing:
    mapping: GoldenMapping
    labels: Sequence[str]
    by_id: dict[str, GoldenCase] = field(default_factory=dict)
    by_text: dict[str, GoldenCase] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)

    def take(self, row: Mapping[str, Any]) -> str:
        """Takes one row in; returns its case's id."""
        (case,) = canonical([self._case(row)])
        same = self.by_text.get(same_text_key(case.text or ""))
        if same is not None:
            also = (
                ""
                if same.label == case.label
                else f", as {same.label!r} there, {case.label!r} here"
            )
            raise _Rejected(f"the same text as an earlier row's{also}", same.id)
        if case.id in self.by_id:
            raise _Rejected(f"the id {case.id!r} is an earlier row's, with another text", case.id)
        self.by_id[case.id] = case
        self.by_text[same_text_key(case.text or "")] = case
        return case.id

    def _case(self, row: Mapping[str, Any]) -> GoldenCase:
        columns, constants = self.mapping.columns, self.mapping.constants
        text = _word(row, columns.text)
        fields: dict[str, Any] = {
            "id": self._identity(row, text),
            "text": text,
            "label": self._label(_word(row, columns.label).strip()),
            "lang": _word(row, columns.lang) if columns.lang else constants.lang,
            "source": _word(row, columns.source) if columns.source else constants.source,
            "stratum": constants.stratum,
            "slices": (*constants.slices, *_list(row, columns.slices)),
            "added_in": constants.added_in,
        }
        try:
            return GoldenRow.model_validate(fields).to_case()
        except ValidationError as error:
            raise _Rejected(describe(error)) from None

    def _identity(self, row: Mapping[str, Any], text: str) -> str:
        rule, column = self.mapping.id, self.mapping.columns.id
        if column is not None:
            return rule.prefix + _word(row, column).strip()
        return rule.prefix + digests.text_sha256(text)[:_ID_DIGITS]

    def _label(self, found: str) -> str:
        label = self.mapping.labels.get(found, found)
        if label is None:
            raise _LeftOut(f"the mapping leaves out the label {quoted(found)}")
        if label not in self.labels:
            self.unknown[found] += 1
            raise _Rejected(
                f"label {quoted(found)} is not the task's; map it under labels, to null if its "
                "rows are to be left out"
            )
        return label


def import_rows(
    rows: Iterable[tuple[str, Mapping[str, Any] | str]],
    mapping: GoldenMapping,
    labels: Sequence[str],
) -> Imported:
    """Turns rows into golden cases.

    Args:
        rows: (where it stands, its columns; or, for a row that could not be read, why).
        mapping: what the columns mean.
        labels: the task's labels.
    """
    work, reports = _Importing(mapping, labels), []
    for place, row in rows:
        try:
            if isinstance(row, str):
                raise _Rejected(row)
            reports.append(RowReport(row=place, status="accepted", id=work.take(row)))
        except _Rejected as fault:
            reports.append(
                RowReport(row=place, status="rejected", id=fault.identity, why=str(fault))
            )
        except _LeftOut as choice:
            reports.append(RowReport(row=place, status="left out", why=str(choice)))
    return Imported(
        cases=canonical(work.by_id.values()),
        rows=tuple(reports),
        unknown_labels=dict(sorted(work.unknown.items())),
    )


def _word(row: Mapping[str, Any], column: str) -> str:
    if column not in row:
        held = ", ".join(map(repr, sorted(map(str, row))[:10]))
        raise _Rejected(f"has no column {column!r}; it has {held}")
    value = row[column]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _Rejected(f"column {column!r}: found {type(value).__name__!r}, expected text")
    return str(value)


def _list(row: Mapping[str, Any], column: str | None) -> tuple[str, ...]:
    if column is None or row.get(column) in (None, ""):
        return ()
    value = row[column]
    parts = value.split(";") if isinstance(value, str) else list(value)
    return tuple(str(part).strip() for part in parts if str(part).strip())
