"""`make test` in two phases: what each runs, and what the whole says when one of them fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PASSED, FAILED, INTERRUPTED, NOTHING = 0, 1, 2, 5
PYTEST = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in *--alone=skip*) exit "$FIRST" ;; *) exit "$SECOND" ;; esac
"""


def calls(folder: Path, first: int, second: int, *arguments: str) -> tuple[int, list[str]]:
    """Runs both phases with a pytest that ends as told; returns the end, and how it was called."""
    program = folder / "pytest"
    program.write_text(PYTEST)
    program.chmod(0o755)
    told = {"CALLS": str(folder / "calls"), "FIRST": str(first), "SECOND": str(second)}
    done = subprocess.run(
        [ROOT / "scripts/test.sh", *arguments],
        env=os.environ | told | {"PYTEST": str(program), "WORKERS": "3"},
        timeout=30,
        check=False,
    )
    return done.returncode, (folder / "calls").read_text().splitlines()


@pytest.mark.parametrize(
    ("first", "second", "whole"),
    [
        (PASSED, PASSED, PASSED),
        (FAILED, PASSED, FAILED),
        (PASSED, FAILED, FAILED),
        (FAILED, NOTHING, FAILED),
        (NOTHING, FAILED, FAILED),
        (NOTHING, PASSED, PASSED),
        (PASSED, NOTHING, PASSED),
        (NOTHING, NOTHING, NOTHING),
        (137, PASSED, 137),
        (PASSED, INTERRUPTED, INTERRUPTED),
    ],
)
def test_both_phases_run_and_either_one_fails_the_whole(
    tmp_path: Path, first: int, second: int, whole: int
) -> None:
    code, called = calls(tmp_path, first, second)
    assert code == whole
    assert ["--alone=skip" in called[0], "--alone=only" in called[1]] == [True, True]


def test_whoever_interrupts_the_first_phase_is_not_given_the_second(tmp_path: Path) -> None:
    code, called = calls(tmp_path, INTERRUPTED, PASSED)
    assert (code, len(called)) == (INTERRUPTED, 1)


def test_arguments_reach_both_phases_and_processes_only_the_first(tmp_path: Path) -> None:
    _, called = calls(tmp_path, PASSED, PASSED, "-k", "store", "-x")
    assert all(line.endswith("-k store -x") for line in called)
    assert ["-n 3" in line for line in called] == [True, False]


def test_each_test_is_in_one_phase() -> None:
    def collected(*phase: str) -> set[str]:
        listed = subprocess.run(
            [sys.executable, "-m", "pytest", "--co", "-q", "tests/assay/test_engine_watch.py",
             *phase],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return {line for line in listed.stdout.splitlines() if "::" in line}

    shared, alone = collected("--alone=skip"), collected("--alone=only")
    assert shared
    assert alone
    assert not shared & alone
    assert shared | alone == collected()
    assert any("test_a_watch_looks_first_at_every_tick_and_last" in name for name in alone)
