"""The gate's own image, built and used by the documentation's commands.

Its base is the public one of the Dockerfile where this machine has it; else Debian's Python on the
base that `serving/build_image.sh` has made, with this machine's certificates for the build.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from tests.chaos.world import PrefectServer, free_port, prefect_server
from tests.docs.doc_commands import ROOT, run_in

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]
COMMANDS = run_in("image")
PUBLIC = "python:3.11-slim"
SYSTEMS = ("debian:bookworm-slim", "assay/debian:bookworm")
BASE = """
ARG SYSTEM
FROM ${SYSTEM}
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes \\
    --no-install-recommends python3 python3-venv ca-certificates >/dev/null
COPY ca.crt /etc/ssl/certs/ca-certificates.crt
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
"""


def docker(*words: str, **more: str) -> str:
    done = subprocess.run(
        ["docker", *words],
        cwd=ROOT,
        env=os.environ | more,
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def here(image: str) -> bool:
    inspected = ["docker", "image", "inspect", image]
    return subprocess.run(inspected, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image with Python 3.11 on which the gate's is built."""
    if shutil.which("docker") is None:
        pytest.skip("no Docker engine answers")
    if here(PUBLIC):
        return PUBLIC
    system = next((name for name in SYSTEMS if here(name)), None)
    if system is None:
        pytest.skip("no base image: serving/build_image.sh makes one")
    folder = tmp_path_factory.mktemp("base")
    (folder / "Dockerfile").write_text(BASE)
    shutil.copy(
        os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt", folder / "ca.crt"
    )
    built = ("build", "--quiet", "--network", "host", "--build-arg", f"SYSTEM={system}")
    return docker(*built, str(folder)).strip()


def given(begins: str) -> Sequence[str]:
    """Returns the words after `docker` of the one command that begins so."""
    (command,) = (one for one in COMMANDS if one.text.startswith(begins))
    return command.words[1:]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrefectServer]:
    with prefect_server(tmp_path / "prefect", free_port()) as running:
        yield running


def test_the_image_is_built_and_deploys_the_flows_of_its_folder(
    base: str, server: PrefectServer
) -> None:
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
