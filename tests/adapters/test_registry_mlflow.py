"""What a gate looks like in MLflow, and what happens when MLflow is not as it should be."""

import json
import shutil
import socket
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from assay import digests, evidence
from assay.adapters import registry_claim, registry_pages, registry_runs
from assay.adapters.registry_mlflow import MlflowRegistry
from assay.errors import ConfigError, InfrastructureError
from assay.records import VerdictKind
from tests import registry_rig as rig
from tests.registry_rig import MODEL, Stage, gate, ref


@pytest.fixture
def stage(tmp_path: Path, empty_database: Path) -> Stage:
    return rig.in_sqlite(tmp_path / "data", empty_database)


@pytest.fixture
def client(stage: Stage) -> MlflowClient:
    return MlflowClient(tracking_uri=stage.uri, registry_uri=stage.uri)


def runs(client: MlflowClient, model: str = MODEL) -> dict[str, list[Run]]:
    """Returns the runs that are not deleted, by kind: parents, candidate, production."""
    experiment = client.get_experiment_by_name(model)
    assert experiment is not None
    found: dict[str, list[Run]] = {}
    for run in client.search_runs([experiment.experiment_id]):
        found.setdefault(run.data.tags.get("assay.role", "gate"), []).append(run)
    return found


def test_a_gate_is_a_parent_and_a_comparable_child_run_a_model(
    stage: Stage, client: MlflowClient, tmp_path: Path
) -> None:
    parent = stage.registry.record(gate(tmp_path, against=ref("1.0.0")))
    found = runs(client)
    assert {role: len(rows) for role, rows in found.items()} == {
        "gate": 1,
        "candidate": 1,
        "production": 1,
    }
    for role, version in (("candidate", "1.1.0"), ("production", "1.0.0")):
        (run,) = found[role]
        assert run.data.metrics == rig.METRICS
        assert run.data.params["version"] == version
        assert run.data.tags["mlflow.parentRunId"] == parent
        assert run.info.status == "FINISHED"
    run = client.get_run(parent)
    assert run.data.tags["assay.verdict"] == "promote"
    assert run.data.tags["mlflow.user"] == "ada"
    described = run.data.tags["mlflow.note.content"]
    assert described.startswith("# promote\n")
    assert f"runs/{parent}/artifacts/report.html" in described
    assert all(
        child.info.run_id in described for child in (*found["candidate"], *found["production"])
    )


def test_the_golden_set_is_a_dataset_with_its_digest(
    stage: Stage, client: MlflowClient, tmp_path: Path
) -> None:
    parent = stage.registry.record(gate(tmp_path))
    (dataset,) = client.get_run(parent).inputs.dataset_inputs
    assert json.loads(dataset.dataset.source)["digest"] == rig.golden().digest
    assert json.loads(dataset.dataset.profile)["num_rows"] == 4


def test_answers_are_a_table_that_mlflow_can_show(
    stage: Stage, client: MlflowClient, tmp_path: Path
) -> None:
    stage.registry.record(gate(tmp_path))
    (child,) = runs(client)["candidate"]
    path = client.download_artifacts(child.info.run_id, "predictions.json", str(tmp_path))
    table = json.loads(Path(path).read_text())
    assert "text" not in table["columns"]
    assert dict(zip(table["columns"], table["data"][1], strict=True)) == {
        "case_id": "c-1",
        "repeat": 0,
        "golden": "fear",
        "predicted": "fear",
        "status": "ok",
        "lang": "en",
        "e2e_ms": None,
    }
    assert "predictions.json" in child.data.tags["mlflow.loggedArtifacts"]


def test_the_evidence_is_among_the_artifacts(
    stage: Stage, client: MlflowClient, tmp_path: Path
) -> None:
    record = gate(tmp_path, against=ref("1.0.0"))
    parent = stage.registry.record(record)
    (tmp_path / "there").mkdir()
    there = Path(client.download_artifacts(parent, "", str(tmp_path / "there")))
    evidence.check_seal(there)
    assert digests.of_file(there / "SHA256SUMS") == digests.of_file(
        record.evidence_dir / "SHA256SUMS"
    )


