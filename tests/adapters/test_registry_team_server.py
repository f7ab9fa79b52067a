"""The server of `mlflow/compose.yaml`, on real PostgreSQL and a real S3 server.

Who gets in, what a gate leaves where, and who may move what.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient

from assay import evidence
from assay.adapters.registry_mlflow import MlflowRegistry
from assay.errors import InfrastructureError
from assay.records import VerdictKind
from tests import gate_rig
from tests.team_server_rig import TeamServer, postgres_programs, team_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        postgres_programs() is None, reason="no PostgreSQL: apt-get install postgresql"
    ),
]
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    """The whole recipe, started once."""
    with team_server(tmp_path_factory.mktemp("team")) as running:
        yield running


@pytest.fixture
def as_admin(server: TeamServer, monkeypatch: pytest.MonkeyPatch) -> TeamServer:
    """The server, with the password where a gate looks for it."""
    for name, value in server.admin.items():
        monkeypatch.setenv(name, value)
    return server


def status(server: TeamServer, path: str, **options: object) -> int:
    return httpx.get(server.uri + path, timeout=30, **options).status_code  # type: ignore[arg-type]


def test_only_the_right_password_opens_it(server: TeamServer) -> None:
    password = server.admin["MLFLOW_TRACKING_PASSWORD"]
    assert status(server, SEARCH) == 401
    assert status(server, "/") == 401
    assert status(server, SEARCH, auth=("admin", "password1234")) == 401
    assert status(server, SEARCH, auth=("nobody", password)) == 401
    assert status(server, SEARCH, auth=("admin", password)) == 200


def test_a_gate_with_a_wrong_password_is_told_which_setting_to_mend(
    server: TeamServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2-hunter2")
    registry = MlflowRegistry(server.uri, tmp_path)
    with pytest.raises(InfrastructureError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        registry.production("emotion")
    assert "hunter2" not in str(caught.value)


def test_a_name_that_is_not_allowed_is_refused_even_with_the_password(server: TeamServer) -> None:
    auth = ("admin", server.admin["MLFLOW_TRACKING_PASSWORD"])
    for host, expected in (("localhost:1", 200), ("evil.example", 403), ("10.0.0.1:5000", 403)):
        assert status(server, SEARCH, auth=auth, headers={"Host": host}) == expected, host


def test_the_health_check_needs_no_password_and_notices_a_server_that_is_gone(
    server: TeamServer,
) -> None:
    check = server.recipe.health_command()
    assert subprocess.run(check, check=False, timeout=30, capture_output=True).returncode == 0
    gone = [word.replace(str(server.recipe.port), "1") for word in check]
    assert subprocess.run(gone, check=False, timeout=30, capture_output=True).returncode != 0


def test_gates_promote_and_block_there_and_everything_lies_in_the_database_and_the_bucket(
    as_admin: TeamServer, tmp_path: Path
) -> None:
    rig = gate_rig.make_rig(tmp_path)
    registry = MlflowRegistry(as_admin.uri, tmp_path / "locks", rig.registry.gatekeeper)
    rig.registry = registry  # type: ignore[assignment]
    results = {version: rig.gate(version) for version in ("1.0.0", "1.1.0", "1.2.0")}
    assert [result.verdict.verdict for result in results.values()] == [
        VerdictKind.PROMOTE,
        VerdictKind.PROMOTE,
        VerdictKind.BLOCK,
    ]
    held = registry.production(gate_rig.MODEL)
    assert held is not None
    assert held.version == "1.1.0"
    stored = dict(
        as_admin.rows(
            "SELECT aliases.alias, tags.value FROM registered_model_aliases AS aliases "
            "JOIN model_version_tags AS tags ON tags.name = aliases.name "
            "AND tags.version = aliases.version AND tags.key = 'assay.version'"
        )
    )
    assert stored == {
        "production": "1.1.0",
        "previous-production": "1.0.0",
        "candidate": "1.2.0",
    }
    run = results["1.2.0"].recorded_as
    assert run is not None
    assert as_admin.rows("SELECT status FROM runs WHERE run_uuid = %s", run) == [("FINISHED",)]
    held_there = {key.split("/artifacts/")[1] for key in as_admin.objects() if f"/{run}/" in key}
    assert {"report.html", "verdict.json", "SHA256SUMS", evidence.ATTESTATION} <= held_there
    of_models = {key.split("/artifacts/")[1] for key in as_admin.objects()} - held_there
    assert {"predictions.json", "confusion.png", "differences.png"} <= of_models
    assert list((as_admin.log.parent / "empty").rglob("*")) == []
    registry.evidence(run, tmp_path / "back")
    evidence.check_seal(tmp_path / "back")


def test_whoever_may_only_read_reads_and_moves_nothing(
    as_admin: TeamServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = "read-only"
    admin = MlflowClient(tracking_uri=as_admin.uri, registry_uri=as_admin.uri)
    admin.create_registered_model(model)
    admin.create_model_version(model, source="trusted-store://read-only/1.0.0")
    created = httpx.post(
        as_admin.uri + "/api/2.0/mlflow/users/create",
        auth=("admin", os.environ["MLFLOW_TRACKING_PASSWORD"]),
        json={"username": "reader", "password": "reads-and-no-more"},
    )
    assert created.is_success, created.text
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "reader")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "reads-and-no-more")
    reader = MlflowClient(tracking_uri=as_admin.uri, registry_uri=as_admin.uri)
    assert reader.get_registered_model(model).name == model
    with pytest.raises(Exception, match=r"403|PERMISSION_DENIED|[Pp]ermission"):
        reader.set_registered_model_alias(model, "production", "1")
