"""CPU and memory of an engine: of a process tree, or of a container as the Docker engine tells it.

Decides what counts as used; leaves when to look to the probes. Memory of a container is without the
page cache that the kernel would give back at once, as `docker stats` shows it.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil

from assay.ports import ProcessUsage


def of_tree(pid: int) -> ProcessUsage | None:
    """Returns what a process and all below it use; None where it has ended.

    Memory is the sum of resident sizes: pages that the processes share count for each.
    """
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return None
    cpu_s, memory_bytes, seen = 0.0, 0, False
    for process in processes:
        with suppress(psutil.Error):  # one that ends meanwhile is no longer part of it
            with process.oneshot():
                times = process.cpu_times()
                cpu_s += times.user + times.system
                memory_bytes += process.memory_info().rss
            seen = True
    return ProcessUsage(cpu_s=cpu_s, memory_bytes=memory_bytes) if seen else None


def of_container(stats: Mapping[str, Any]) -> ProcessUsage | None:
    """Returns what a container uses, from the Docker engine's statistics; None where they are bare.

    A container that has just ended has statistics without figures.
    """
    memory = stats.get("memory_stats") or {}
    cpu = (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
    if "usage" not in memory or "total_usage" not in cpu:
        return None
    details = memory.get("stats") or {}
    cached = details.get("inactive_file", details.get("total_inactive_file", 0))
    return ProcessUsage(
        cpu_s=cpu["total_usage"] / 1e9, memory_bytes=max(0, int(memory["usage"]) - int(cached))
    )
