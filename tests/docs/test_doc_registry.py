"""Pulling an image and pinning it by its digest, as the documentation has it.

The registry is a real one on this machine (Debian's package of the reference implementation), and
the image one that is here already under the name that the page gives.
"""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import docker as docker_sdk
import pytest
import yaml

from assay.adapters.server_docker_engine import resolve_image
from tests.chaos.world import free_port, wait_healthy
from tests.docs.doc_commands import run_in
from tests.docs.doc_images import docker, system

pytestmark = [
    pytest.mark.docker,
    pytest.mark.paired,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]
COMMANDS = run_in("registry")
PUBLIC = "vllm/vllm-openai:v0.32.0"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Where a registry answers that holds the page's image and nothing else."""
    base = system()
    if shutil.which("docker-registry") is None:
        pytest.skip("no docker-registry here: .ci/run installs it")
    address = f"127.0.0.1:{free_port()}"
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "images")}},
        "http": {"addr": address},
    }
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump(settings))
    with (tmp_path / "registry.log").open("wb") as log:
        command = ["docker-registry", "serve", str(tmp_path / "registry.yaml")]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_healthy(f"http://{address}/v2/", tmp_path / "registry.log")
        held = f"{address}/{PUBLIC}"
        docker("tag", base, held)
        try:
            docker("push", "--quiet", held)
        finally:
            docker("image", "rm", held)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def given(verb: str, registry: str) -> Sequence[str]:
    """Returns the words after `docker` of the command of that verb, with the registry's name."""
    (command,) = (one for one in COMMANDS if one.words[1] == verb)
    assert PUBLIC in command.words
    return [word.replace(PUBLIC, f"{registry}/{PUBLIC}") for word in command.words[1:]]


def test_the_digest_that_is_shown_is_what_the_profile_takes_and_pulls(registry: str) -> None:
    client = docker_sdk.from_env()
    name = f"{registry}/{PUBLIC}"
    try:
        docker(*given("pull", registry))
        pinned = docker(*given("inspect", registry)).strip()
        assert pinned.startswith(f"{registry}/vllm/vllm-openai@sha256:")
        docker("image", "rm", name)
        image_id, recorded = resolve_image(client, pinned, "gpu")  # pulls it by the digest
        assert recorded == pinned
        assert client.images.get(pinned).id == image_id
    finally:
        for left in (name, *client_names(client, registry)):
            subprocess.run(["docker", "image", "rm", left], capture_output=True, check=False)
        client.close()


def client_names(client: docker_sdk.DockerClient, registry: str) -> list[str]:
    digests = (one for image in client.images.list() for one in image.attrs["RepoDigests"] or ())
    return [one for one in digests if one.startswith(registry)]


def test_every_command_of_the_registry_is_given_here() -> None:
    assert [one.words[:2] for one in COMMANDS] == [("docker", "inspect"), ("docker", "pull")]
