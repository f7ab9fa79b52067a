"""What is to be published: a proposal's files, read and held against what they claim.

Decides that a proposal is whole and what it was made from; leaves whether it may be published to
`flows.golden_publishing`. A proposal is the folder that `assay golden ingest` writes, or a golden
file of a curator's own, who then says which version it was made from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.errors import ArtifactError
from assay.golden_frozen import GOLDEN_FILE, canonical
from assay.golden_set import GoldenSet, golden_digest, load_golden
from assay.relabelling.proposal import load_proposal as read_summary

BESIDE = ("history.jsonl", "answers.jsonl")
"""What the next ingestion needs beside the set: who said what, and what every case was before."""


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
    summary = read_summary(path)  # every file that it names is the one that was proposed
    golden = _golden(path / GOLDEN_FILE, labels)
    if summary.golden_digest != golden.digest:
        raise ArtifactError(
            f"{path / GOLDEN_FILE}: its digest is {golden.digest!r}; expected "
            f"{summary.golden_digest!r}, as its summary says; ingest again"
        )
    beside = {name: (path / name).read_bytes() for name in BESIDE if (path / name).is_file()}
    return Proposal(
        golden=golden, base=summary.golden_before, version=summary.version, beside=beside
    )


def _golden(path: Path, labels: Sequence[str]) -> GoldenSet:
    cases = canonical(load_golden(path, labels).cases)
    return GoldenSet(cases=cases, digest=golden_digest(cases), revision=str(path))
