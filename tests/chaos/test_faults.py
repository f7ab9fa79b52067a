"""The world fails under a gate: nothing is left, nothing is half-done, and the next one ships."""

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from assay.adapters.registry_moves import PRODUCTION as ALIAS
from tests.chaos import tally
from tests.chaos.kills import Lane, check_nothing_is_asked_again
from tests.chaos.machine import (
    BETTER,
    ENGINE,
    EQUAL,
    PRODUCTION,
    WORSE,
    Ended,
    Machine,
    Running,
    prepared,
    short_folder,
)
from tests.chaos.world import clock_library, free_port, mlflow_server, small_disk

pytestmark = [pytest.mark.paired, pytest.mark.slow, pytest.mark.timeout(300)]

INVALID, NOT_PROMOTED = 12, 1


def stopped_at(machine: Machine, step: str, version: str = BETTER, when: str = "before") -> Running:
    """Starts a gate that stops itself at a step."""
    running = machine.start(
        *machine.gate(version), moments=[(("step", step, when), signal.SIGSTOP)]
    )
    running.until_stopped()
    return running


def engines(machine: Machine, version: str | None = None) -> list[psutil.Process]:
    """Returns the engines that run."""
    found = [one for one in machine.processes() if str(ENGINE) in one.cmdline()]
    role = {BETTER: "candidate", PRODUCTION: "production"}.get(version or "", "")
    return [one for one in found if any(f"/{role}" in word for word in one.cmdline())]


def assert_held(machine: Machine, ended: Ended, words: str = "") -> None:
    """The gate said that it could not measure, moved nothing, and left nothing."""
    assert ended.status == INVALID, ended.said
    assert words in ended.said + ended.result
    assert "Traceback" not in ended.said or "InfrastructureError" in ended.said, ended.said
    assert machine.check_alias() == PRODUCTION
    assert machine.leftovers() == [], ended.said


def assert_ships(machine: Machine, *arguments: str) -> Ended:
    """The next start promotes, asks nothing twice, and leaves nothing."""
    paid, asked = machine.stored(), machine.questions()
    ended = machine.run(*(arguments or machine.gate(BETTER)))
    assert ended.status == 0, ended.said + ended.result
    assert machine.check_alias() == BETTER
    assert machine.leftovers() == []
    candidates = {one for one in paid if one not in machine.paid_for_production()}
    check_nothing_is_asked_again(machine.questions() - asked, candidates)
    return ended


@pytest.mark.parametrize(
    ("number", "name", "version"),
    [
        (signal.SIGKILL, "engine killed", BETTER),
        (signal.SIGKILL, "engine killed", PRODUCTION),
        (signal.SIGSTOP, "engine stopped", BETTER),
    ],
)
def test_an_engine_that_dies_or_stops_holds_the_release(
    machine: Machine, number: int, name: str, version: str
) -> None:
    if version == PRODUCTION:  # else it would not be asked anything
        shutil.rmtree(machine.home / "answers")
    who = "candidate" if version == BETTER else "production"
    running = stopped_at(machine, f"ask {who}")
    (engine,) = engines(machine, version)
    engine.send_signal(number)
    tally.fault(name)
    running.go_on()
    assert_held(machine, running.end())
    machine.forget_what_was_asked()
    assert_ships(machine) if version == BETTER else machine.run(*machine.gate(BETTER))
    assert machine.check_alias() == BETTER


def test_a_store_that_goes_away_holds_the_release(machine: Machine) -> None:
    running = stopped_at(machine, "pull and verify candidate 1.1.0")
    store = Path(machine.settings.store)
    store.rename(store.with_name("gone"))
    tally.fault("store gone")
    running.go_on()
    ended = running.end()
    assert ended.status in (2, INVALID), ended.said
    assert machine.check_alias() == PRODUCTION
    assert machine.leftovers() == []
    store.with_name("gone").rename(store)
    assert_ships(machine)


def test_an_alias_that_somebody_moved_meanwhile_stays_where_they_put_it(machine: Machine) -> None:
    assert machine.run(*machine.gate(WORSE)).status == 10  # registers it
    running = stopped_at(machine, "move production")
    with closing(machine.database()) as database, database:
        (number,) = database.execute(
            "SELECT version FROM model_version_tags WHERE key = 'assay.version' AND value = ?",
            (WORSE,),
        ).fetchone()
        database.execute(
            "UPDATE registered_model_aliases SET version = ? WHERE alias = ?", (number, ALIAS)
        )
    tally.fault("alias moved by somebody")
    running.go_on()
    ended = running.end()
    assert ended.status == NOT_PROMOTED, ended.said
    assert "NOT PROMOTED" in ended.said
    held = machine.production()
    assert held is not None
    assert held.version == WORSE
    assert machine.leftovers() == []


