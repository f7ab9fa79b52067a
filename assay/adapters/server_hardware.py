"""The hardware class a server runs on, as one line; answers are reused only within one class."""

import os
import platform
import shutil
import subprocess
from pathlib import Path


def describe(gpus: int) -> str:
    """Returns the processor and the cores this process may use, and the accelerators if any."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = f"{_processor()} x{cores}"
    return f"{processor}; {_accelerators()}" if gpus else processor


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _accelerators() -> str:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "accelerators unknown (no nvidia-smi)"
    query = [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        return f"accelerators unknown ({type(error).__name__})"
    return " + ".join(line.strip() for line in answer.stdout.splitlines() if line.strip())
