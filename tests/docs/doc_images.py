"""Docker for the documentation's commands: the engine, and what stands for public images.

Where this machine has a public image it is used; no test pulls one. Else a stage of
`stand_ins.Dockerfile` is built on the base that `serving/build_image.sh` has made, with this
machine's certificates for the build.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.docs.doc_commands import ROOT

HERE = Path(__file__).parent
SYSTEMS = ("debian:bookworm-slim", "assay/debian:bookworm")


def docker(*words: str, folder: Path = ROOT, **more: str) -> str:
    """Runs a command of Docker, `more` added to its environment; fails with what it said."""
    done = subprocess.run(
        ["docker", *words],
        cwd=folder,
        env=os.environ | more,
        capture_output=True,
        text=True,
        timeout=1400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def system() -> str:
    """Returns the name of an image of Debian that is here; skips the test where there is none."""
    if shutil.which("docker") is None:
        pytest.skip("no Docker engine answers")
    found = next((name for name in SYSTEMS if _is_here(name)), None)
    if found is None:
        pytest.skip("no base image: serving/build_image.sh makes one")
    return found


def public_or_stand_in(public: str, stage: str) -> str:
    """Returns a public image's name where it is here, else that of the stage built for it."""
    base = system()
    if _is_here(public):
        return public
    tag = f"assay-test/{stage}:latest"
    with tempfile.TemporaryDirectory() as context:
        for name in ("stand_ins.Dockerfile", "stand_in_postgres.sh"):
            shutil.copy(HERE / name, context)
        bundle = os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt"
        shutil.copy(bundle, Path(context) / "ca.crt")
        docker(
            *("build", "--quiet", "--network", "host", "--build-arg", f"SYSTEM={base}"),
            *("--tag", tag, "--target", stage),
            *("--file", f"{context}/stand_ins.Dockerfile", context),
            DOCKER_BUILDKIT="0",  # needs no plugin
        )
    return tag


def _is_here(image: str) -> bool:
    inspected = ["docker", "image", "inspect", image]
    return subprocess.run(inspected, capture_output=True, check=False).returncode == 0
