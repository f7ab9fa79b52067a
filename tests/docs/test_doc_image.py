"""The gate's own image, built and used by the documentation's commands, and gates run in it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.gate_key import make_gate_key
from flows.rejudge import verify_evidence
from flows.settings import from_environment
from tests.chaos.world import PrefectServer, free_port, prefect_server
from tests.docs.doc_commands import ROOT, run_in
from tests.docs.doc_images import docker, public_or_stand_in
from tests.docs.doc_servers import served_world

pytestmark = [
    pytest.mark.docker,
    pytest.mark.paired,
    pytest.mark.slow,
    pytest.mark.timeout(1500),
]
COMMANDS = run_in("image")
IMAGE = "assay/gate:latest"
NOBODY = 65534


def given(begins: str) -> Sequence[str]:
    """Returns the words after `docker` of the one command that begins so."""
    (command,) = (one for one in COMMANDS if one.text.startswith(begins))
    return command.words[1:]


@pytest.fixture(scope="module")
def image() -> str:
    base = public_or_stand_in("python:3.11-slim", "python")
    docker(*given("docker build"), "--network", "host", "--build-arg", f"BASE={base}")
    return IMAGE


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrefectServer]:
    with prefect_server(tmp_path / "prefect", free_port()) as running:
        yield running


def post(server: PrefectServer, path: str, **body: Any) -> Any:
    url = f"{server.environment['PREFECT_API_URL']}/{path}"
    return httpx.post(url, json=body, timeout=30).raise_for_status().json()


def deploy_from_inside(server: PrefectServer) -> None:
    docker(*given("docker run"), PREFECT_API_URL=server.environment["PREFECT_API_URL"])


def test_the_image_is_built_and_deploys_the_flows_of_its_folder(
    image: str, server: PrefectServer
) -> None:
    inside = ("run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp")
    assert docker(*inside, image, "id", "--user") == f"{NOBODY}\n"
    assert "assay" in docker(*inside, image, "assay", "--version")
    post(server, "work_pools/", name="assay", type="docker")
    deploy_from_inside(server)
    deployed = post(server, "deployments/filter")
    gate = next(one for one in deployed if one["name"] == "gate-release")
    assert gate["work_pool_name"] == "assay"
    assert "/srv/assay" in str(gate["path"]) + str(gate["pull_steps"])
    assert len(deployed) == len({one["name"] for one in deployed}) == 7


def site_template(project: Path, home: Path, keys: Path) -> dict[str, Any]:
    """Returns the Docker pool's template with what is a site's own filled in."""
    template: dict[str, Any] = json.loads((ROOT / "deploy/prefect/docker.json").read_text())
    fields = template["variables"]["properties"]
    fields["env"]["default"]["MLFLOW_TRACKING_URI"] = "sqlite:////var/lib/assay/mlflow.db"
    fields["network_mode"]["default"] = "host"  # the servers that are asked listen there
    fields["image_pull_policy"]["default"] = "Never"
    fields["volumes"]["default"] = [
        f"{home}:/var/lib/assay",
        f"{keys}:/etc/assay:ro",
        f"{project}:/project:ro",
    ]
    return template


def test_a_docker_pools_worker_brings_a_gate_to_its_verdict_in_a_container(
    image: str, server: PrefectServer, tmp_path: Path
) -> None:
    home, keys = tmp_path / "home", tmp_path / "keys"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    outside = replace(from_environment({}), home=home, trust=keys / "trust.yaml")
    os.chown(make_gate_key(outside, private=keys / "gate.key").private, NOBODY, NOBODY)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # pytest's are its user's alone
    with ExitStack() as running:
        candidate, production = served_world(tmp_path / "project", running).values()
        template = site_template(tmp_path / "project", home, keys)
        post(server, "work_pools/", name="assay", type="docker", base_job_template=template)
        deploy_from_inside(server)
        asked = {
            "model": "emotion", "version": "1.1.0", "backend": "endpoint",
            "candidate_url": candidate, "production_url": production,
            "golden": "/project/golden.jsonl",
        } | {name: f"/project/{name}.yaml" for name in ("task", "policy", "serving")}  # fmt: skip
        (gate,) = post(
            server, "deployments/filter", deployments={"name": {"any_": ["gate-release"]}}
        )
        begun = post(server, f"deployments/{gate['id']}/create_flow_run", parameters=asked)
        work = subprocess.run(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "assay", "--run-once"],
            cwd=tmp_path,
            env=os.environ | server.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    said = work.stdout + work.stderr
    assert work.returncode == 0, said
    state = post(server, "flow_runs/filter", flow_runs={"id": {"any_": [begun["id"]]}})[0]["state"]
    assert (state["type"], state["name"]) == ("COMPLETED", "Promote"), f"{state}\n{said}"
    (evidence,) = (home / "reports").iterdir()
    assert verify_evidence(evidence).verdict.value == "promote"
    assert (evidence / "report.html").stat().st_uid == NOBODY
    left = docker("ps", "--all", "--quiet", "--filter", f"ancestor={image}")
    assert left == "", "the container is thrown away"


def test_every_command_of_the_image_is_given_here() -> None:
    assert [one.words[:2] for one in COMMANDS] == [("docker", "build"), ("docker", "run")]
