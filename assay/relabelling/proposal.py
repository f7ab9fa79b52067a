"""The proposal: the folder that ingestion writes and publishing reads.

::

    golden.jsonl          the golden set that follows; absent where a check of it does not hold
    history.jsonl         every change that people's answers made, oldest first
    answers.jsonl         the ledger: redacted texts, pseudonyms, latest answers
    ingest_report.jsonl   a row a text, or unreadable row: accepted, quarantined, rejected, why
    summary.json          counts, agreement, annotators, checks, and the digests of the others

Decides what the summary says and that a folder is used only whole; leaves computing it to
`derive`. The summary is written last: a folder whose files it does not name by digest is refused.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from assay import digests
from assay.documents import Document, parse_json, read_text, validate
from assay.errors import ConfigError
from assay.golden_frozen import DIGEST_FILE, GOLDEN_FILE, SEMANTIC_VERSION, FrozenGolden
from assay.records import GoldenCase

HISTORY_FILE = "history.jsonl"
LEDGER_FILE = "answers.jsonl"
REPORT_FILE = "ingest_report.jsonl"
SUMMARY_FILE = "summary.json"


class ExportSummary(Document):
    """Which export was read. `rows` are lines, tasks or records."""

    name: str
    digest: str
    format: str
    rows: int


class AgreementSummary(Document):
    """Krippendorff's alpha; None where it is not defined."""

    alpha: float | None
    interval: tuple[float, float] | None
    units: int
    labels: int


class PersonSummary(Document):
    """One annotator, by pseudonym. Shares are None where nothing is known to divide by."""

    annotator: str
    answers: int
    share_of_answers: float | None
    honeypots: int
    honeypot_accuracy: float | None
    anchoring_share: float | None
    out: str | None


class CheckSummary(Document):
    """One check of the resulting set."""

    check: str
    status: str
    reason: str


class Summary(Document):
    """The whole of `summary.json`.

    `rows` counts fates of the rows of this export by status, `reasons` by status and reason.
    `changes` counts the history rows that this ingestion adds. `anchoring_share` is the share of
    counted labels, given with a prediction in view, that repeat it. `golden_before` is the digest
    of the published set that the proposal is for. `sound` says whether every
    check of the resulting set holds: where it does not, there is no `golden.jsonl`.
    """

    schema_version: Literal[1] = 1
    version: str = Field(pattern=SEMANTIC_VERSION)
    sound: bool
    export: ExportSummary
    golden_before: str
    golden_digest: str
    cases: int
    rows: dict[str, int]
    reasons: dict[str, int]
    changes: dict[str, int]
    answers_not_counted: dict[str, int]
    agreement: AgreementSummary
    agreement_by_label: dict[str, AgreementSummary]
    anchoring_share: float | None
    annotators: tuple[PersonSummary, ...]
    checks: tuple[CheckSummary, ...]
    policy_digest: str
    digests: dict[str, str]

    def to_bytes(self) -> bytes:
        """Returns the file's bytes."""
        return (
            json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"
        ).encode()


def load_proposal(folder: Path) -> Summary:
    """Reads a proposal's summary and verifies every file that it names.

    Raises:
        ConfigError: no proposal, one that is not sound, or a file that is not what it names.
    """
    path = folder / SUMMARY_FILE
    summary = validate(parse_json(read_text(path), str(path)), Summary, str(path))
    for name, expected in summary.digests.items():
        file = folder / name
        found = digests.of_file(file) if file.is_file() else "no such file"
        if Path(name).name != name or found != expected:
            raise ConfigError(
                f"{file}: found {found!r}, expected {expected!r}, which {path} names; the proposal "
                "is not whole: run `assay golden ingest` again"
            )
    if not summary.sound:
        broken = "; ".join(one.reason for one in summary.checks if one.status != "passed")
        raise ConfigError(f"{path}: not sound: {broken}")
    return summary


def next_version(folder: Path, cases: Sequence[GoldenCase]) -> str:
    """Returns the version that new cases are added in.

    That of the proposal in the folder, which is not published yet; else the next minor one after
    that of the frozen set, or after the newest case's.
    """
    proposed = _proposed(folder)
    if proposed is not None:
        return proposed.version
    digest = folder / DIGEST_FILE
    if digest.is_file():
        frozen = validate(parse_json(read_text(digest), str(digest)), FrozenGolden, str(digest))
        return _after(frozen.version)
    versions = [v for case in cases if (v := _numbers(case.added_in))]
    return _after(".".join(map(str, max(versions, default=(0, 0, 0)))))


def published_base(folder: Path, digest: str) -> str:
    """Returns the digest of the published set that a golden file of this digest goes back to.

    That is the file's own, or, where it is a proposal's, that of the set it was proposed for: two
    ingestions in a row make one proposal for the same set.
    """
    proposed = _proposed(folder)
    if proposed is not None and proposed.golden_digest == digest:
        return proposed.golden_before
    return digest


def _proposed(folder: Path) -> Summary | None:
    """Returns the summary of the proposal in a folder, None where there is none.

    A golden folder has a `summary.json` of its own, which counts it and is no proposal's.
    """
    path = folder / SUMMARY_FILE
    if not path.is_file() or not (folder / LEDGER_FILE).is_file():
        return None
    found = parse_json(read_text(path), str(path))
    if not isinstance(found, dict) or "golden_before" not in found:
        return None
    return validate(found, Summary, str(path))


def _numbers(version: str) -> tuple[int, int, int] | None:
    parts = version.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


def _after(version: str) -> str:
    major, minor, _ = version.split(".")
    return f"{major}.{int(minor) + 1}.0"


def names_of_outputs() -> tuple[str, ...]:
    """Returns the files of a proposal, the summary last."""
    return GOLDEN_FILE, HISTORY_FILE, LEDGER_FILE, REPORT_FILE, SUMMARY_FILE


def as_line(row: dict[str, Any]) -> bytes:
    """Returns a report row as a line."""
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"