def test_a_version_names_the_store_and_says_how_its_gate_went(
    stage: Stage, client: MlflowClient, tmp_path: Path
) -> None:
    parent = stage.registry.record(gate(tmp_path, kind=VerdictKind.BLOCK))
    version = client.get_model_version_by_alias(MODEL, "candidate")
    assert version.source == f"trusted-store://{MODEL}/1.1.0@{ref('1.1.0').digest}"
    assert version.tags["assay.verdict"] == "block"
    assert version.tags["assay.gate_run"] == parent
    assert version.tags["assay.reason"] == f"{MODEL} 1.1.0: block."
    assert version.run_id == parent
    assert version.description.startswith("# block\n")
    assert f"runs/{parent}/artifacts/report.html" in version.description


def test_both_child_runs_carry_the_same_names_so_that_every_chart_holds_both(
    stage: Stage, client: MlflowClient, tmp_path: Path
) -> None:
    stage.registry.record(gate(tmp_path, against=ref("1.0.0")))
    found = runs(client)
    (candidate,), (production,) = found["candidate"], found["production"]
    assert candidate.data.params.keys() == production.data.params.keys()
    differing = {k for k, v in candidate.data.params.items() if production.data.params[k] != v}
    assert differing == {"role", "version"}
    for child in (candidate, production):
        kept = {entry.path for entry in client.list_artifacts(child.info.run_id)}
        assert kept == {"confusion.png", "predictions.json"}


def test_the_model_page_tells_its_aliases_and_how_production_moved_and_keeps_peoples_words(
    stage: Stage, client: MlflowClient, tmp_path: Path
) -> None:
    against = None
    for version in ("1.0.0", "1.1.0"):
        run = stage.registry.record(gate(tmp_path, version, against=against, run_id=version))
        wanted = ref(version)
        stage.registry.promote(
            wanted, expected=against, gate_run=run, warrant=rig.warrant(tmp_path, wanted)
        )
        against = wanted
        said = (client.get_registered_model(MODEL).description or "").removeprefix("Ours.\n\n")
        client.update_registered_model(MODEL, description=f"Ours.\n\n{said}")
    way = stage.registry.way_back(MODEL, None)
    stage.registry.move_back(way, reason="it | [shouts](x)", who="ada", run="r-1")
    page = client.get_registered_model(MODEL).description
    assert page.startswith(f"Ours.\n\n{registry_pages.MARK}\n")
    assert page.count(registry_pages.MARK) == 1
    assert "| `production` | 1.0.0 (version 1) | promote | [report](#/experiments/" in page
    assert "| `candidate` | 1.1.0 (version 2) | promote | [report](#/experiments/" in page
    moves = [line.split(": ", 1)[1] for line in page.splitlines() if "→" in line]
    assert [move.split(" ([")[0] for move in moves] == [
        "1.1.0 → 1.0.0, moved back by ada: it | &#91;shouts](x) (r-1)",
        "1.0.0 → 1.1.0",
        "nothing → 1.0.0",
    ]


def test_a_page_that_is_too_long_for_a_column_is_cut_at_a_line_and_says_so() -> None:
    moves = {f"2026-01-01T00:00:{n:02}.000001Z": f"1.{n} → 1.{n + 1}; run r-{n}" for n in range(60)}
    moves |= {f"2025-{key[5:]}": value + "x" * 100 for key, value in moves.items()}
    row = registry_pages.AliasRow(
        alias="production", version="1.60", number="60", verdict="promote", gate_run=None
    )
    page = registry_pages.model_page("", registry_pages.Links("1"), [row], moves)
    assert len(page) <= registry_pages.LONGEST
    lines = page.splitlines()
    assert lines[-1] == "…and earlier ones (tags)."
    assert "- 2026-01-01T00:00:59Z: 1.59 → 1.60 (r-59)" in lines
    assert lines[-3].endswith(")")


def test_an_experiment_opens_on_its_runs_and_says_how_to_compare(
    stage: Stage, client: MlflowClient, tmp_path: Path
) -> None:
    stage.registry.record(gate(tmp_path))
    tags = client.get_experiment_by_name(MODEL).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert "Compare" in tags["mlflow.note.content"]


