"""Temporary files of a gate lie where the next one finds them."""

import tempfile
from pathlib import Path

import pytest

from flows import teardown
from flows.scratch import temporary_files_of
from flows.settings import Settings


def test_a_library_s_temporary_files_lie_among_the_run_s_copies_and_go_with_them(
    tmp_path: Path,
) -> None:
    staging, before = tmp_path / "staging", tempfile.gettempdir()

    def interrupted() -> None:
        with temporary_files_of("run-1", staging):
            folder = Path(tempfile.mkdtemp())
            assert folder.parent.parent == staging
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(staging.iterdir()) == []
    assert tempfile.gettempdir() == before


def test_what_a_killed_gate_left_there_the_next_one_removes(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path, store=str(tmp_path), trust=tmp_path / "t", tracking_uri="sqlite://", who="a"
    )
    killed = temporary_files_of("run-1", settings.staging)
    before = tempfile.tempdir
    killed.__enter__()  # and never left
    tempfile.tempdir = before
    (left,) = settings.staging.iterdir()
    assert teardown.remove_staged(settings) == [f"removed the staged copy {left.name}"]
    assert not left.exists()
