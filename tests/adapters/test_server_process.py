"""The process back end: real vLLM, engines that fail in every known way, and owners that die."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx2
import psutil
import pytest

from assay.adapters import server_workspace
from assay.adapters.server_process import ProcessServer, ServerProcess
from assay.errors import ArtifactError, AssayError, ConfigError, InfrastructureError
from assay.ports import RunningServer
from tests import serving_rig


def until(holds: Callable[[], bool], seconds: float = 15) -> bool:
    """Waits for a condition."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


def group_members(group: int) -> list[int]:
    """Returns the living processes of a group."""
    found = []
    for process in psutil.process_iter():
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and os.getpgid(process.pid) == group:
                found.append(process.pid)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    return found


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Launches engines that fail; ends them all."""
    started: list[ServerProcess] = []

    def start(mode: str, **changes: object) -> ServerProcess:
        python = str(serving_rig.failing_python(tmp_path, mode))
        folder = serving_rig.empty_model(tmp_path / "model")
        request = serving_rig.request(
            folder, tmp_path / "cache", **({"python": python, "startup_timeout_s": 10} | changes)
        )
        started.append(ProcessServer().launch(request))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def quietly(_: str) -> None:
    """Progress nobody reads."""


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("refuses_model", ArtifactError, "start (0) + length (384) exceeds dimension size"),
        ("no_memory", InfrastructureError, "OutOfMemoryError"),
        ("no_module", InfrastructureError, "No module named vllm"),
        ("killed", InfrastructureError, "exit status 137"),
        ("old", InfrastructureError, "found vLLM '0.6.6', expected 0.32.0 or later"),
        ("unversioned", InfrastructureError, "no version to be read"),
        ("garbage", InfrastructureError, "expected a chat completion"),
        ("error_500", InfrastructureError, "InternalServerError"),
        ("no_template", ArtifactError, "no chat template"),
        ("dies_answering", InfrastructureError, "exit status 3"),
    ],
)
def test_an_engine_that_fails_is_named_and_leaves_nothing(
    launch: Callable[..., ServerProcess], mode: str, kind: type[AssayError], words: str
) -> None:
    server = launch(mode)
    workspace = server.endpoint.uds.parents[1]  # type: ignore[union-attr]
    with pytest.raises(kind) as caught, server:
        server.wait_ready(quietly)
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert not workspace.exists()


@pytest.mark.parametrize("mode", ["never_ready", "silent", "link"])
def test_an_engine_that_is_never_ready_is_given_up_with_its_last_words(
    launch: Callable[..., ServerProcess], mode: str
) -> None:
    told: list[str] = []
    with (
        pytest.raises(InfrastructureError, match=r"not ready after 1 s.*last words") as caught,
        launch(mode, startup_timeout_s=1) as server,
    ):
        server.wait_ready(told.append)
    assert "startup_timeout_s" in str(caught.value)
    assert told
    assert told[0].endswith(" s")


def test_an_engine_that_ends_half_way_is_seen_to_be_gone(
    launch: Callable[..., ServerProcess],
) -> None:
    with launch("ends_half_way") as server:
        running = server.wait_ready(quietly)
        assert until(lambda: not running.is_alive())
        assert "Starting to load model" in running.log_tail()
    assert "Starting to load model" in running.log_tail()


def test_a_stubborn_engine_is_killed_with_its_whole_group(
    launch: Callable[..., ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.adapters.server_process._GRACE_S", 1.0)
    with launch("stubborn") as server:
        server.wait_ready(quietly)
        group = os.getpgid(server._process.pid)
        assert len(group_members(group)) >= 3
    assert until(lambda: group_members(group) == [])


def test_after_the_end_it_is_seen_that_everything_is_gone(
    launch: Callable[..., ServerProcess],
) -> None:
    server = launch("serves")
    server.wait_ready(quietly)
    running = {one.what: one.gone for one in server.postconditions()}
    assert running == {"processes": True, "socket": False, "workspace": False}  # none counted yet
    server.stop()
    found = server.postconditions()
    assert {one.what: one.gone for one in found} == dict.fromkeys(running, True)
    assert int(found[0].detail.split()[0]) >= 3  # timeout, guard, engine


def test_a_process_that_left_its_group_and_its_parent_is_found_and_killed(
    launch: Callable[..., ServerProcess],
) -> None:
    server = launch("leaves_the_group")
    server.wait_ready(quietly)
    pid = int((server._workspace.temporary / "daemon.pid").read_text())
    assert os.getpgid(pid) != server._process.pid
    assert psutil.Process(pid).ppid() != server._process.pid
    server.stop()
    assert until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")
    assert all(one.gone for one in server.postconditions())


def test_what_outlives_its_end_is_said_to_be_there(
    launch: Callable[..., ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.adapters.server_remains._PATIENCE_S", 0.2)
    monkeypatch.setattr("assay.adapters.server_remains.kill", lambda left: None)
    server = launch("leaves_the_group")
    server.wait_ready(quietly)
    pid = int((server._workspace.temporary / "daemon.pid").read_text())
    try:
        server.stop()
        left = next(one for one in server.postconditions() if one.what == "processes")
        assert left.gone is False
        assert str(pid) in left.detail
    finally:
        os.kill(pid, signal.SIGKILL)


def test_an_engine_does_not_outlive_the_guard_that_would_end_it(
    launch: Callable[..., ServerProcess],
) -> None:
    server = launch("serves")
    server.wait_ready(quietly)
    guard = psutil.Process(server._process.pid).children()[0]
    engine = next(one for one in guard.children() if "fault_engine" in " ".join(one.cmdline()))
    guard.kill()
    assert until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE, 5)


def test_stopping_twice_is_harmless(launch: Callable[..., ServerProcess]) -> None:
    server = launch("serves")
    server.wait_ready(quietly)
    server.stop()
    server.stop()
    assert server.ending() is not None


def test_an_interrupt_while_waiting_leaves_nothing(launch: Callable[..., ServerProcess]) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    server = launch("silent")
    group = server._process.pid
    with pytest.raises(KeyboardInterrupt), server:
        server.wait_ready(interrupt)
    assert until(lambda: group_members(group) == [])
    assert not server._workspace.root.exists()


def test_the_deadline_ends_the_engine_by_itself(launch: Callable[..., ServerProcess]) -> None:
    with launch("serves", lifetime_s=2) as server:
        server.wait_ready(quietly)
        assert until(lambda: server.ending() is not None, 10)
        ending = server.ending()
    assert ending is not None
    assert ending.exit_status == 124


def test_the_engine_inherits_no_secret_of_ours(
    launch: Callable[..., ServerProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ours")
    seen = tmp_path / "environment.json"
    with launch("serves", environment={"FAULT_ENVIRONMENT_FILE": str(seen)}) as server:
        server.wait_ready(quietly)
        environment = json.loads(seen.read_text())
        key = server.endpoint.api_key
        arguments = " ".join(psutil.Process(server._process.pid).cmdline())
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    assert environment["VLLM_API_KEY"] == key
    assert key is not None
    assert key not in arguments
    assert key not in repr(server.endpoint)


def test_a_missing_serving_environment_is_a_setting_to_mend(tmp_path: Path) -> None:
    request = serving_rig.request(
        serving_rig.empty_model(tmp_path / "m"), tmp_path, python="nowhere/bin/python"
    )
    with pytest.raises(ConfigError, match=r"serving/install_runtime\.sh"):
        ProcessServer().launch(request)


def test_nothing_survives_an_owner_killed_without_warning(tmp_path: Path) -> None:
    python = serving_rig.failing_python(tmp_path, "serves")
    serving_rig.empty_model(tmp_path / "model")
    owner = textwrap.dedent(f"""
        import pathlib, time
        from assay.adapters.server_process import ProcessServer
        from tests import serving_rig
        folder = pathlib.Path({str(tmp_path)!r})
        request = serving_rig.request(folder / "model", folder / "cache", python={str(python)!r})
        server = ProcessServer().launch(request)
        server.wait_ready(lambda words: None)
        print(server._process.pid, server._workspace.root, flush=True)
        time.sleep(600)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", owner],
        stdout=subprocess.PIPE,
        cwd=serving_rig.ROOT,
        text=True,
    )
    assert process.stdout is not None
    try:
        group, root = process.stdout.readline().split()
        assert group_members(int(group))
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()
    assert until(lambda: group_members(int(group)) == [])
    assert Path(root).exists()
    reaped = ProcessServer().reap()
    assert not Path(root).exists()
    assert any(root in words and "run-of-a-test" in words for words in reaped)


