"""A real Git repository with a real DVC cache and remote, and a golden set under `dvc add`."""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assay.adapters.golden_dvc import DvcGoldenSource
from assay.adapters.golden_repository import GoldenRepository
from assay.adapters.in_memory_golden import InMemoryGoldenValidator
from assay.audit_log import AuditLog
from assay.golden_frozen import canonical, to_jsonl
from assay.golden_set import GoldenSet
from assay.records import GoldenCase
from flows.golden_publishing import Published, PublishPorts, PublishRequest, Rescorer, publish
from tests.artifact_factory import make_keys
from tests.gate_rig import InterruptibleSteps
from tests.golden_examples import cases, probes, write_frozen

TASK = """
schema_version: 1
name: emotion
labels: [joy, anger]
messages: [{role: user, content: "{text}"}]
decoding: {mode: constrained, max_tokens: 4}
readiness_text: hello
"""
IDENTITY = {
    "GIT_AUTHOR_NAME": "t",
    "GIT_AUTHOR_EMAIL": "t@example.com",
    "GIT_COMMITTER_NAME": "t",
    "GIT_COMMITTER_EMAIL": "t@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "DVC_NO_ANALYTICS": "1",
}


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | IDENTITY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def dvc(folder: Path, *arguments: str) -> str:
    return run(folder, sys.executable, "-m", "dvc", *arguments)


def make_repository(
    root: Path, remote: str, *, task: str = TASK, held: Iterable[GoldenCase] | None = None
) -> None:
    """Makes a repository with version 1.0.0 (three cases of joy, if none are given) committed."""
    root.mkdir(parents=True)
    run(root, "git", "init", "-q", "-b", "main")
    dvc(root, "init", "-q")
    dvc(root, "remote", "add", "-q", "-d", "team", remote)
    (root / "task.yaml").write_text(task)
    write_frozen(root / "golden_data", "1.0.0", cases(3) if held is None else held, probes(1))
    dvc(root, "add", "-q", "golden_data/golden.jsonl", "golden_data/probes.jsonl")
    run(root, "git", "add", ".")
    run(root, "git", "commit", "-q", "-m", "1.0.0")


def proposed() -> tuple[GoldenCase, ...]:
    """Two more cases, and one relabelled."""
    first, *rest = cases(5)
    added = [replace(case, added_in="1.1.0") for case in rest[2:]]
    return canonical([replace(first, label="anger"), *rest[:2], *added])


class MemoryLog:
    """Remembers what was recorded, once a version."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], Mapping[str, str]] = {}

    def record(self, golden: GoldenSet, *, tag: str, facts: Mapping[str, str]) -> str:
        self.held[golden.digest, tag] = facts
        return f"memory {tag}"


@dataclass(slots=True)
class Desk:
    """A curator's desk: the repository, a proposal as a file, and a key."""

    root: Path
    log: MemoryLog = field(default_factory=MemoryLog)
    rescore: Rescorer | None = None
    said: list[str] = field(default_factory=list)

    @property
    def source(self) -> DvcGoldenSource:
        return DvcGoldenSource(self.root)

    @property
    def proposal(self) -> Path:
        return self.root.parent / "proposed.jsonl"

    @property
    def audit(self) -> AuditLog:
        return AuditLog(self.root.parent / "audit.jsonl")

    def publish(self, *, interrupt_at: tuple[str, bool] | None = None, **changes: Any) -> Published:
        request = PublishRequest(
            **(
                {
                    "proposal": self.proposal,
                    "why": "more anger",
                    "base": "1.0.0",
                    "task": self.root / "task.yaml",
                }
                | changes
            )
        )
        ports = PublishPorts(
            repository=GoldenRepository(self.root),
            source=self.source,
            validator=InMemoryGoldenValidator(),
            log=self.log,
            audit=self.audit,
            key=self.root.parent / "keys" / "release.key",
            who="curator",
            rescore=self.rescore,
        )
        return publish(
            request,
            ports=ports,
            steps=InterruptibleSteps(self.said.append, interrupt_at),
            progress=self.said.append,
        )


def make_desk(root: Path) -> Desk:
    desk = Desk(root=root)
    make_keys(root.parent / "keys")
    desk.proposal.write_bytes(to_jsonl(proposed()))
    return desk
