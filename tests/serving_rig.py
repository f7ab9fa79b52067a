"""What tests of serving share: a tiny real model, requests for it, and engines that fail."""

import atexit
import shutil
import stat
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from assay.ports import ServeRequest
from assay.records import ArtifactRef, PulledArtifact, Role
from assay.serving_profile import ContainerLimits, Profile

ROOT = Path(__file__).parents[1]
SERVING_PYTHON = ROOT / ".venv-serving/bin/python"
QUESTION = ({"role": "user", "content": "I got the job!"},)
EAGER = (
    *("--dtype", "bfloat16", "--enforce-eager"),
    *("--max-model-len", "1024", "--max-num-seqs", "16"),
)

needs_vllm = pytest.mark.skipif(
    not SERVING_PYTHON.exists(), reason="no serving environment; run serving/install_runtime.sh"
)


@cache
def tiny_model() -> Path:
    """Writes the tiny model once a session, with the serving environment; returns its folder."""
    private = Path(mkdtemp(prefix="assay-tiny-"))
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    folder = private / "model"
    command = [SERVING_PYTHON, ROOT / "serving/tiny_model.py", folder]
    subprocess.run(command, check=True, timeout=120)
    return folder


def empty_model(folder: Path) -> Path:
    """Makes a model folder that only an engine which does not look into it can serve."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"quantization_config": {"quant_method": "awq"}}')
    return folder


def profile(**changes: object) -> Profile:
    """Returns a profile for tests: quick to give up, one small engine."""
    settled: dict[str, object] = {
        "image": "assay/vllm-cpu:0.32.0",
        "python": str(SERVING_PYTHON),
        "arguments": EAGER,
        "environment": {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
        "startup_timeout_s": 240,
        "lifetime_s": 600,
        "request_timeout_s": 20,
        "limits": ContainerLimits(memory_gib=6),
    }
    return Profile.model_validate(settled | changes)


def request(folder: Path, cache_dir: Path, **changes: object) -> ServeRequest:
    """Returns a request to serve a model folder."""
    ref = ArtifactRef(model="tiny", version="1.0.0", digest="sha256:" + "ab" * 32)
    artifact = PulledArtifact(ref=ref, folder=folder, metadata={}, size_bytes=1)
    return ServeRequest(
        artifact=artifact,
        name="tiny",
        role=Role.CANDIDATE,
        profile=profile(**changes),
        profile_name="cpu",
        run_id="run-of-a-test",
        readiness_messages=QUESTION,
        cache_dir=cache_dir,
    )


def failing_python(folder: Path, mode: str) -> Path:
    """Writes an "interpreter" that runs a failing engine in place of vLLM; returns its path."""
    path = folder / f"python-{mode}"
    engine = ROOT / "tests/serving/fault_engine.py"
    path.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {engine} {mode} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
