"""Gates whose engines run in real containers are killed, and the Docker engine is, too."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.emotion import demo
from tests.chaos import stand_in_image, tally
from tests.chaos.kills import DEADLY, INTERRUPTED, Kill, Lane, survive
from tests.chaos.machine import BETTER, HUNGRY, PRODUCTION, Machine, prepared, short_folder
from tests.end_to_end.machine import CACHE, ROOT

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]

VLLM_IMAGE = "assay/vllm-cpu:0.32.0"
VLLM_SERVING = f"""
schema_version: 1
profiles:
  cpu:
    image: {VLLM_IMAGE}
    arguments: [--dtype, bfloat16, --max-model-len, "1024", --max-num-seqs, "16", --enforce-eager]
    environment: {{VLLM_CPU_KVCACHE_SPACE: "1", VLLM_ENABLE_V1_MULTIPROCESSING: "0"}}
    startup_timeout_s: 420
    request_timeout_s: 60
    lifetime_s: 900
    concurrency: 8
    limits: {{memory_gib: 6, pids: 512, shm_mib: 512, tmp_gib: 2}}
"""
KILLS = [
    *(
        Kill(signal.SIGKILL, ("step", name, "before"))
        for name in ("wait for candidate's engine", "ask candidate", "judge", "move production")
    ),
    Kill(signal.SIGKILL, ("step", "launch the engines", "after")),
    Kill(signal.SIGTERM, ("step", "wait for production's engine", "after")),
    Kill(signal.SIGTERM, ("step", "ask candidate", "after")),
    Kill(signal.SIGINT, ("step", "launch the engines", "after")),
]


def docker(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *arguments],
        env=os.environ | more,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def lane() -> Iterator[Lane]:
    if shutil.which("docker") is None or docker("version").returncode:
        pytest.skip("no Docker engine answers")
    stand_in_image.build()
    with short_folder() as folder, prepared(folder, backend="docker") as machine:
        yield Lane.of(machine)


@pytest.mark.parametrize("how", KILLS, ids=str)
def test_a_killed_release_leaves_no_container_and_goes_on(lane: Lane, how: Kill) -> None:
    survive(lane, how)


def test_an_engine_that_runs_out_of_memory_holds_the_release(lane: Lane) -> None:
    machine = lane.machine
    machine.restore()
    ended = machine.run(*machine.gate(HUNGRY))
    tally.fault("engine out of memory")
    assert ended.status == 12, ended.said + ended.result
    assert machine.check_alias() == PRODUCTION
    assert machine.leftovers() == []


def test_a_docker_engine_that_is_restarted_holds_the_release() -> None:
    if shutil.which("dockerd") is None or os.getuid():
        pytest.skip("needs root and dockerd, to start a Docker engine that nobody else uses")
    with short_folder() as folder, own_docker(folder / "d") as engine:
        more = {"DOCKER_HOST": engine.host}
        stand_in_image.build(more)
        with prepared(folder, backend="docker", more=more) as machine:
            running = machine.start(
                *machine.gate(BETTER),
                moments=[(("step", "ask candidate", "before"), signal.SIGSTOP)],
            )
            running.until_stopped()
            assert machine.containers(running=True)
            engine.stop()
            engine.start()
            tally.fault("Docker engine restarted")
            running.go_on()
            ended = running.end()
            assert ended.status == 12, ended.said + ended.result
            assert machine.check_alias() == PRODUCTION
            again = machine.run(*machine.gate(BETTER))
            assert again.status == 0, again.said
            assert machine.leftovers() == []
            assert machine.check_alias() == BETTER


class OwnDocker:
    """A Docker engine of the test's own: socket, images and containers apart from all others."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.host = folder, f"unix://{folder}/s"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *("dockerd", "--host", self.host, "--bridge", "none", "--iptables=false"),
                    *("--data-root", str(self.folder / "r"), "--exec-root", str(self.folder / "x")),
                    *("--pidfile", str(self.folder / "pid")),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + 60
        while docker("version", DOCKER_HOST=self.host).returncode:
            assert time.monotonic() < end, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.2)

    def stop(self) -> None:
        """Ends it; without live-restore, its containers end with it."""
        self.process.terminate()
        self.process.wait(60)


@contextmanager
def own_docker(folder: Path) -> Iterator[OwnDocker]:
    folder.mkdir()
    engine = OwnDocker(folder)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()
        mounts = Path("/proc/mounts").read_text().splitlines()
        for mount in sorted((line.split()[1] for line in mounts), reverse=True):
            if mount.startswith(str(folder)):
                subprocess.run(["umount", "--lazy", mount], check=False)


@pytest.fixture(scope="module")
def vllm() -> Iterator[Machine]:
    models = CACHE / "emotion-demo"
    model = models / PRODUCTION
    if docker("image", "inspect", VLLM_IMAGE).returncode:
        pytest.skip("no Docker engine with the image: serving/build_image.sh")
    if not (ROOT / ".venv-serving/bin/python").exists():
        pytest.skip("no serving environment: run `make serving`")
    models.parent.mkdir(parents=True, exist_ok=True)
    demo.run([".venv-serving/bin/python", "examples/emotion/build.py", "--out", str(models)])
    with short_folder() as copies, short_folder() as folder:
        own = Path(shutil.copytree(model, copies / "model"))
        (own / "metadata.json").unlink()  # it speaks of another name
        only = {PRODUCTION: own}
        with prepared(folder, backend="docker", serving=VLLM_SERVING, models=only) as machine:
            yield machine


@pytest.mark.vllm
def test_real_vllm_in_its_container_never_outlives_a_killed_gate(vllm: Machine) -> None:
    """Six kills of one run, each going on where the one before ended it, and then its end."""
    machine, arguments = vllm, vllm.gate(PRODUCTION)
    for step, when in (("launch the engines", "after"), ("ask candidate", "before")):
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            running = machine.start(*arguments, moments=[(("step", step, when), signal.SIGSTOP)])
            running.until_stopped(420)
            assert machine.containers(running=True), running.said()
            running.signal(number)
            running.go_on()
            ended = running.end(60)
            tally.kill(f"{DEADLY[number]} over vLLM")
            expected = -number if number == signal.SIGKILL else INTERRUPTED
            assert ended.status == expected, ended.said
            if number != signal.SIGKILL:
                assert machine.leftovers() == []
            assert_containers_end(machine)
            assert machine.production() is None
            arguments = ["gate", "--resume", machine.runs()[-1]]
    ended = machine.run(*arguments, timeout_s=420)
    assert ended.status in (0, 10, 11), ended.said + ended.result
    assert machine.leftovers() == []
    assert (machine.home / "runs" / machine.runs()[-1] / "verdict.json").exists()


def assert_containers_end(machine: Machine) -> None:
    """The dead man's stdin: a container ends by itself, seconds after its gate."""
    end = time.monotonic() + 20
    while machine.containers(running=True):
        assert time.monotonic() < end
        time.sleep(0.2)
