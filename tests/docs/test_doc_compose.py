"""The team's tracking server, started by the documentation's command with Docker Compose itself."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import mlflow
import pytest
import yaml

from tests.chaos.world import free_port
from tests.docs.doc_commands import ROOT, run_in
from tests.docs.doc_images import docker, public_or_stand_in
from tests.team_server_rig import filled_example

pytestmark = [
    pytest.mark.docker,
    pytest.mark.paired,
    pytest.mark.slow,
    pytest.mark.timeout(1500),
]
COMMANDS = run_in("compose")
STATED = yaml.safe_load((ROOT / "mlflow/compose.yaml").read_text())["services"]


@dataclass(frozen=True, slots=True)
class Started:
    """The running services."""

    url: str
    values: Mapping[str, str]
    services: Mapping[str, Mapping[str, str]]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """The recipe in a project of its own, ended with all that it made."""
    has_compose = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if has_compose.returncode != 0:
        pytest.skip("no Docker Compose: .ci/run installs it")
    folder = tmp_path_factory.mktemp("compose")
    values = filled_example() | {"MLFLOW_PORT": str(free_port()), "MLFLOW_WORKERS": "1"}
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    (folder / "stand-ins.yaml").write_text(yaml.safe_dump({"services": stand_ins()}))
    project = {
        "COMPOSE_FILE": f"{ROOT / 'mlflow/compose.yaml'}:{folder / 'stand-ins.yaml'}",
        "COMPOSE_ENV_FILES": str(folder / ".env"),
        "COMPOSE_PROJECT_NAME": f"assay-test-{os.getpid()}",
    }
    (command,) = COMMANDS
    try:
        docker(*command.words[1:], folder=ROOT / "mlflow", **project)
        told = docker("compose", "ps", "--all", "--format", "json", folder=folder, **project)
        rows = [yaml.safe_load(line) for line in told.splitlines()]
        yield Started(
            url=f"http://127.0.0.1:{values['MLFLOW_PORT']}",
            values=values,
            services={row["Service"]: row for row in rows},
        )
    finally:
        docker("compose", "down", "--volumes", "--timeout", "2", folder=folder, **project)


def stand_ins() -> dict[str, object]:
    """Returns what the services are changed in: images and where builds find packages."""
    python = public_or_stand_in("python:3.11-slim", "python")
    build = {"network": "host", "args": {"BASE": python}}
    changed: dict[str, object] = {
        name: {"image": "assay-test/mlflow", "build": build} for name in ("mlflow", "bucket")
    }
    for name in ("postgres", "objects"):
        public = STATED[name]["image"]
        used = public_or_stand_in(public, name)
        changed[name] = {"image": used}
        if name == "objects" and used != public:  # moto's question for whether it is there
            asked = "curl --fail --silent http://127.0.0.1:9000/moto-api/"
            changed[name] = {"image": used, "healthcheck": {"test": ["CMD-SHELL", asked]}}
    return changed


def test_every_service_is_up_and_the_bucket_was_made(started: Started) -> None:
    states = {name: (row["State"], row["Health"]) for name, row in started.services.items()}
    healthy = ("running", "healthy")
    assert {name: states[name] for name in ("mlflow", "postgres", "objects")} == {
        "mlflow": healthy,
        "postgres": healthy,
        "objects": healthy,
    }
    assert states["bucket"][0] == "exited"
    assert started.services["bucket"]["ExitCode"] == 0


def test_only_the_password_of_the_settings_opens_it(started: Started) -> None:
    asked = f"{started.url}/api/2.0/mlflow/experiments/search?max_results=1"
    password = started.values["MLFLOW_ADMIN_PASSWORD"]
    assert httpx.get(asked, timeout=30).status_code == 401
    assert httpx.get(asked, auth=("admin", "password1234"), timeout=30).status_code == 401
    assert httpx.get(asked, auth=("admin", password), timeout=30).status_code == 200


def test_what_is_logged_is_in_the_database_and_in_the_bucket(
    started: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")  # as the page says
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", started.values["MLFLOW_ADMIN_PASSWORD"])
    client = mlflow.MlflowClient(started.url)
    run = client.create_run(client.create_experiment("emotion"))
    client.log_metric(run.info.run_id, "emotion_f1/macro", 0.8)
    client.log_text(run.info.run_id, "verdict: block\n", "report.md")
    client.set_terminated(run.info.run_id)
    assert client.get_run(run.info.run_id).data.metrics == {"emotion_f1/macro": 0.8}
    fetched = client.download_artifacts(run.info.run_id, "report.md", str(tmp_path))
    assert Path(fetched).read_text() == "verdict: block\n"
