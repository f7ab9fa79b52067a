"""Machines to do harm to, and the count of what was done."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue

import pytest

from tests.chaos import tally
from tests.chaos.kills import Kill, Lane, survive
from tests.chaos.machine import Machine, prepared, short_folder
from tests.summary import tell

LANES = 2
"""Gates at once: one a core of the machine that this suite's time is set for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks everything here."""
    for item in items:
        if "tests/chaos" in item.path.as_posix():
            item.add_marker(pytest.mark.chaos)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Has what was done printed."""
    tell(session.config, *(f"chaos: {line}" for line in tally.lines()))


@pytest.fixture(scope="session")
def prepared_machine() -> Iterator[Machine]:
    """One machine for all tests that use one at a time."""
    with short_folder() as folder, prepared(folder) as machine:
        yield machine


@pytest.fixture
def machine(prepared_machine: Machine) -> Machine:
    """A machine with 1.0.0 in production, at the moment before a release."""
    for process in prepared_machine.processes():
        process.kill()  # what a test that failed has left
    prepared_machine.wait_for_silence()
    prepared_machine.restore()
    return prepared_machine


@pytest.fixture(scope="session")
def survived(request: pytest.FixtureRequest) -> Iterator[dict[Kill, Future[None]]]:
    """Does every kill that this session's tests ask for, a few at a time.

    Each test waits for its own: the tests stay one a kill, and the cores stay busy.
    """
    wanted: list[Kill] = []
    for item in request.session.items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            kill = item.callspec.params.get("kill")
            if isinstance(kill, Kill):
                wanted.append(kill)
    lanes: SimpleQueue[Lane] = SimpleQueue()

    def do(kill: Kill) -> None:
        lane = lanes.get()
        try:
            survive(lane, kill)
        finally:
            lanes.put(lane)

    with ExitStack() as stack:
        machines = [
            stack.enter_context(prepared(stack.enter_context(short_folder())))
            for _ in range(min(LANES, len(wanted)))
        ]
        for machine in machines:
            lanes.put(Lane.of(machine))
        pool = stack.enter_context(ThreadPoolExecutor(LANES))
        yield {kill: pool.submit(do, kill) for kill in wanted}
        pool.shutdown(cancel_futures=True)
        for machine in machines:
            machine.wait_for_silence()