def test_a_run_that_learnt_nothing_does_not_hide_an_earlier_verdict(
    stage: Stage, client: MlflowClient, tmp_path: Path
) -> None:
    first = stage.registry.record(gate(tmp_path, kind=VerdictKind.BLOCK, run_id="run-1"))
    stage.registry.record(gate(tmp_path, kind=VerdictKind.INVALID, run_id="run-2"))
    version = client.get_model_version_by_alias(MODEL, "candidate")
    assert version.tags["assay.verdict"] == "block"
    assert version.tags["assay.gate_run"] == first


def test_an_artifact_is_registered_once_however_often_it_is_gated(
    stage: Stage, client: MlflowClient, tmp_path: Path
) -> None:
    for number in range(3):
        stage.registry.record(gate(tmp_path, run_id=f"run-{number}"))
    assert len(client.search_model_versions(f"name = '{MODEL}'")) == 1


def test_many_metrics_and_any_name_of_a_label_are_stored(
    stage: Stage, client: MlflowClient, tmp_path: Path
) -> None:
    metrics = {f"emotion_f1/slice-{number}": float(number) for number in range(1500)}
    metrics |= {"emotion_f1/niềm vui": 0.5, "emotion_f1/en+vi": 0.25, "emotion_f1/en=vi": 0.75}
    stage.registry.record(gate(tmp_path, metrics=metrics))
    (child,) = runs(client)["candidate"]
    assert len(child.data.metrics) == len(metrics)
    assert child.data.metrics["emotion_f1/niềm vui"] == 0.5
    assert child.data.metrics["emotion_f1/en:2b:vi"] == 0.25
    assert child.data.metrics["emotion_f1/slice-1499"] == 1499.0


def test_uses_are_counted_beyond_a_page(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_runs, "_RUNS_PER_PAGE", 2)
    for number in range(5):
        stage.registry.record(gate(tmp_path, run_id=f"run-{number}"))
    assert stage.registry.uses(MODEL, rig.golden().digest) == 5


def test_a_record_that_failed_half_way_counts_for_nothing_and_is_replaced(
    stage: Stage, client: MlflowClient, tmp_path: Path
) -> None:
    blocker = stage.folder / "mlflow-artifacts"
    blocker.write_text("a file where the artifacts' folder belongs")
    record = gate(tmp_path, against=ref("1.0.0"))
    with pytest.raises(InfrastructureError):
        stage.registry.record(record)
    assert runs(client)  # something was left
    assert stage.registry.recorded_verdict(record.ledger_key) is None
    assert stage.registry.uses(MODEL, record.golden.digest) == 0
    blocker.unlink()
    run = stage.again().record(record)
    assert {role: len(rows) for role, rows in runs(client).items()} == {
        "gate": 1,
        "candidate": 1,
        "production": 1,
    }
    found = stage.registry.recorded_verdict(record.ledger_key)
    assert found is not None
    assert found[0] == run


def test_an_alias_on_a_version_no_gate_registered_is_no_production(
    stage: Stage, client: MlflowClient
) -> None:
    client.create_registered_model(MODEL)
    made = client.create_model_version(MODEL, source="s3://somewhere/model")
    client.set_registered_model_alias(MODEL, "production", made.version)
    with pytest.raises(ConfigError, match="no gate registered it"):
        stage.registry.production(MODEL)


def test_a_deleted_experiment_is_named_with_the_command_that_restores_it(
    stage: Stage, client: MlflowClient, tmp_path: Path
) -> None:
    client.delete_experiment(client.create_experiment(MODEL))
    with pytest.raises(ConfigError, match="mlflow experiments restore"):
        stage.registry.record(gate(tmp_path))


