"""The two phases of a run, and what tests say at its end.

`--alone=skip` leaves out what needs the machine to itself, so that the rest may run in several
processes at once (`pytest -n 2`); `--alone=only` runs what was left out, one test after the other.
Together they are the whole suite (`scripts/test.sh`). Without the option everything is run.
"""

import os
import random
import signal
from collections.abc import Iterable
from typing import Any

import pytest

from tests.summary import LINES, tell

os.environ.setdefault("ASSAY_CHAOS_SEED", str(random.SystemRandom().randrange(10**6)))
# Drawn before workers start and before the chaos suite is read: all must name the same tests.

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it runs in the background without Ctrl-C, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ALONE = frozenset({"alone", "docker", "prefect_server", "vllm"})
"""Markers of tests that measure time, or start something that fills the machine."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the choice of a phase."""
    parser.addoption(
        "--alone",
        choices=("skip", "only"),
        help="leave out, or run nothing but, the tests that need the machine to themselves",
    )


@pytest.hookimpl(trylast=True)  # after the folders' own hooks have set their markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the tests of the phase that was asked for."""
    phase = config.getoption("--alone")
    if phase is None:
        return
    kept: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        needs_machine = any(mark.name in ALONE for mark in item.iter_markers())
        (kept if needs_machine == (phase == "only") else others).append(item)
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
