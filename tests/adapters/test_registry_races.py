"""Promotions at the same time, by real processes: one wins, the others hear it, nothing is lost."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay.adapters.registry_connection import MlflowConnection
from assay.adapters.registry_mlflow import MlflowRegistry
from assay.adapters.registry_turns import MlflowTurns
from assay.errors import InfrastructureError
from assay.records import VerdictKind
from tests import registry_rig as rig
from tests.registry_rig import Stage, gate, ref

PROMOTE = """
import sys, time
from pathlib import Path
from assay.adapters.registry_mlflow import MlflowRegistry
from tests.registry_rig import GATEKEEPER, ref, warrant

uri, locks, model, version, run, start = sys.argv[1:]
registry = MlflowRegistry(uri, Path(locks), GATEKEEPER)
registry.production(model)  # everything is imported and connected before the start
Path(start, version).touch()
while not Path(start, "go").exists():
    time.sleep(0.001)
mine, before = ref(version, model), ref("1.0.0", model)
held = warrant(Path(start).parent, mine)
outcome = registry.promote(mine, expected=before, gate_run=run, warrant=held)
print("moved" if outcome.moved else outcome.reason)
"""
ROOT = Path(__file__).parents[2]
VERSIONS = ("1.1.0", "1.2.0", "1.3.0")


def race(stage: Stage, model: str, folder: Path, *, own_locks: bool) -> dict[str, str]:
    """Lets a process a version promote it, all at once; returns what each printed."""
    first = stage.registry.record(gate(folder, "1.0.0", model=model, run_id="first"))
    stage.registry.promote(
        ref("1.0.0", model),
        expected=None,
        gate_run=first,
        warrant=rig.warrant(folder, ref("1.0.0", model)),
    )
    start = folder / "start"
    start.mkdir()
    processes = {}
    for version in VERSIONS:
        record = gate(folder, version, against=ref("1.0.0", model), model=model, run_id=version)
        run = stage.registry.record(record)
        locks = folder / (f"locks-{version}" if own_locks else "locks")
        command = [sys.executable, "-c", PROMOTE, stage.uri or "", str(locks), model, version, run]
        processes[version] = subprocess.Popen(
            [*command, str(start)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
    try:
        deadline = time.monotonic() + 120
        while len(list(start.iterdir())) < len(VERSIONS) and time.monotonic() < deadline:
            time.sleep(0.05)
        (start / "go").touch()
        return {
            version: process.communicate(timeout=120)[0].strip()
            for version, process in processes.items()
        }
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def assert_one_won(stage: Stage, model: str, said: dict[str, str]) -> None:
    winners = [version for version, words in said.items() if words == "moved"]
    assert len(winners) == 1, said
    held = stage.again().production(model)
    assert held is not None
    assert held.version == winners[0]
    for version in set(VERSIONS) - set(winners):
        assert f"production is now {winners[0]}" in said[version]
    way = stage.registry.way_back(model, None)
    back = stage.registry.move_back(way, reason="test", who="ada", run="back")
    assert back.production is not None
    assert back.production.version == "1.0.0"


@pytest.mark.slow
def test_of_three_processes_that_promote_at_once_one_wins(
    tmp_path: Path, empty_database: Path
) -> None:
    stage = rig.in_sqlite(tmp_path / "data", empty_database)
    assert_one_won(stage, rig.MODEL, race(stage, rig.MODEL, tmp_path, own_locks=False))


@pytest.mark.slow
def test_of_three_machines_that_promote_at_once_one_wins(
    tmp_path: Path, mlflow_server: rig.Server
) -> None:
    """Machines share no lock files: only the server's claim keeps them apart."""
    stage = rig.on_mlflow(
        mlflow_server.uri, mlflow_server.data, tmp_path / "locks", mlflow_server.kill
    )
    assert_one_won(stage, "raced", race(stage, "raced", tmp_path, own_locks=True))


def test_two_gates_that_record_a_new_model_at_once_both_count(
    tmp_path: Path, empty_database: Path
) -> None:
    stage = rig.in_sqlite(tmp_path / "data", empty_database)
    script = """
import sys
from pathlib import Path
from assay.adapters.registry_connection import MlflowConnection
from assay.adapters.registry_mlflow import MlflowRegistry
from assay.adapters.registry_turns import MlflowTurns
from assay.errors import InfrastructureError
from assay.records import VerdictKind
from tests import registry_rig as rig
uri, folder, run_id = sys.argv[1:]
record = rig.gate(Path(folder), kind=VerdictKind.BLOCK, run_id=run_id)
print(rig.MlflowRegistry(uri, Path(folder, "locks")).record(record))
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, stage.uri or "", str(tmp_path), f"run-{number}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    runs = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert all(process.returncode == 0 for process in processes)
    assert len(runs) == 2
    record = gate(tmp_path, kind=VerdictKind.BLOCK, run_id="unused")
    assert stage.registry.uses(rig.MODEL, record.golden.digest) == 2
    found = stage.registry.recorded_verdict(record.ledger_key)
    assert found is not None
    assert found[0] in runs


TURN = """
import sys, time
from pathlib import Path
from assay.adapters.registry_mlflow import MlflowRegistry

uri, locks, model, run_id = sys.argv[1:]
with MlflowRegistry(uri, Path(locks)).turn(model, run_id=run_id, progress=print):
    print("mine", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_the_turn_of_a_killed_gate_is_free_at_once_on_the_same_machine(
    tmp_path: Path, mlflow_server: rig.Server
) -> None:
    command = [sys.executable, "-c", TURN, mlflow_server.uri, str(tmp_path), "turned", "run-1"]
    holder = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline().strip() == "mine"
    finally:
        holder.kill()
        holder.wait()
    said: list[str] = []
    registry = MlflowRegistry(mlflow_server.uri, tmp_path)
    started = time.monotonic()
    with registry.turn("turned", run_id="run-2", progress=said.append):
        assert time.monotonic() - started < 30
    assert any("run run-1" in line and "taking it over" in line for line in said)


@pytest.mark.slow
def test_a_gate_that_was_silent_for_too_long_loses_its_turn_and_may_not_promote(
    tmp_path: Path, mlflow_server: rig.Server
) -> None:
    """The holder plays another machine: whether its process lives cannot be seen from here."""
    model = "fell-silent"
    stage = rig.on_mlflow(
        mlflow_server.uri, mlflow_server.data, tmp_path / "locks", mlflow_server.kill
    )
    run = stage.registry.record(gate(tmp_path, "1.0.0", model=model, run_id="first"))
    connection = MlflowConnection(mlflow_server.uri)
    silent = MlflowTurns(connection, beat_s=600)
    with (
        silent.turn(model, "run-1", print),
        connection.reaching(),
    ):
        token = silent._held[model]
        elsewhere = "elsewhere:" + token.partition(":")[2]
        connection.client.set_registered_model_tag(f"Gate of {model}", "assay.turn", elsewhere)
        silent._held[model] = elsewhere
        silent.still_held(model)
        with MlflowTurns(connection, stale_s=2).turn(model, "run-2", print):
            with pytest.raises(InfrastructureError, match=r"turn given to run run-2"):
                silent.still_held(model)
            stage.registry._turns = silent  # type: ignore[union-attr]
            with pytest.raises(InfrastructureError, match="--resume"):
                stage.registry.promote(
                    ref("1.0.0", model),
                    expected=None,
                    gate_run=run,
                    warrant=rig.warrant(tmp_path, ref("1.0.0", model)),
                )
    assert stage.registry.production(model) is None
