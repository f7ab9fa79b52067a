"""The documentation's commands of Prefect, given one after the other as a reader gives them.

A real server, a real worker, real deployments; what they gate is the machine of `doc_engines`,
whose engines alone are stand-ins. The pools of Docker and Kubernetes are made, and run nothing.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.machine import MODEL, PRODUCTION, short_folder
from tests.docs.doc_commands import ROOT, Shown, run_in
from tests.docs.doc_engines import FRESH, EnginesWorld, engines_world

pytestmark = [pytest.mark.prefect_server, pytest.mark.slow, pytest.mark.timeout(400)]
COMMANDS = run_in("prefect")
BIN = ROOT / ".venv/bin"
SLACK = "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(slots=True)
class Reader:
    """Somebody who gives the pages' commands, each by what it begins with."""

    project: Path
    api: str
    environment: Mapping[str, str]
    given: list[Shown] = field(default_factory=list)

    def find(self, begins: str) -> list[str]:
        """Returns the words of the one command that begins so, and notes that it was given."""
        (command,) = (one for one in COMMANDS if one.text.startswith(begins))
        self.given.append(command)
        known = {
            "model=emotion-demo": f"model={MODEL}",
            "PREFECT_API_URL=http://127.0.0.1:4200/api": f"PREFECT_API_URL={self.api}",
        }
        return [known.get(word, word) for word in command.words]

    def give(self, begins: str, **variables: str) -> str:
        """Gives a command, with the shell's variables replaced; returns what it printed."""
        words = self.find(begins)
        for name, value in variables.items():
            words = [word.replace(f"${name}", value) for word in words]
        return self.run(*words)

    def run(self, *words: str) -> str:
        """Runs a program; fails with what it said."""
        done = subprocess.run(
            words,
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def running(self, begins: str) -> Iterator[Path]:
        """Gives a command that goes on until the block ends; yields its log."""
        log = self.project.parent / f"{begins.replace(' ', '-')}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.find(begins),
                cwd=self.project,
                env=self.environment,
                stdout=output,
                stderr=output,
            )
        try:
            yield log
        finally:
            process.terminate()
            process.wait(60)

    def ended(self, deployment: str) -> dict[str, Any]:
        """Waits for the end of a deployment's one run; returns its state."""
        url = f"{self.api}/flow_runs/filter"
        asked = {"deployments": {"name": {"any_": [deployment]}}}
        end = time.monotonic() + 120
        while time.monotonic() < end:
            found = httpx.post(url, json=asked, timeout=30).raise_for_status().json()
            states = [run["state"] for run in found if not run["auto_scheduled"]]
            if states and states[0]["type"] in FINAL:
                return dict(states[0])
            time.sleep(0.5)
        raise AssertionError(f"{deployment} did not end")


@pytest.fixture(scope="module")
def world() -> Iterator[EnginesWorld]:
    with short_folder() as folder, engines_world(folder) as world:
        world.machine.restore()
        for name in ("prefect.yaml", "pyproject.toml", "deploy"):
            (world.project / name).symlink_to(ROOT / name)
        yield world


@pytest.fixture
def reader(world: EnginesWorld, tmp_path: Path) -> Iterator[Reader]:
    """A reader who has started the server as the page says; it is stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    reader = Reader(
        project=world.project,
        api=f"http://127.0.0.1:{port}/api",
        environment=world.machine.environment
        | {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PREFECT_HOME": str(tmp_path / "prefect"),
            "PREFECT_SERVER_API_PORT": port,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "SLACK_URL": SLACK,
        },
    )
    reader.give("prefect config set")
    with reader.running("prefect server start"):
        reader.give("prefect server status --wait")
        yield reader


def test_a_reader_who_follows_the_pages_gates_rolls_back_and_is_told(
    world: EnginesWorld, reader: Reader
) -> None:
    reader.give("prefect work-pool create assay --type process")
    reader.give("prefect --no-prompt deploy --all")
    with reader.running("prefect worker start") as log:
        reader.give("prefect deployment run gate-release --watch")
        assert production(world) == FRESH, log.read_text()
        reader.give("prefect deployment run rollback-release/")
        assert reader.ended("rollback-release")["type"] == "COMPLETED", log.read_text()
        assert production(world) == PRODUCTION
        reader.give("prefect deployment run watch-golden/")
        looked = reader.ended("watch-golden")
        assert looked["type"] in ("COMPLETED", "FAILED"), log.read_text()
        assert "golden set" in looked["message"]

    block = reader.give("python -c").split()[-1]
    told = reader.give("sed s/NOTIFICATION_BLOCK_ID/", block=block)
    (world.project / "automations.local.yaml").write_text(told)
    assert block in told
    reader.give("prefect automation create --from-file")
    reader.give("prefect automation resume")
    made = httpx.post(f"{reader.api}/automations/filter", json={}, timeout=30).json()
    assert "assay-release-needs-eyes" in {one["name"] for one in made}
    (export,) = (one for one in made if one["name"] == "export-review-when-inconclusive")
    assert export["enabled"]

    for kind in ("docker", "kubernetes"):
        reader.run("prefect", "--no-prompt", "work-pool", "delete", "assay")
        reader.give(f"prefect work-pool create assay --type {kind}")
    assert sorted(c.text for c in reader.given) == [c.text for c in COMMANDS]


def production(world: EnginesWorld) -> str:
    held = world.machine.production()
    assert held is not None
    return held.version
