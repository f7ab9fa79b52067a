"""The docker back end: real vLLM in the real fence, engines that fail in it, owners that die."""

import json
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import httpx2
import pytest
from docker.errors import NotFound

from assay.adapters import server_docker_engine
from assay.adapters.server_container import LABEL_OWNER
from assay.adapters.server_docker import DockerServer, ServerContainer, engine_holds
from assay.errors import ArtifactError, AssayError, ConfigError, InfrastructureError
from assay.ports import RunningServer
from tests import serving_rig

CPU_IMAGE = "assay/vllm-cpu:0.32.0"
FAULT_IMAGE = "assay-test/fault-engine:latest"

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(
        not engine_holds(CPU_IMAGE),
        reason="no Docker engine with the CPU image; run serving/build_image.sh",
    ),
]


def quietly(_: str) -> None:
    """Progress nobody reads."""


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """The engine itself, to look at what the back end did."""
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def fault_image(client: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image like the CPU one, whose python3 is an engine that fails as FAULT_MODE says."""
    context = tmp_path_factory.mktemp("image")
    shutil.copy(serving_rig.ROOT / "tests/serving/fault_engine.py", context)
    wrapper = '#!/bin/sh\nshift 2\nexec python3.11 /fault/fault_engine.py "$FAULT_MODE" "$@"\n'
    (context / "python3").write_text(wrapper)
    (context / "Dockerfile").write_text(
        f"FROM {CPU_IMAGE}\nCOPY . /fault/\nENV PATH=/fault:$PATH\n"
    )
    (context / "python3").chmod(0o755)
    client.images.build(path=str(context), tag=FAULT_IMAGE, rm=True)
    yield FAULT_IMAGE
    client.images.remove(FAULT_IMAGE, force=True)


@pytest.fixture
def launch(fault_image: str, tmp_path: Path) -> Iterator[Callable[..., ServerContainer]]:
    """Launches engines that fail, in the real fence; ends them all."""
    started: list[ServerContainer] = []

    def start(mode: str, **changes: object) -> ServerContainer:
        settled: dict[str, object] = {
            "image": fault_image,
            "environment": {"FAULT_MODE": mode},
            "startup_timeout_s": 20,
        }
        folder = serving_rig.empty_model(tmp_path / "private" / "model")
        (tmp_path / "private").chmod(0o700)
        request = serving_rig.request(folder, tmp_path / "cache", **(settled | changes))
        started.append(DockerServer().launch(request))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def is_gone(client: Any, container_id: str, seconds: float = 10) -> bool:
    """Whether a container ends within a while (it may still be there, ended)."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if client.containers.get(container_id).status in ("exited", "dead"):
                return True
        except NotFound:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("refuses_model", ArtifactError, "start (0) + length (384) exceeds dimension size"),
        ("no_memory", InfrastructureError, "OutOfMemoryError"),
        ("old", InfrastructureError, "found vLLM '0.6.6', expected 0.32.0 or later"),
        ("garbage", InfrastructureError, "expected a chat completion"),
        ("dies_answering", InfrastructureError, "exit status 3"),
    ],
)
def test_an_engine_that_fails_is_named_and_leaves_nothing(
    launch: Callable[..., ServerContainer],
    client: Any,
    mode: str,
    kind: type[AssayError],
    words: str,
) -> None:
    server = launch(mode)
    container, workspace = server._container.id, server._plan.workspace.root
    with pytest.raises(kind) as caught, server:
        server.wait_ready(quietly)
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert not workspace.exists()
    with pytest.raises(NotFound):
        client.containers.get(container)


def test_after_the_end_it_is_seen_that_everything_is_gone(
    launch: Callable[..., ServerContainer],
) -> None:
    server = launch("serves")
    server.wait_ready(quietly)
    before = {one.what: one.gone for one in server.postconditions()}
    assert before == {"container": False, "socket": False, "workspace": False}
    server.stop()
    after = {one.what: one.gone for one in server.postconditions()}
    assert after == dict.fromkeys((*before, "processes"), True)


