"""Prefect's server dies under the flow `gate-release`: the gate does not need it.

The flow goes on without it to its verdict; where the flow dies as well, the run it began goes on
from the command line.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos import tally
from tests.chaos.kills import Lane, check_nothing_is_asked_again
from tests.chaos.machine import BETTER, MODEL, PRODUCTION, ROOT, Machine
from tests.chaos.world import PrefectServer, free_port, prefect_server

pytestmark = [pytest.mark.slow, pytest.mark.prefect_server, pytest.mark.timeout(300)]

FLOW = (
    "from flows.gate_release import gate_release; "
    f"gate_release({MODEL!r}, {BETTER!r}, backend='process', golden='golden.jsonl')"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with prefect_server(tmp_path_factory.mktemp("prefect") / "home", free_port()) as server:
        yield server


@contextmanager
def flow_run(
    machine: Machine, server: PrefectServer, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the flow as a worker does: a process of its own."""
    with log.open("wb") as stream:
        flow = subprocess.Popen(
            [sys.executable, "-c", FLOW],
            cwd=machine.place,
            env=machine.environment | server.environment | {"PYTHONPATH": str(ROOT)},
            stdout=stream,
            stderr=stream,
        )
    try:
        yield flow
    finally:
        flow.kill()
        flow.wait(30)


def wait_until_finished(machine: Machine, run: str, log: Path) -> None:
    """Waits for the gate's end, not the process's: Prefect's library still tells its server."""
    end = time.monotonic() + 30
    while machine.states(run)[-1] != "finished":
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


@pytest.mark.parametrize("dies", [False, True], ids=["the flow goes on", "the flow dies as well"])
def test_a_gate_does_not_need_the_prefect_server_that_it_began_with(
    machine: Machine, server: PrefectServer, tmp_path: Path, dies: bool
) -> None:
    undisturbed = Lane.of(machine).verdict
    machine.restore()
    log = tmp_path / "flow.log"
    before = machine.stored()
    server.start()
    with flow_run(machine, server, log) as flow:
        while machine.stored() == before:
            assert flow.poll() is None, log.read_text()
            time.sleep(0.01)
        flow.send_signal(signal.SIGSTOP)
        server.stop()
        tally.fault("Prefect server gone")
        (run,) = machine.runs()
        assert machine.states(run)[-1] == "verified"  # in the middle: nothing is measured yet
        if dies:
            flow.kill()
        flow.send_signal(signal.SIGCONT)
        if dies:
            flow.wait(30)
        else:
            wait_until_finished(machine, run, log)
    paid, asked = machine.stored() - before, machine.questions()
    assert machine.check_alias() == (PRODUCTION if dies else BETTER), log.read_text()
    if not dies:
        assert "Prefect's server does not answer" in log.read_text()
        assert machine.leftovers() == []
        assert set(asked.values()) == {1}
    ended = machine.run("gate", "--resume", run)
    assert ended.status == 0, ended.said
    assert machine.leftovers() == []
    assert machine.check_alias() == BETTER
    assert machine.verdict(run) == undisturbed
    check_nothing_is_asked_again(machine.questions() - asked, paid)