def test_two_gates_of_one_model_go_one_after_the_other(machine: Machine) -> None:
    first = stopped_at(machine, "ask candidate")
    second = machine.start(*machine.gate(EQUAL))
    end = time.monotonic() + 60
    while "waiting for it to finish" not in second.said():
        assert time.monotonic() < end, second.said()
        time.sleep(0.05)
    assert engines(machine, BETTER)
    tally.fault("two gates at once")
    first.go_on()
    assert first.end().status == 0
    assert machine.check_alias() == BETTER
    ended = second.end()
    assert ended.status in (0, 10, 11), ended.said
    assert '"1.1.0"' in (machine.home / "runs" / machine.runs()[-1] / "verdict.json").read_text()
    assert machine.leftovers() == []


@pytest.mark.parametrize(
    "step", ["ask candidate", "judge", "write the evidence", "record in MLflow", "move production"]
)
def test_a_full_disk_loses_nothing_that_was_there(small: Machine, step: str) -> None:
    machine, filler = small, small.folder / "filler"
    machine.restore()
    try:
        running = stopped_at(machine, step)
        run = machine.runs()[-1]
        fill(filler)
        tally.fault("disk full")
        running.go_on()
        ended = running.end()
        assert ended.status == INVALID, ended.said + ended.result
        assert machine.check_alias() == PRODUCTION
        assert [one for one in machine.leftovers() if "process" in one] == []
        filler.unlink()
        if step == "ask candidate":  # it knew that it could not measure: that verdict stands
            assert machine.run("gate", "--resume", run).status == INVALID
            assert_ships(machine)
        else:
            assert_ships(machine, "gate", "--resume", run)
    finally:
        filler.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def small() -> Iterator[Machine]:
    with small_disk(size_mib=96) as folder, prepared(folder) as machine:
        yield machine


def fill(path: Path) -> None:
    """Takes all the room that a disk has."""
    with path.open("wb", buffering=0) as stream:
        for size in (2**20, 4096, 1):
            try:
                while stream.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue


@pytest.mark.parametrize(("step", "away_s"), [("record in MLflow", 30), ("move production", 0)])
def test_a_tracking_server_that_is_away_for_a_while_costs_a_resumption(
    machine: Machine, step: str, away_s: float
) -> None:
    expected = Lane.of(machine).verdict
    with short_folder() as folder:
        port = free_port()
        more = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
        data = folder / "mlflow"
        with mlflow_server(data, port) as server, prepared(folder, more=more, data=data) as other:
            running = stopped_at(other, step)
            run = other.runs()[-1]
            server.stop()
            back = time.monotonic() + away_s
            tally.fault(f"MLflow gone for {away_s} s" if away_s else "MLflow gone")
            running.go_on()
            assert_waits_for_mlflow(other, running.end())
            assert time.monotonic() < back or not away_s
            if away_s:  # going on too early changes nothing, however often
                assert_waits_for_mlflow(other, other.run("gate", "--resume", run))
            time.sleep(max(0.0, back - time.monotonic()))
            server.start()
            finished = other.states(run)[-1] == "finished"
            assert_ships(other, *(() if finished else ("gate", "--resume", run)))
            found = other.verdict(run)
            assert {name: found[name] for name in ("verdict", "findings")} == {
                name: expected[name] for name in ("verdict", "findings")
            }


def assert_waits_for_mlflow(machine: Machine, ended: Ended) -> None:
    """The verdict is on the disk, nothing moved, nothing is left, and the gate says what to do."""
    assert ended.status == INVALID, ended.said + ended.result
    assert "MLflow at http://127.0.0.1:" in ended.said, ended.said
    assert "check that the tracking server runs" in ended.said
    assert (machine.home / "runs" / machine.runs()[-1] / "verdict.json").is_file()
    assert machine.check_alias() == PRODUCTION
    assert machine.leftovers() == []


@pytest.mark.parametrize("step_s", [-86400, 86400], ids=["a day back", "a day ahead"])
def test_a_clock_that_jumps_changes_no_verdict(machine: Machine, step_s: int) -> None:
    undisturbed = machine.run(*machine.gate(BETTER))
    assert undisturbed.status == 0
    expected = machine.verdict(machine.runs()[-1])
    with (
        short_folder() as folder,
        clock_library(folder) as (library, offset),
        prepared(folder, preload=library, more=library) as other,
    ):
        running = stopped_at(other, "ask candidate")
        offset.write_text(str(step_s))
        tally.fault("clock step")
        running.go_on()
        ended = running.end()
        assert ended.status in (0, INVALID), ended.said + ended.result
        offset.write_text("0")
        if ended.status == 0:
            assert other.check_alias() == BETTER
            found = other.verdict(other.runs()[-1])
            assert found["findings"] == expected["findings"]
        else:
            assert_ships(other)
        assert other.leftovers() == []
