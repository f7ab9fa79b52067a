"""Parts of the world that a gate lives in, made so that they can be taken away."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import pytest

_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long offset(void) {
    char text[32] = {0};
    int file = open(getenv("CHAOS_CLOCK") ? getenv("CHAOS_CLOCK") : "/dev/null", O_RDONLY);
    if (file < 0) return 0;
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    return got > 0 ? atol(text) : 0;
}
int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(id, now);
    if (!status && id == CLOCK_REALTIME) now->tv_sec += offset();
    return status;
}
time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}
"""


@contextmanager
def small_disk(*, size_mib: int) -> Iterator[Path]:
    """Gives a folder on a file system of its own that is soon full; needs root."""
    folder = Path(mkdtemp(prefix="ac-", dir="/tmp"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(folder)]
    try:
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("may not mount a small file system here: needs root")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def clock_library(folder: Path) -> Iterator[tuple[dict[str, str], Path]]:
    """Gives the environment in which a process reads a clock of its own, and the clock's offset.

    The machine's clock is everybody's; a library in front of the C library's is one process's.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the library that moves one process's clock")
    source, library, offset = folder / "clock.c", folder / "clock.so", folder / "clock"
    source.write_text(_CLOCK)
    offset.write_text("0")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    yield {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(offset)}, offset


@dataclass(slots=True)
class TrackingServer:
    """A real MLflow server that can be stopped and started again on the same data."""

    data: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Starts it and waits until it answers."""
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
            *("--port", str(self.port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{self.data / 'mlflow.db'}"),
            *("--artifacts-destination", str(self.data / "artifacts")),
        ]
        # Its own job runner is a dozen processes, none of which a gate uses.
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.process = _started(command, self.data / "log", environment)
        wait_healthy(f"http://127.0.0.1:{self.port}/health", self.data / "log")

    def stop(self) -> None:
        """Kills it, as a machine does that loses its power."""
        _kill(self.process)
        self.process = None


@contextmanager
def mlflow_server(data: Path, port: int) -> Iterator[TrackingServer]:
    """Runs a tracking server."""
    data.mkdir()
    server = TrackingServer(data, port)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass(slots=True)
class PrefectServer:
    """A real Prefect server, on a database of its own."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def environment(self) -> dict[str, str]:
        """What a flow needs to know to find it."""
        return {
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }

    def start(self) -> None:
        """Starts it, where it does not run, and waits until it answers."""
        if self.process is not None:
            return
        command = [
            *(sys.executable, "-m", "prefect", "server", "start", "--no-ui"),
            *("--host", "127.0.0.1", "--port", str(self.port)),
        ]
        environment = os.environ | self.environment
        self.process = _started(command, self.home / "log", environment)
        wait_healthy(f"http://127.0.0.1:{self.port}/api/health", self.home / "log")

    def stop(self) -> None:
        """Kills it, as a machine does that loses its power."""
        _kill(self.process)
        self.process = None


@contextmanager
def prefect_server(home: Path, port: int) -> Iterator[PrefectServer]:
    """Runs a Prefect server."""
    home.mkdir()
    server = PrefectServer(home, port)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _started(
    command: list[str], log: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        return subprocess.Popen(
            command, stdout=stream, stderr=stream, env=environment, start_new_session=True
        )


def wait_healthy(url: str, log: Path) -> None:
    """Returns when a server answers with 200; fails with its log when it does not within 120 s."""
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own server
                if answer.status == 200:
                    return
        except OSError:
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def free_port() -> int:
    """Returns a port of this machine's that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
