"""What this machine has and lacks for each part of Assay, and the command that mends it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx

from assay.errors import AssayError, ConfigError
from assay.notifications.configuration import load_notifications, variables
from assay.policy import Policy
from assay.serving_profile import ContainerLimits, Profile, load_serving
from assay.task import load_task
from flows.settings import Settings, from_environment
from flows.wiring import golden_source

PROBE_TIMEOUT_S = 60
REGISTRY_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at; `mend` is None when nothing needs mending."""

    what: str
    found: str
    mend: str | None = None


def examine() -> list[Check]:
    """Looks at everything a gate may need; never changes anything."""
    settings, profile = from_environment(), _profile()
    return [
        _python(),
        _serving_runtime(Path(profile.python)),
        _docker(profile.image),
        _trust(settings),
        _gate_key(settings),
        _store(settings),
        _registry(settings),
        _golden(settings),
        _notifications(settings),
        _tool("git", "Git, for golden revisions", "install git"),
        _tool("chromium", "Chromium, for the browser tests", "apt-get install chromium"),
    ]


def _profile() -> Profile:
    """The CPU profile of the folder's serving.yaml; its defaults where there is none."""
    try:
        return load_serving(Path("serving.yaml")).profile("cpu")
    except ConfigError:
        return Profile(image="assay/vllm-cpu", limits=ContainerLimits(memory_gib=1))


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


def _docker(image: str) -> Check:
    what = "Docker engine (the hardened throwaway container)"
    found = _output(["docker", "version", "--format", "{{.Server.Version}}"])
    if found is None:
        return Check(what=what, found="none answers", mend="install and start Docker")
    if not _output(["docker", "image", "ls", "--quiet", image]):
        return Check(what=what, found=f"{found}, without {image}", mend="serving/build_image.sh")
    return Check(what=what, found=f"{found}, with {image}")


def _trust(settings: Settings) -> Check:
    def load() -> str:
        from assay.trust import TrustedKeys

        return f"{len(TrustedKeys.load(settings.trust).keys)} in {settings.trust}"

    return _attempt(
        "trusted keys", load, "make a key with `assay store keygen` and list it in trust.yaml"
    )


def _gate_key(settings: Settings) -> Check:
    what = "signing key of this gate (without it nothing moves production)"
    try:
        from flows.notary import Notary

        complaint = Notary.of(settings).complaint(Policy(schema_version=1, evaluators={"-": {}}))
    except ConfigError as error:
        complaint = str(error)
    if complaint is None:
        return Check(what=what, found=str(settings.signing_key))
    return Check(what=what, found=complaint, mend="assay store keygen --gate")


def _store(settings: Settings) -> Check:
    what = "trusted store"
    if "://" in settings.store:
        return Check(what=what, found=f"{settings.store} (asked when it is used)")
    if Path(settings.store).is_dir():
        return Check(what=what, found=settings.store)
    mend = "publish a version (`assay store publish`), or name another in ASSAY_STORE"
    return Check(what=what, found=f"no {settings.store}", mend=mend)


def _registry(settings: Settings) -> Check:
    what = "registry (MLflow)"
    parts = urlsplit(settings.tracking_uri)
    host = parts.netloc.rpartition("@")[2]  # without a password
    shown = urlunsplit(parts._replace(netloc=host)) if host else settings.tracking_uri
    if parts.scheme not in ("http", "https"):
        return Check(what=what, found=f"{shown} (made when it is first used)")
    try:
        with httpx.Client(timeout=REGISTRY_TIMEOUT_S) as client:
            client.get(settings.tracking_uri.rstrip("/") + "/health").raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        mend = "start it (`make mlflow`), or correct MLFLOW_TRACKING_URI"
        return Check(what=what, found=f"{shown}: {type(error).__name__}", mend=mend)
    return Check(what=what, found=f"{shown} answers")


def _golden(settings: Settings) -> Check:
    def load() -> str:
        labels = load_task(Path("task.yaml")).labels
        golden = golden_source(settings).load(None, labels)
        return f"{golden.size} cases, {golden.digest}"

    return _attempt("golden set", load, "dvc repro (or dvc pull)")


def _notifications(settings: Settings) -> Check:
    what = "who is told (notifications)"
    if settings.notifications is None:
        return Check(what=what, found="nobody: there is no notifications.yaml")
    try:
        channels = load_notifications(settings.notifications).channels
    except ConfigError as error:
        return Check(what=what, found=str(error), mend="correct it, then `assay notify test`")
    named = [name for channel in channels for name in variables(channel)]
    if unset := sorted({name for name in named if not os.environ.get(name, "").strip()}):
        mend = "set them where gates run, then `assay notify test`"
        return Check(what=what, found=f"not set: {', '.join(unset)}", mend=mend)
    return Check(
        what=what,
        found=f"{', '.join(one.name for one in channels)} (`assay notify test` tries them)",
    )


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
