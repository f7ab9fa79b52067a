"""The world of the documentation's commands that start engines or move production.

All of it is real (store and signatures, MLflow, Git and DVC, the command line in a process of its
own, the engines' processes and containers), but for the engines' minds: what is started is
`tests/chaos/stand_in_engine.py`, which answers in a moment. The same on real vLLM is in
`tests/end_to_end`. Every command finds the machine as it was before: 1.0.0 in production.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL

from flows.wiring import store_for
from tests.artifact_factory import make_artifact
from tests.chaos.machine import BETTER, MODEL, POLICY, Ended, Machine, prepared
from tests.chaos.stand_in_image import IMAGE
from tests.cli_desk import to_jsonl
from tests.docs.doc_commands import Shown
from tests.docs.doc_servers import people_world
from tests.gate_rig import golden_cases

SERVING = f"""
schema_version: 1
profiles:
  cpu:
    image: assay/nobody-has-this:1
    python: PYTHON
    arguments: [--dtype, bfloat16]
    startup_timeout_s: 60
    request_timeout_s: 5
    lifetime_s: 300
    concurrency: 8
    limits: {{memory_gib: 0.25, pids: 256, shm_mib: 16, tmp_gib: 0.1}}
  gpu:
    image: {IMAGE}
    arguments: [--dtype, bfloat16]
    startup_timeout_s: 60
    request_timeout_s: 5
    lifetime_s: 300
    concurrency: 8
    limits: {{memory_gib: 0.25, pids: 256, shm_mib: 16, tmp_gib: 0.1}}
"""
LOAD = """
load:
  ramp:
    warm_up_s: 0.2
    objectives:
      {ttft_p99_ms: 3000, tokens_per_s: null, max_error_rate: null, min_availability: null}
    generator: {max_lag_p99_ms: 3000, max_cpu_share: 1.0}
    search: {start_per_s: 20, max_per_s: 40, step_s: 1, step_requests: 12}
"""
SPACE = """
schema_version: 1
trials: 2
confirmations: 2
profiles:
  cpu: {arguments: {--max-num-seqs: {values: [8, 16]}}}
"""
APPROVALS = "promotion:\n  approvals: {standard: 1, emergency: 2, low-risk: 0}\n"
FRESH = "1.4.0"


@dataclass(slots=True)
class EnginesWorld:
    """A machine, and the folder of a project in which commands are given."""

    machine: Machine

    @property
    def project(self) -> Path:
        """A Git repository with golden versions 1.0.0 and 1.1.0, task, policy and serving."""
        return self.machine.place / "project"

    def run(self, *words: str) -> Ended:
        """Runs a command of `assay` in the project."""
        return self.machine.run(*words, within=self.project)

    def words(self, command: Shown) -> list[str]:
        """Makes what the command begins with, and returns its words with what stands for what."""
        words = list(command.words[1:])
        run = self._before(words)
        known = {
            "emotion-demo": MODEL, "emotion-goemotions": MODEL, "MODEL": MODEL, "VERSION": FRESH,
            "$version": FRESH, "models/$version": f"../../models/{FRESH}",
            "key.pem": "../keys/release.key", "RUN": run,
            ".assay/reports/RUN": str(self.machine.home / "reports" / run),
            "examples/emotion/policy-data.yaml": "policy.yaml",
        }  # fmt: skip
        return [known.get(word, word) for word in words]

    def _before(self, words: list[str]) -> str:
        """Brings about what a command is for; returns the run that it speaks of."""
        match words[:2]:
            case ["gate", "--resume"]:
                gate = ("gate", MODEL, FRESH)
                judging = ("step", "judge", "before")
                killed = self.machine.start(
                    *gate, moments=[(judging, SIGKILL)], within=self.project
                )
                assert killed.end().status == -SIGKILL, killed.said()
            case ["rollback", _]:
                self._do("gate", MODEL, BETTER)
            case ["golden", "check"]:
                self._do("gate", MODEL, BETTER)
            case ["golden", "publish"]:
                self._do("golden", "ingest", "export.json")
            case ["store", "publish"]:
                shutil.rmtree(self.machine.place / "store" / MODEL / FRESH)
            case ["gate", _] if "--change" in words:
                policy = self.project / "policy.yaml"
                policy.write_text(policy.read_text() + APPROVALS)
        return next(iter(self.machine.runs()), "")

    def _do(self, *words: str) -> None:
        ended = self.run(*words)
        assert ended.status == 0, ended.said + ended.result


@contextmanager
def engines_world(folder: Path) -> Iterator[EnginesWorld]:
    """Prepares the machine and its project.

    Args:
        folder: with a short name, for the sockets below it.
    """
    with prepared(folder, serving=SERVING) as machine:
        before = folder / "before"
        project = before / "project"
        people_world(project, folder / "remote")
        for name in ("task.yaml", "serving.yaml"):
            shutil.copy(before / name, project / name)
        (project / "policy.yaml").write_text(POLICY + LOAD)
        (project / "tune.yaml").write_text(SPACE)
        text = (project / "serving.yaml").read_text()
        tuned = text.replace("bfloat16]", 'bfloat16, --max-num-seqs, "16"]', 1)
        (project / "serving.tuned.yaml").write_text(tuned)
        (project / "golden.jsonl").symlink_to("golden_data/golden.jsonl")
        week = ({"text": c.text, "label": c.label, "lang": c.lang} for c in golden_cases()[::2])
        (project / "last_week.jsonl").write_bytes(to_jsonl(week))
        _publish(machine, before)
        yield EnginesWorld(machine)


def _publish(machine: Machine, before: Path) -> None:
    """Puts one version more into the store: it never errs."""
    model = make_artifact(machine.folder / "models" / FRESH, seed=40)
    (model / "README.md").write_text("stand-in errors: 0.0 d\n")
    settings = replace(machine.settings, store=str(before / "store"), trust=before / "trust.yaml")
    key = before / "keys/release.key"
    store_for(settings).publish(model, model=MODEL, version=FRESH, private_key=key)
