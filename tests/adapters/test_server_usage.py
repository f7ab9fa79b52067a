"""What an engine uses: of a real process tree, and of a container as Docker's engine tells it."""

import os
import subprocess
import sys

from assay.adapters import server_usage
from assay.ports import ProcessUsage

BUSY = "import time; b = bytearray(64 << 20); e = time.process_time() + 0.3\nwhile time.process_time() < e: pass\nprint('done', flush=True); time.sleep(30)"  # noqa: E501 - a program


def test_a_process_and_all_below_it_are_counted() -> None:
    alone = server_usage.of_tree(os.getpid())
    command = [sys.executable, "-c", BUSY]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        with_child = server_usage.of_tree(os.getpid())
        below = server_usage.of_tree(child.pid)
    finally:
        child.kill()
        child.communicate()
    assert alone is not None
    assert with_child is not None
    assert below is not None
    assert below.cpu_s >= 0.3
    assert below.memory_bytes > 64 << 20
    assert with_child.cpu_s >= alone.cpu_s + 0.3
    assert server_usage.of_tree(child.pid) is None


def test_the_page_cache_of_a_container_is_not_its_own() -> None:
    stats = {
        "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}},
        "memory_stats": {"usage": 1000, "stats": {"inactive_file": 300}},
    }
    assert server_usage.of_container(stats) == ProcessUsage(cpu_s=2.5, memory_bytes=700)


def test_a_container_that_has_ended_uses_nothing_that_is_known() -> None:
    assert server_usage.of_container({"cpu_stats": {"cpu_usage": {}}, "memory_stats": {}}) is None
    assert server_usage.of_container({}) is None