def test_a_disk_file_that_is_no_database_says_which(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    database.write_text("this is no database")
    with pytest.raises(InfrastructureError, match=r"mlflow\.db"):
        MlflowRegistry(f"sqlite:///{database}", tmp_path / "locks").production(MODEL)


def test_a_server_that_is_down_is_noticed_in_seconds_without_showing_the_password(
    tmp_path: Path,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    registry = MlflowRegistry(f"http://ada:hunter2@127.0.0.1:{port}", tmp_path)
    started = time.monotonic()
    with pytest.raises(InfrastructureError, match="check that the tracking server runs") as caught:
        registry.production(MODEL)
    assert time.monotonic() - started < 5
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_server_that_accepts_and_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        registry = MlflowRegistry(f"http://127.0.0.1:{mute.getsockname()[1]}", tmp_path)
        started = time.monotonic()
        with pytest.raises(InfrastructureError, match="run the same command again"):
            registry.production(MODEL)
        assert time.monotonic() - started < 20


@pytest.mark.slow
def test_a_server_that_dies_before_the_record_is_noticed_and_nothing_moves(
    tmp_path: Path, empty_database: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(empty_database, data / "mlflow.db")
    with rig.mlflow_server(data) as server:
        stage = rig.on_mlflow(server.uri, data, tmp_path / "locks", server.kill)
        run = stage.registry.record(gate(tmp_path, "1.0.0", run_id="first"))
        stage.registry.promote(
            ref("1.0.0"), expected=None, gate_run=run, warrant=rig.warrant(tmp_path, ref("1.0.0"))
        )
        second = stage.registry.record(gate(tmp_path, against=ref("1.0.0"), run_id="second"))
        stage.break_it()
        started = time.monotonic()
        with pytest.raises(InfrastructureError, match="check that the tracking server runs"):
            stage.registry.record(gate(tmp_path, against=ref("1.0.0"), run_id="third"))
        with pytest.raises(InfrastructureError, match="check that the tracking server runs"):
            stage.registry.promote(
                ref("1.1.0"),
                expected=ref("1.0.0"),
                gate_run=second,
                warrant=rig.warrant(tmp_path, ref("1.1.0")),
            )
        assert time.monotonic() - started < 15
    held = MlflowRegistry(f"sqlite:///{data / 'mlflow.db'}", tmp_path / "locks").production(MODEL)
    assert held is not None
    assert held.version == "1.0.0"


@pytest.mark.slow
def test_recording_on_a_server_says_nothing_on_standard_output(
    mlflow_server: rig.Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = "silent"
    registry = MlflowRegistry(mlflow_server.uri, tmp_path / "locks", rig.GATEKEEPER)
    run = registry.record(gate(tmp_path, model=model))
    registry.promote(
        ref("1.1.0", model),
        expected=None,
        gate_run=run,
        warrant=rig.warrant(tmp_path, ref("1.1.0", model)),
    )
    assert registry.recorded_verdict(rig.ledger_key("1.1.0", None, rig.golden(), model))
    assert capfd.readouterr().out == ""


def test_a_claim_that_a_dead_process_left_is_taken_over(client: MlflowClient) -> None:
    client.create_registered_model(f"Promotion of {MODEL}", tags={"assay.claim": "host/dead"})
    impatient = registry_claim.claimed(client, MODEL, stale_s=60, timeout_s=1)
    with pytest.raises(InfrastructureError, match="host has been promoting"), impatient:
        pass
    with registry_claim.claimed(client, MODEL, stale_s=1, timeout_s=30):
        held = client.get_registered_model(f"Promotion of {MODEL}")
        assert held.tags["assay.claim"] != "host/dead"
    assert not client.search_registered_models(f"name = 'Promotion of {MODEL}'")


@pytest.mark.slow
def test_the_local_server_shows_what_gates_wrote_to_the_file(
    tmp_path: Path, empty_database: Path
) -> None:
    stage = rig.in_sqlite(tmp_path / "data", empty_database)
    record = gate(tmp_path)
    run = stage.registry.record(record)
    with rig.serve_script(stage.folder) as uri:
        there = MlflowRegistry(uri, tmp_path / "locks")
        found = there.recorded_verdict(record.ledger_key)
        assert found is not None
        assert found[0] == run
        second = there.record(gate(tmp_path, run_id="run-2"))
    assert stage.registry.uses(MODEL, record.golden.digest) == 2
    assert second != run
