"""Small golden cases and probes."""

from collections.abc import Iterable
from pathlib import Path

from assay import digests
from assay.golden_frozen import canonical, describe_frozen, to_jsonl
from assay.records import GoldenCase, Probe

LABELS = ("joy", "anger")
SECRET = "words nobody may see"


def cases(count: int) -> list[GoldenCase]:
    """Returns cases that differ by their number."""
    return [
        GoldenCase(
            id=f"c-{number}",
            text=f"{SECRET} {number}",
            text_sha256=digests.text_sha256(f"{SECRET} {number}"),
            label="joy",
            lang="en",
            source="handwritten",
            stratum="core",
            slices=("short",),
            added_in="1.0.0",
        )
        for number in range(count)
    ]


def probes(count: int) -> list[Probe]:
    """Returns probes that differ by their number."""
    return [
        Probe(
            id=f"p-{number}",
            text=f"{SECRET} probe {number}",
            text_sha256=digests.text_sha256(f"{SECRET} probe {number}"),
            lang="en",
            kind="pii",
        )
        for number in range(count)
    ]


def write_frozen(
    folder: Path, version: str, held: Iterable[GoldenCase], probing: Iterable[Probe]
) -> None:
    """Writes a version's files as the `freeze` stage does; makes the folder if it is not there."""
    folder.mkdir(exist_ok=True)
    frozen, frozen_probes = canonical(held), canonical(probing)
    (folder / "golden.jsonl").write_bytes(to_jsonl(frozen))
    (folder / "probes.jsonl").write_bytes(to_jsonl(frozen_probes))
    digest = describe_frozen(version, frozen, frozen_probes).to_bytes()
    (folder / "golden.digest.json").write_bytes(digest)
