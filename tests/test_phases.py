"""`make test` in three phases: what each runs, and what the whole says when one of them fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PASSED, FAILED, INTERRUPTED, NOTHING = 0, 1, 2, 5
PYTEST = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in
*--phase=shared*) exit "$ONE" ;;
*--phase=paired*) exit "$TWO" ;;
*) exit "$THREE" ;;
esac
"""


def calls(folder: Path, ends: tuple[int, int, int], *arguments: str) -> tuple[int, list[str]]:
    """Runs all phases with a pytest that ends as told; returns the end, and how it was called."""
    program = folder / "pytest"
    program.write_text(PYTEST)
    program.chmod(0o755)
    told = dict(zip(("ONE", "TWO", "THREE"), map(str, ends), strict=True))
    told |= {"CALLS": str(folder / "calls"), "PYTEST": str(program), "WORKERS": "3"}
    done = subprocess.run(
        [ROOT / "scripts/test.sh", *arguments], env=os.environ | told, timeout=30, check=False
    )
    return done.returncode, (folder / "calls").read_text().splitlines()


@pytest.mark.parametrize(
    ("ends", "whole"),
    [
        ((PASSED, PASSED, PASSED), PASSED),
        ((FAILED, PASSED, PASSED), FAILED),
        ((PASSED, FAILED, PASSED), FAILED),
        ((PASSED, PASSED, FAILED), FAILED),
        ((FAILED, NOTHING, NOTHING), FAILED),
        ((NOTHING, NOTHING, FAILED), FAILED),
        ((NOTHING, PASSED, NOTHING), PASSED),
        ((PASSED, NOTHING, NOTHING), PASSED),
        ((NOTHING, NOTHING, NOTHING), NOTHING),
        ((137, PASSED, NOTHING), 137),
        ((PASSED, 137, FAILED), 137),
        ((PASSED, PASSED, INTERRUPTED), INTERRUPTED),
    ],
)
def test_every_phase_runs_and_any_of_them_fails_the_whole(
    tmp_path: Path, ends: tuple[int, int, int], whole: int
) -> None:
    code, called = calls(tmp_path, ends)
    assert code == whole
    phases = [line.partition("--phase=")[2].partition(" ")[0] for line in called]
    assert phases == ["shared", "paired", "alone"]


@pytest.mark.parametrize("ends", [(INTERRUPTED, 0, 0), (FAILED, INTERRUPTED, 0)])
def test_whoever_interrupts_a_phase_is_not_given_the_next(
    tmp_path: Path, ends: tuple[int, int, int]
) -> None:
    code, called = calls(tmp_path, ends)
    assert (code, len(called)) == (INTERRUPTED, ends.index(INTERRUPTED) + 1)


def test_arguments_reach_every_phase_and_each_has_its_processes(tmp_path: Path) -> None:
    _, called = calls(tmp_path, (PASSED, PASSED, PASSED), "-k", "store", "-x")
    assert all(line.endswith("-k store -x") for line in called)
    assert ["-n 3" in called[0], "-n 2" in called[1], "-n " in called[2]] == [True, True, False]


BORROWED = """
import pytest
MARKS = [pytest.mark.skipif(False, reason=""), getattr(pytest.mark, "alone")]
pytestmark = MARKS
def test_it(): pass
"""


def test_a_file_whose_marker_is_not_written_in_it_is_refused(tmp_path: Path) -> None:
    """The phase that it belongs to would pass it over."""
    (tmp_path / "test_borrowed.py").write_text(BORROWED)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--co", "-q", str(tmp_path)]
    listed = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert listed.returncode == 4
    assert "tests of the phase alone and names none of its markers" in listed.stderr


def test_each_test_is_in_one_phase() -> None:
    def collected(*phase: str) -> set[str]:
        files = ("tests/assay/test_engine_watch.py", "tests/flows/test_ingest_relabels.py")
        listed = subprocess.run(
            [sys.executable, "-m", "pytest", "--co", "-q", *files, *phase],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return {line for line in listed.stdout.splitlines() if "::" in line}

    shared, paired, alone = (collected(f"--phase={name}") for name in ("shared", "paired", "alone"))
    assert shared
    assert not shared & paired | shared & alone | paired & alone
    assert shared | paired | alone == collected()
    assert any("test_a_watch_looks_first_at_every_tick_and_last" in name for name in alone)
    assert any("test_the_flow_completes_with_a_proposal" in name for name in paired)
