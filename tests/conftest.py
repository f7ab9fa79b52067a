"""The phases of a run, and what tests say at its end.

`--phase=shared` keeps what shares a machine well (`pytest -n 2`), `--phase=paired` what starts
servers and mostly waits for them, `--phase=alone` what needs the machine to itself. Together they
are the whole suite (`scripts/test.sh`). Without the option everything is run.
"""

import os
import random
import re
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.summary import LINES, tell

os.environ.setdefault("ASSAY_CHAOS_SEED", str(random.SystemRandom().randrange(10**6)))
# Drawn before workers start and before the chaos suite is read: all must name the same tests.

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it runs in the background without Ctrl-C, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ALONE = frozenset({"alone", "docker", "vllm"})
"""Markers of tests that measure time, or start something that fills the machine.

One that needs Docker or vLLM and does neither says so: it is marked `paired` as well.
"""
PAIRED = frozenset({"paired", "prefect_server"})
"""Markers of tests that start servers and mostly wait for them: two at a time are fine."""
PHASES = {"shared": frozenset(), "paired": PAIRED, "alone": ALONE}
"""Each phase with the markers of which its tests have one; `shared` is of what has none."""
_MARKERS = re.compile(r"\bmark\.(\w+)")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the choice of a phase."""
    parser.addoption("--phase", choices=[*PHASES], help="run nothing but the tests of one phase")


def phase_of(item: pytest.Item) -> str:
    """Returns the phase that a test is run in."""
    marks = {mark.name for mark in item.iter_markers()}
    if marks & ALONE and ("alone" in marks or "paired" not in marks):
        return "alone"
    return "paired" if marks & PAIRED else "shared"


def _names(path: Path, phase: str) -> bool:
    """Whether a file of tests names a marker of a phase."""
    return not PHASES[phase].isdisjoint(_MARKERS.findall(path.read_text(encoding="utf-8")))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Passes over files that name no marker of the phase: to import all takes most of a minute."""
    phase = config.getoption("--phase")
    if not phase or not PHASES[phase] or not collection_path.match("test_*.py"):
        return None
    return None if _names(collection_path, phase) else True


@pytest.hookimpl(trylast=True)  # after the folders' own hooks have set their markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the tests of the phase that was asked for."""
    placed = [(item, phase_of(item)) for item in items]
    for path, own in {(item.path, own) for item, own in placed}:
        if PHASES[own] and not _names(path, own):
            raise pytest.UsageError(
                f"{path}: has tests of the phase {own} and names none of its markers, so that "
                "they would never run; write `pytest.mark.…` in the file itself"
            )
    phase = config.getoption("--phase")
    if phase is None:
        return
    kept = [item for item, own in placed if own == phase]
    others = [item for item, own in placed if own != phase]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = kept


@pytest.hookimpl(trylast=True)  # after the folders' own hooks have told theirs
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hands a worker's lines to the process that prints the summary."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["summary"] = session.config.stash.get(LINES, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes a worker's lines."""
    told: Iterable[str] = getattr(node, "workeroutput", {}).get("summary", ())
    tell(node.config, *told)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Prints what tests wanted to have said."""
    for line in config.stash.get(LINES, []):
        terminalreporter.write_line(line)
