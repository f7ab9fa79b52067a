"""A machine on which a whole release can happen for real, for the end-to-end tests.

The demonstration's own code prepares it: real models, real keys, a real store, real MLflow on a
file. The models are kept outside the clone between runs (they take minutes to train and are the
same bytes each time); everything else is new in each session.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.emotion import demo
from flows.settings import Settings

ROOT = Path(__file__).parents[2]
ASSAY = ROOT / ".venv" / "bin" / "assay"
POLICY = Path("examples/emotion/policy.yaml")
CACHE = Path(os.environ.get("ASSAY_TEST_CACHE") or Path.home() / ".cache" / "assay-tests")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A command that has ended."""

    code: int
    document: dict[str, Any]
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A prepared machine."""

    settings: Settings

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every command on this machine."""
        return os.environ | {
            "ASSAY_HOME": str(self.settings.home),
            "ASSAY_STORE": self.settings.store,
            "ASSAY_TRUST": str(self.settings.trust),
            "MLFLOW_TRACKING_URI": self.settings.tracking_uri,
            "ASSAY_WHO": "tester",
        }

    def command(self, version: str, backend: str, policy: Path = POLICY) -> list[str]:
        """Returns the command line that gates a version."""
        return [
            *(str(ASSAY), "gate", demo.MODEL, version),
            *("--backend", backend, "--policy", str(policy), "--json"),
        ]

    def gate(self, version: str, backend: str, timeout_s: float = 600, **watching: str) -> Finished:
        """Gates a version with the command line, `watching` added to its environment."""
        done = subprocess.run(
            self.command(version, backend),
            cwd=ROOT,
            env=self.environment | watching,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        document = json.loads(done.stdout) if done.stdout.strip() else {}
        return Finished(code=done.returncode, document=document, said=done.stderr)

    def production(self) -> str | None:
        """Returns the version that the alias `production` names."""
        from assay.adapters.registry_mlflow import MlflowRegistry

        registry = MlflowRegistry(self.settings.tracking_uri, self.settings.locks)
        held = registry.production(demo.MODEL)
        return None if held is None else held.version

    def reports(self) -> list[Path]:
        """Returns the evidence folders, oldest first."""
        return sorted(self.settings.reports.glob("*"))


def prepare(home: Path) -> Machine:
    """Trains what is not cached, publishes everything, and makes 1.0.0 production."""
    settings = demo.demo_settings(home)
    models = CACHE / "emotion-demo"
    models.parent.mkdir(parents=True, exist_ok=True)
    demo.run([sys.executable, "-m", "dvc", "repro", "--quiet"])
    demo.run([".venv-serving/bin/python", "examples/emotion/build.py", "--out", str(models)])
    home.mkdir(parents=True, exist_ok=True)
    demo.publish_all(settings, models, lambda line: None)
    return Machine(settings=settings)