def test_what_a_living_owner_uses_is_not_reaped(launch: Callable[..., ServerProcess]) -> None:
    with launch("serves") as server:
        running = server.wait_ready(quietly)
        ProcessServer().reap()
        assert running.is_alive()
        assert server._workspace.root.exists()


def test_a_server_whose_dead_man_switch_was_cut_is_reaped(tmp_path: Path) -> None:
    sleeper = subprocess.Popen(["sleep", "600"], start_new_session=True)
    workspace = server_workspace.make("run-of-the-dead")
    try:
        workspace.note_owner(run_id="run-of-the-dead", group=sleeper.pid)
        note = json.loads((workspace.root / "owner.json").read_text())
        host = note["owner"].split(":")[0]
        note["owner"] = f"{host}:{os.getpid()}:1"
        (workspace.root / "owner.json").write_text(json.dumps(note))
        reaped = ProcessServer().reap()
    finally:
        killed = sleeper.poll()
        sleeper.kill()
        sleeper.wait(10)
        workspace.remove()
    assert any(str(workspace.root) in words and "killed" in words for words in reaped)
    assert killed in (None, -signal.SIGKILL)
    assert sleeper.returncode == -signal.SIGKILL


def ask(running: RunningServer, path: str, **arguments: object) -> httpx2.Response:
    """Sends one request to a running server."""
    endpoint = running.endpoint
    transport = httpx2.HTTPTransport(uds=str(endpoint.uds))
    headers = {"Authorization": f"Bearer {endpoint.api_key}"}
    with httpx2.Client(
        base_url=endpoint.base_url, transport=transport, headers=headers, timeout=60
    ) as http:
        return http.request(**({"method": "GET", "url": path} | arguments))  # type: ignore[arg-type]


