"""Small golden cases and probes."""

from assay import digests
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
