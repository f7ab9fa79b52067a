"""What is to be published: a proposal's files, read and held against what they claim.

Decides that a proposal is whole and what it was made from; leaves whether it may be published to
`flows.golden_publishing`. A proposal is the folder that `assay golden ingest` writes, or a golden
file of a curator's own, who then says which version it was made from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, Field

from assay import digests
from assay.documents import Document, parse_json, read_text, validate
from assay.errors import ArtifactError, ConfigError
from assay.golden_frozen import GOLDEN_FILE, canonical
from assay.golden_set import GoldenSet, golden_digest, load_golden

SUMMARY_FILE = "summary.json"
BESIDE = ("history.jsonl", "answers.jsonl")
"""What the next ingestion needs beside the set: who said what, and what every case was before."""


class Summary(Document):
    """The part of a proposal's summary that publishing rests on; the rest is for people."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: int
    version: str
    sound: bool
    base_digest: str = Field(pattern="^sha256:[0-9a-f]{64}$")
    golden_digest: str | None = None
    digests: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A golden set to publish.

    Attributes:
        golden: its cases, in their canonical form.
        base: digest of the set it was made from; None where only the caller can say.
        version: the version its new cases name; None where they name none in particular.
        beside: file name → bytes of what belongs beside the set.
    """

    golden: GoldenSet
    base: str | None
    version: str | None
    beside: Mapping[str, bytes]


def load_proposal(path: Path, labels: Sequence[str]) -> Proposal:
    """Reads a proposal.

    Args:
        path: a proposal's folder, or a golden file.
        labels: the task's labels.

    Raises:
        ConfigError: a file is missing or wrong, or the proposal was found not to be sound.
        ArtifactError: a file is not the one that was proposed.
    """
    if path.is_file():
        return Proposal(golden=_golden(path, labels), base=None, version=None, beside={})
    where = path / SUMMARY_FILE
    summary = validate(parse_json(read_text(where), str(where)), Summary, str(where))
    if not summary.sound:
        raise ConfigError(
            f"{where}: says that the proposal is not sound; expected one whose checks all pass; "
            f"see {path / 'ingest_report.jsonl'}, mend what it names and ingest again"
        )
    for name, stated in summary.digests.items():
        _check_digest(path / name, stated)
    golden = _golden(path / GOLDEN_FILE, labels)
    if summary.golden_digest not in (None, golden.digest):
        raise ArtifactError(
            f"{path / GOLDEN_FILE}: its digest is {golden.digest!r}; expected "
            f"{summary.golden_digest!r}, as {SUMMARY_FILE} says; ingest again"
        )
    beside = {name: (path / name).read_bytes() for name in BESIDE if (path / name).is_file()}
    return Proposal(golden=golden, base=summary.base_digest, version=summary.version, beside=beside)


def _check_digest(path: Path, stated: str) -> None:
    if not path.is_file():
        raise ArtifactError(f"{path}: missing from the proposal; ingest again")
    found = digests.of_file(path)
    if found.removeprefix("sha256:") != stated.removeprefix("sha256:"):
        raise ArtifactError(
            f"{path}: changed since it was proposed (found {found!r}, expected {stated!r}); ingest "
            "again, and change labels in the export, where they have a name and a history"
        )


def _golden(path: Path, labels: Sequence[str]) -> GoldenSet:
    cases = canonical(load_golden(path, labels).cases)
    return GoldenSet(cases=cases, digest=golden_digest(cases), revision=str(path))