@pytest.mark.vllm
@pytest.mark.paired
@serving_rig.needs_vllm
class TestRealEngine:
    def test_it_says_what_it_is(self, tiny_engine: RunningServer) -> None:
        identity = tiny_engine.identity
        assert (identity.backend, identity.engine) == ("process", "vllm")
        assert identity.version == "0.32.0"
        assert identity.image.startswith("sha256:")
        assert identity.arguments[:2] == ("--quantization", "awq")
        assert not any("/" in argument for argument in identity.arguments)
        assert "x" in identity.hardware
        assert tiny_engine.started_in_s > 1

    def test_its_answer_is_constrained_to_the_choices(self, tiny_engine: RunningServer) -> None:
        question = {
            "model": "tiny",
            "messages": list(serving_rig.QUESTION),
            "max_tokens": 8,
            "structured_outputs": {"choice": ["joy", "anger"]},
        }
        answer = ask(tiny_engine, "/v1/chat/completions", method="POST", json=question)
        assert answer.json()["choices"][0]["message"]["content"] in ("joy", "anger")

    def test_it_answers_nobody_without_the_key(self, tiny_engine: RunningServer) -> None:
        answer = ask(tiny_engine, "/v1/models", headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 401
        assert ask(tiny_engine, "/v1/models").json()["data"][0]["id"] == "tiny"

    def test_its_socket_lies_behind_a_private_door(self, tiny_engine: RunningServer) -> None:
        assert tiny_engine.endpoint.uds is not None
        door = tiny_engine.endpoint.uds.parents[1]
        assert door.stat().st_mode & 0o777 == 0o700
        assert len(str(tiny_engine.endpoint.uds)) < 100
        assert tiny_engine.is_alive()
        assert tiny_engine.log_tail()


def runs_with_a_folder() -> set[str]:
    """Returns the runs of this machine whose servers have a folder now."""
    runs = set()
    for note in Path(tempfile.gettempdir()).glob("assay-serve-*/owner.json"):
        with suppress(FileNotFoundError):  # another test's server has just ended
            runs.add(json.loads(note.read_text())["run"])
    return runs


def test_a_full_disk_is_infrastructure_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    folder = serving_rig.empty_model(tmp_path / "model")
    python = str(serving_rig.failing_python(tmp_path, "serves"))
    request = serving_rig.request(folder, tmp_path / "cache", python=python)
    run_id = f"run-{tmp_path}"
    with pytest.raises(InfrastructureError, match=r"cannot be written for a server"):
        ProcessServer().launch(replace(request, run_id=run_id))
    assert run_id not in runs_with_a_folder()
