"""The gate's own image, built and used by the documentation's commands."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from tests.chaos.world import PrefectServer, free_port, prefect_server
from tests.docs.doc_commands import run_in
from tests.docs.doc_images import docker, public_or_stand_in

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]
COMMANDS = run_in("image")


def given(begins: str) -> Sequence[str]:
    """Returns the words after `docker` of the one command that begins so."""
    (command,) = (one for one in COMMANDS if one.text.startswith(begins))
    return command.words[1:]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrefectServer]:
    with prefect_server(tmp_path / "prefect", free_port()) as running:
        yield running


def test_the_image_is_built_and_deploys_the_flows_of_its_folder(
    server: PrefectServer,
) -> None:
    base = public_or_stand_in("python:3.11-slim", "python")
    docker(*given("docker build"), "--network", "host", "--build-arg", f"BASE={base}")
    inside = ("run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp")
    assert docker(*inside, "assay/gate:latest", "id", "--user") == "65534\n"
    assert "assay" in docker(*inside, "assay/gate:latest", "assay", "--version")
    api = server.environment["PREFECT_API_URL"]
    pool = {"name": "assay", "type": "docker"}
    httpx.post(f"{api}/work_pools/", json=pool, timeout=30).raise_for_status()
    docker(*given("docker run"), PREFECT_API_URL=api)
    deployed = httpx.post(f"{api}/deployments/filter", json={}, timeout=30).json()
    gate = next(one for one in deployed if one["name"] == "gate-release")
    assert gate["work_pool_name"] == "assay"
    assert "/srv/assay" in str(gate["path"]) + str(gate["pull_steps"])
    assert len(deployed) == len({one["name"] for one in deployed}) == 7


def test_every_command_of_the_image_is_given_here() -> None:
    assert [one.words[:2] for one in COMMANDS] == [("docker", "build"), ("docker", "run")]
