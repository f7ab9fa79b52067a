"""The order of releases: signed, and held against production's."""

from pathlib import Path

import pytest

from assay.errors import ArtifactError
from assay.records import ArtifactRef, PulledArtifact
from assay.succession import check_succession


@pytest.mark.parametrize(
    ("candidate", "production", "code"),
    [
        (("1.1.0", 2), ("1.0.0", 1), None),
        (("1.1.0", 1), ("1.0.0", 2), "[replay]"),
        (("1.1.0", 2), ("1.0.0", 2), "[replay]"),
        (("1.0.0", 3), ("1.0.0", 2), "[version-twin]"),
        (("1.0", 3), ("1.0.0", 2), "[version-twin]"),
        (("0.9.0", 1), ("1.0.0", 2), None),
        (("0.9.1", 3), ("1.0.0", 2), None),
    ],
)
def test_an_older_release_is_no_successor(
    candidate: tuple[str, int], production: tuple[str, int], code: str | None
) -> None:
    one, other = pulled(*candidate, "a"), pulled(*production, "b")
    if code is None:
        check_succession(one, other)
        return
    with pytest.raises(ArtifactError) as caught:
        check_succession(one, other)
    assert code in str(caught.value)


def test_production_against_itself_is_no_replay() -> None:
    check_succession(pulled("1.0.0", 1, "a"), pulled("1.0.0", 1, "a"))


def pulled(version: str, sequence: int, letter: str) -> PulledArtifact:
    ref = ArtifactRef(model="m", version=version, digest=f"sha256:{letter * 64}")
    return PulledArtifact(ref=ref, folder=Path("m"), metadata={}, size_bytes=1, sequence=sequence)