def test_an_engine_that_does_not_answer_leaves_the_container_unknown_and_never_gone(
    launch: Callable[..., ServerContainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = launch("serves")
    server.stop()
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    (container,) = (one for one in server.postconditions() if one.what == "container")
    assert container.gone is None
    assert "does not answer" in container.detail


def test_memory_that_ran_out_is_told_from_other_deaths(
    launch: Callable[..., ServerContainer],
) -> None:
    limits = {"memory_gib": 0.1, "tmp_gib": 0.05}
    with (
        pytest.raises(InfrastructureError, match=r"memory ran out; raise limits\.memory_gib"),
        launch("eats_memory", limits=limits) as server,
    ):
        server.wait_ready(quietly)


def test_a_candidate_can_reach_and_write_nothing(
    launch: Callable[..., ServerContainer],
) -> None:
    with launch("explores") as server:
        server.wait_ready(quietly)
        report = json.loads((server._plan.workspace.socket_folder / "report.json").read_text())
        key = server.endpoint.api_key
    assert report["uid"] == 65534
    assert report["capabilities"] == 0
    assert report["no_new_privileges"] == 1
    assert report["interfaces"] == ["lo"]
    assert report["network"] == "OSError"
    assert report["write_root"] == "OSError"
    assert report["write_model"] == "OSError"
    assert report["write_script"] in ("OSError", "PermissionError")
    assert report["write_tmp"] == "done"
    assert report["core_limit"] == 0
    assert key not in report["arguments"]


def test_the_engine_is_told_to_bound_it(
    launch: Callable[..., ServerContainer], client: Any
) -> None:
    with launch("serves", limits={"memory_gib": 1.5, "pids": 64, "cpus": 0.5}) as server:
        server.wait_ready(quietly)
        attributes = client.containers.get(server._container.id).attrs
        identity = server.identity("0.32.0")
    host = attributes["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["Memory"] == host["MemorySwap"] == int(1.5 * 2**30)
    assert (host["PidsLimit"], host["NanoCpus"]) == (64, 500_000_000)
    assert host["ReadonlyRootfs"]
    assert not host["AutoRemove"]
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "1"}
    writable = [mount["Destination"] for mount in attributes["Mounts"] if mount["RW"]]
    assert writable == ["/sock"]
    assert attributes["Config"]["StdinOnce"]
    assert "limited to 0.5 CPUs" in identity.hardware


def test_compiled_kernels_are_kept_apart_by_artifact(
    launch: Callable[..., ServerContainer], client: Any, tmp_path: Path
) -> None:
    with launch("serves", arguments=("--dtype", "bfloat16")) as server:
        server.wait_ready(quietly)
        mounts = client.containers.get(server._container.id).attrs["Mounts"]
    (source,) = [mount["Source"] for mount in mounts if mount["Destination"] == "/cache"]
    assert Path(source).is_relative_to(tmp_path / "cache" / "engine" / "docker")
    assert Path(source).name == "ab" * 16
    assert Path(source).parent.stat().st_mode & 0o777 == 0o700


def test_the_deadline_inside_ends_the_container(
    launch: Callable[..., ServerContainer], client: Any
) -> None:
    with launch("stubborn", lifetime_s=2) as server:
        server.wait_ready(quietly)
        assert is_gone(client, server._container.id, 20)


def test_an_interrupt_while_waiting_leaves_nothing(
    launch: Callable[..., ServerContainer], client: Any
) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    server = launch("silent")
    with pytest.raises(KeyboardInterrupt), server:
        server.wait_ready(interrupt)
    with pytest.raises(NotFound):
        client.containers.get(server._container.id)


def test_nothing_survives_an_owner_killed_without_warning(
    fault_image: str, client: Any, tmp_path: Path
) -> None:
    serving_rig.empty_model(tmp_path / "model")
    owner = textwrap.dedent(f"""
        import pathlib, time
        from assay.adapters.server_docker import DockerServer
        from tests import serving_rig
        folder = pathlib.Path({str(tmp_path)!r})
        server = DockerServer().launch(serving_rig.request(
            folder / "model", folder / "cache", image={fault_image!r},
            environment={{"FAULT_MODE": "serves"}}))
        server.wait_ready(lambda words: None)
        print(server._container.id, server._plan.workspace.root, flush=True)
        time.sleep(600)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", owner], stdout=subprocess.PIPE, cwd=serving_rig.ROOT, text=True
    )
    assert process.stdout is not None
    try:
        container, root = process.stdout.readline().split()
        assert client.containers.get(container).status == "running"
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()
    assert is_gone(client, container)
    reaped = DockerServer().reap()
    assert not Path(root).exists()
    with pytest.raises(NotFound):
        client.containers.get(container)
    assert any(container[:12] in words and "is gone" in words for words in reaped)


def test_what_a_living_owner_uses_is_not_reaped(
    launch: Callable[..., ServerContainer],
) -> None:
    with launch("serves") as server:
        running = server.wait_ready(quietly)
        DockerServer().reap()
        assert running.is_alive()
        assert LABEL_OWNER in server._container.labels


@pytest.mark.parametrize(
    "image", ["vllm/vllm-openai:v0.32.0", "sha256:" + "0" * 64, "assay/absent:1"]
)
def test_an_image_that_is_not_there_is_pulled_by_digest_only(image: str, tmp_path: Path) -> None:
    request = serving_rig.request(serving_rig.empty_model(tmp_path), tmp_path, image=image)
    with pytest.raises(ConfigError, match=r"only a reference by digest is pulled.*build_image\.sh"):
        DockerServer().launch(request)


def test_a_gpu_that_is_not_there_is_a_setting_to_mend(
    launch: Callable[..., ServerContainer], client: Any
) -> None:
    if "nvidia" in client.info()["Runtimes"]:
        pytest.skip("this engine has GPUs")
    with pytest.raises(ConfigError, match="NVIDIA container toolkit"):
        launch("serves", gpus=1)


def test_no_engine_is_a_setting_to_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    with pytest.raises(ConfigError, match="--backend process"):
        server_docker_engine.connect(5)
    assert not engine_holds(CPU_IMAGE)
    assert DockerServer().reap() is not None


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One real vLLM in the real fence for the tests below."""
    request = serving_rig.request(serving_rig.tiny_model(), tmp_path_factory.mktemp("cache"))
    with DockerServer().launch(request) as server:
        yield server.wait_ready(print)


@pytest.mark.vllm
@serving_rig.needs_vllm
class TestRealEngine:
    def test_it_says_what_it_is(self, vllm: RunningServer, client: Any) -> None:
        assert vllm.identity.backend == "docker"
        assert vllm.identity.version == "0.32.0"
        assert vllm.identity.image == client.images.get(CPU_IMAGE).id

    def test_its_answer_is_constrained_to_the_choices(self, vllm: RunningServer) -> None:
        transport = httpx2.HTTPTransport(uds=str(vllm.endpoint.uds))
        headers = {"Authorization": f"Bearer {vllm.endpoint.api_key}"}
        with httpx2.Client(transport=transport, headers=headers, timeout=60) as http:
            question = {
                "model": "tiny",
                "messages": list(serving_rig.QUESTION),
                "structured_outputs": {"choice": ["joy", "anger"]},
            }
            answer = http.post("http://localhost/v1/chat/completions", json=question)
        assert answer.json()["choices"][0]["message"]["content"] in ("joy", "anger")
        assert vllm.is_alive()
