"""One contract for every record of tuning: in memory, and MLflow on a file."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assay.adapters.in_memory_tuning import InMemoryTuningLog
from assay.adapters.registry_connection import MlflowConnection
from assay.adapters.registry_mlflow import MlflowRegistry
from assay.adapters.tuning_mlflow import MlflowTuningLog
from assay.tuning.ports import StudyRecord, TuningLog
from assay.tuning.trials import TrialRecord, TrialState

STUDY = StudyRecord(
    study="0123456789abcdef",
    model="emotion",
    version="1.0.0",
    artifact_digest="sha256:" + "ab" * 32,
    who="ada",
    facts={"profile": "cpu", "present arguments": "--max-num-seqs 8"},
)
METRICS = {"tuning/goodput_per_s": 12.5, "tuning/ttft_p99_ms": 80.0}


def trial(number: int, state: TrialState = TrialState.MEASURED) -> TrialRecord:
    refused = state is TrialState.REFUSED
    return TrialRecord(
        number=number,
        point={"--max-num-seqs": 8 * (number + 1), "--enforce-eager": True, "THREADS": "0-1"},
        state=state,
        reason="no room" if refused else "",
        log_tail="ERROR no room" if refused else "",
    )


@pytest.fixture
def on_mlflow(tmp_path: Path, empty_database: Path) -> str:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@dataclass
class Desk:
    """A record, and the folder of a recommendation."""

    log: TuningLog
    folder: Path


@pytest.fixture(params=["in_memory", "mlflow"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    folder = tmp_path / "recommendation"
    folder.mkdir()
    (folder / "pareto.svg").write_text("<svg/>")
    if request.param == "in_memory":
        return Desk(InMemoryTuningLog(), folder)
    return Desk(MlflowTuningLog(request.getfixturevalue("on_mlflow")), folder)


def test_a_study_that_is_gone_on_with_keeps_its_run(desk: Desk) -> None:
    run = desk.log.open(STUDY)
    desk.log.log_trial(run, trial(0), trial(0).point, METRICS)
    desk.log.close(run, desk.folder, reason="Keep what you have.", metrics={})
    assert desk.log.open(STUDY) == run


def test_a_trial_is_stored_once(desk: Desk) -> None:
    run = desk.log.open(STUDY)
    for metrics in (METRICS, {"tuning/goodput_per_s": 99.0}):
        desk.log.log_trial(run, trial(0), trial(0).point, metrics)
    if isinstance(desk.log, InMemoryTuningLog):
        assert desk.log.metrics[run] == {0: METRICS}


def runs(uri: str, parent: str) -> list[Any]:
    connection = MlflowConnection(uri)
    with connection.reaching():
        experiment = connection.client.get_experiment_by_name("emotion")
        assert experiment is not None
        found = connection.client.search_runs([experiment.experiment_id])
    return [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent]


def test_mlflow_shows_a_child_a_trial_with_its_settings_and_figures(
    on_mlflow: str, tmp_path: Path
) -> None:
    log = MlflowTuningLog(on_mlflow)
    run = log.open(STUDY)
    log.log_trial(run, trial(0), trial(0).point, METRICS)
    log.log_trial(run, trial(1, TrialState.REFUSED), trial(1).point, {})
    log.log_trial(run, trial(0), trial(0).point, {"tuning/goodput_per_s": 99.0})
    children = sorted(runs(on_mlflow, run), key=lambda one: one.data.tags["assay.trial"])
    assert [one.data.metrics for one in children] == [METRICS, {}]
    assert children[0].data.params == {
        "max-num-seqs": "8",
        "enforce-eager": "True",
        "THREADS": "0-1",
    }
    assert children[1].data.tags["assay.trial_state"] == "refused"
    assert "ERROR no room" in children[1].data.tags["mlflow.note.content"]
    assert {one.info.status for one in children} == {"FINISHED"}


def test_a_search_is_no_gate_and_counts_as_no_use_of_the_golden_set(
    on_mlflow: str, tmp_path: Path
) -> None:
    log = MlflowTuningLog(on_mlflow)
    folder = tmp_path / "recommendation"
    folder.mkdir()
    log.close(log.open(STUDY), folder, reason="Keep what you have.", metrics={"tuning/gain": 1.0})
    registry = MlflowRegistry(on_mlflow, tmp_path / "locks")
    assert registry.production("emotion") is None
    assert registry.recorded_verdict({"model": "emotion"}) is None
