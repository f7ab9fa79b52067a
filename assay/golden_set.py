"""The golden set and the probes: reading, canonical order, identity.

Decides what a golden file must hold to be used at all and what its digest is; leaves the checks of
its quality (balance, near-duplicates, lengths) to the validator adapter, and its versions to DVC.

The digest covers every case with its text replaced by the text's SHA-256, in the order of ids. An
evidence folder, which holds no text, can therefore prove which golden set a verdict used.
"""

import hashlib
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from assay import digests
from assay.documents import Document, Identifier, parse_jsonl, quoted, read_text
from assay.errors import ConfigError
from assay.records import Annotation, GoldenCase, Probe

_SAYS_NOTHING = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})
"""Unicode categories of spaces, line ends, controls and signs without a shape."""


_SHARED = ("label", "lang", "source", "stratum", "added_in")


class AnnotationRow(Document):
    """One annotator's label inside a golden row."""

    annotator: str = Field(min_length=1)
    label: str = Field(min_length=1)


class _TextRow(Document):
    id: Identifier
    text: str | None = None
    text_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    lang: str = Field(min_length=2, max_length=35)

    @field_validator("text")
    @classmethod
    def _says_something(cls, text: str | None) -> str | None:
        if text is not None and all(unicodedata.category(sign) in _SAYS_NOTHING for sign in text):
            raise ValueError("the text is empty")
        return text

    @model_validator(mode="after")
    def _has_one_identity(self) -> Self:
        if (self.text is None) == (self.text_sha256 is None):
            raise ValueError("expected text (or, in evidence, text_sha256 alone)")
        return self

    def identity(self) -> str:
        """Hex SHA-256 of the text."""
        if self.text is None:
            return self.text_sha256 or ""
        return digests.text_sha256(self.text)


class GoldenRow(_TextRow):
    """One line of a golden file, as it enters."""

    label: str = Field(min_length=1)
    source: str = Field(min_length=1)
    stratum: Literal["core", "hitl"]
    slices: tuple[str, ...]
    added_in: str = Field(min_length=1)
    annotations: tuple[AnnotationRow, ...] = ()
    agreement: float | None = Field(default=None, ge=-1.0, le=1.0)

    def to_case(self) -> GoldenCase:
        """Returns the row as a record."""
        annotations = tuple(Annotation(**row.model_dump()) for row in self.annotations)
        # Few words are shared by all rows; a million rows hold one copy of each.
        shared: dict[str, Any] = {name: sys.intern(getattr(self, name)) for name in _SHARED}
        return GoldenCase(
            text_sha256=self.identity(),
            annotations=annotations,
            **self.model_dump(exclude={"annotations", "text_sha256", *_SHARED}),
            **shared,
        )


class ProbeRow(_TextRow):
    """One line of a probes file, as it enters."""

    kind: str = Field(min_length=1)
    target: str | None = None
    label: str | None = None

    def to_probe(self) -> Probe:
        """Returns the row as a record."""
        return Probe(text_sha256=self.identity(), **self.model_dump(exclude={"text_sha256"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenSet:
    """Golden cases in the order of their ids, and the digest that names them.

    `revision` is how the set was asked for (a Git revision, or a path), for the reader only.
    """

    cases: tuple[GoldenCase, ...]
    digest: str
    revision: str

    @property
    def size(self) -> int:
        """Number of cases."""
        return len(self.cases)


def load_golden(path: Path, labels: Sequence[str], *, revision: str | None = None) -> GoldenSet:
    """Reads a golden file (JSONL).

    Args:
        path: the file; it may hold texts, or text digests (evidence).
        labels: the task's labels; any other is an error.
        revision: how the set was asked for; the path if None.

    Raises:
        ConfigError: names file, line and case for the first line that is wrong: not UTF-8, not
            JSON, unknown field, empty text, wrong label, id given twice; or an empty file.
    """
    return parse_golden(read_text(path), str(path), labels, revision=revision or str(path))


def parse_golden(text: str, where: str, labels: Sequence[str], *, revision: str) -> GoldenSet:
    """Reads the text of a golden file, which comes from `where`; else as `load_golden`."""
    cases: dict[str, GoldenCase] = {}
    for number, row in parse_jsonl(text, where, GoldenRow):
        if row.label not in labels:
            raise ConfigError(
                f"{where}:{number}: case {row.id!r} has label {quoted(row.label)}; expected one of "
                f"{', '.join(map(repr, labels))}; correct the label or add it to task.yaml"
            )
        if row.id in cases:
            raise ConfigError(
                f"{where}:{number}: id {row.id!r} appears twice; give each case its own id"
            )
        cases[row.id] = row.to_case()
    if not cases:
        raise ConfigError(f"{where}: holds no case; expected one JSON object a line")
    ordered = tuple(cases[key] for key in sorted(cases))
    return GoldenSet(cases=ordered, digest=golden_digest(ordered), revision=revision)


def load_probes(path: Path) -> tuple[Probe, ...]:
    """Reads a probes file (JSONL), or every `*.jsonl` of a folder, in the order of ids.

    Raises:
        ConfigError: a file is wrong, an id appears twice, or there is no probe.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    return _collect_probes(str(path), ((str(file), read_text(file)) for file in files))


def parse_probes(text: str, where: str) -> tuple[Probe, ...]:
    """Reads the text of a probes file, which comes from `where`; else as `load_probes`."""
    return _collect_probes(where, [(where, text)])


def _collect_probes(source: str, files: Iterable[tuple[str, str]]) -> tuple[Probe, ...]:
    probes: dict[str, Probe] = {}
    for file, text in files:
        for number, row in parse_jsonl(text, file, ProbeRow):
            if row.id in probes:
                raise ConfigError(
                    f"{file}:{number}: id {row.id!r} appears twice; give each probe its own id"
                )
            probes[row.id] = row.to_probe()
    if not probes:
        raise ConfigError(f"{source}: holds no probe; expected one JSON object a line")
    return tuple(probes[key] for key in sorted(probes))


def index_row(item: GoldenCase | Probe) -> dict[str, Any]:
    """Returns a case or probe as stored in evidence: everything but its text."""
    row: dict[str, Any] = {"id": item.id, "text_sha256": item.text_sha256, "lang": item.lang}
    if isinstance(item, Probe):
        optional = {"target": item.target, "label": item.label}
        return row | {"kind": item.kind} | {k: v for k, v in optional.items() if v is not None}
    row |= {
        "label": item.label,
        "source": item.source,
        "stratum": item.stratum,
        "slices": list(item.slices),
        "added_in": item.added_in,
    }
    if item.annotations:
        row["annotations"] = [
            {"annotator": a.annotator, "label": a.label} for a in item.annotations
        ]
    if item.agreement is not None:
        row["agreement"] = item.agreement
    return row


def full_row(item: GoldenCase | Probe) -> dict[str, Any]:
    """Returns a case or probe as a golden or probes file stores it, with its text.

    Raises:
        ConfigError: the text is not known, because the item was read from evidence.
    """
    if item.text is None:
        raise ConfigError(f"{item.id!r}: only the digest of its text is known; read the golden set")
    row = index_row(item)
    del row["text_sha256"]
    return {"id": row.pop("id"), "text": item.text, **row}


def golden_digest(items: Iterable[GoldenCase | Probe]) -> str:
    """Returns the digest of cases (or probes), whatever their order."""
    hashed = hashlib.sha256()
    for item in sorted(items, key=lambda item: item.id):
        hashed.update(digests.canonical_json(index_row(item)) + b"\n")
    return f"sha256:{hashed.hexdigest()}"
