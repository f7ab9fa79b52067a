"""The hardware class a server runs on, as one line; answers are reused only within one class."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import psutil

from assay.adapters import server_gpus


def describe(gpus: int) -> str:
    """Returns the processor and the cores this process may use, and the accelerators if any."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = f"{_processor()} x{cores}"
    return f"{processor}; {_accelerators()}" if gpus else processor


def free_memory_bytes() -> int:
    """Returns the main memory that new processes of this machine may have.

    Where this process lives in a control group with a limit of its own, that is what may be left
    under it: an engine that it starts counts there as well, unless a container engine starts it.
    """
    free = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no limit, or another kind of control group
        return free
    return max(0, min(free, limit - used))


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


def devices(gpus: int) -> tuple[str, ...]:
    """Returns names of the devices that an engine with so many GPUs uses, the same in every gate.

    A GPU goes by the identity that the driver gives it where it can be asked, so that two gates
    that number them differently queue for the same one.
    """
    if not gpus:
        return ("cpu",)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    chosen = [name.strip() for name in visible.split(",") if name.strip()]
    chosen = (chosen or [str(number) for number in range(gpus)])[:gpus]
    known = {str(gpu.index): gpu.uuid for gpu in server_gpus.found()}
    return tuple(f"gpu-{known.get(name, name)}" for name in chosen)
