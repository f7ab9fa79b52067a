"""What the benchmarks of load generators share: the engine that keeps the truth, and the watch.

Decides where processes run (engine and client on a core each, where the machine has two) and what
is read from the engine's log, the same for every client; leaves the clients to `peers`.
"""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from bench.mock_engine import Script

Floats = NDArray[np.float64]
ROOT = Path(__file__).parents[1]
WARM_UP = 0.1
"""Share of the requests, at either end, that rates and schedules are not taken from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The engine's log, in order of arrival, in seconds of the machine's monotonic clock."""

    ids: tuple[str, ...]
    arrived_s: Floats
    tokens_s: tuple[Floats, ...]
    ended_s: Floats
    outcomes: tuple[str, ...]

    @property
    def ttft_ms(self) -> Floats:
        """From a request's arrival to its first token; NaN where there was none."""
        first = [tokens[0] if len(tokens) else np.nan for tokens in self.tokens_s]
        return (np.array(first) - self.arrived_s) * 1e3

    def rate(self) -> tuple[float, float, float]:
        """Answers a second in the middle of the run, and when that middle began and ended."""
        ended = np.sort(self.ended_s)
        low, high = int(len(ended) * WARM_UP), int(len(ended) * (1 - WARM_UP))
        return (
            (high - low) / float(ended[high] - ended[low]),
            float(ended[low]),
            float(ended[high]),
        )

    def schedule_error_ms(self, rate_per_s: float) -> Floats:
        """How much later than evenly spaced each request came.

        The most punctual request of the run is the schedule's origin, because not every client
        tells its own: a constant delay of all requests does not show.
        """
        arrived = np.sort(self.arrived_s)[int(len(self.arrived_s) * WARM_UP) :]
        late = arrived - np.arange(len(arrived)) / rate_per_s
        return np.asarray((late - late.min()) * 1e3)


class MockEngine:
    """The mock engine as a process; see `bench.mock_engine`."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{port}"

    def set(self, script: Script) -> None:
        """Gives the engine a script and clears its log."""
        body = json.dumps(asdict(script)).encode()
        request = urllib.request.Request(f"{self.url}/mode", body, method="POST")  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - 127.0.0.1
            answer.read()

    def truth(self) -> Truth:
        """Returns the log of requests that ended."""
        with urllib.request.urlopen(f"{self.url}/truth", timeout=60) as answer:  # noqa: S310
            rows: list[list[Any]] = json.load(answer)["rows"]
        whole = [row for row in rows if row[3] is not None]
        return Truth(
            ids=tuple(row[0] for row in whole),
            arrived_s=np.array([row[1] for row in whole], dtype=np.float64) / 1e9,
            tokens_s=tuple(np.array(row[2], dtype=np.float64) / 1e9 for row in whole),
            ended_s=np.array([row[3] for row in whole], dtype=np.float64) / 1e9,
            outcomes=tuple(row[4] for row in whole),
        )


@contextmanager
def mock_engine(*, preferred: bool = False) -> Iterator[MockEngine]:
    """Starts the engine, on the last core, `prefer`red if asked; this process stays where it is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.mock_engine"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        os.sched_setaffinity(process.pid, {engine_core()})
        if preferred:
            prefer(process.pid)
        yield MockEngine(process, port)
    finally:
        process.terminate()
        process.wait(10)


def client_core() -> int:
    """The core that clients are kept on."""
    return min(os.sched_getaffinity(0))


def engine_core() -> int:
    """The core that the engine is kept on: the client's own where there is but one."""
    return max(os.sched_getaffinity(0))


class ProcessorWatch(threading.Thread):
    """Samples the processor time of a process with its children, to be read at any two moments."""

    def __init__(self, pid: int, every_s: float = 0.05) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._every_s = every_s
        self._used: dict[int, float] = {}
        self._samples: list[tuple[float, float]] = []
        self._over = threading.Event()

    def run(self) -> None:
        """Samples until it is stopped."""
        while not self._over.wait(self._every_s):
            try:
                family = [self._root, *self._root.children(recursive=True)]
            except psutil.Error:
                return
            for process in family:
                try:
                    times = process.cpu_times()
                except psutil.Error:
                    continue
                self._used[process.pid] = times.user + times.system
            self._samples.append((time.monotonic(), sum(self._used.values())))

    def stop(self) -> None:
        """Ends the sampling."""
        self._over.set()
        self.join()

    def between(self, begin_s: float, end_s: float) -> float | None:
        """Returns processor seconds used between two moments; None when it saw neither."""
        if len(self._samples) < 2 or self._samples[-1][0] < end_s - 2 * self._every_s:
            return None
        at, used = zip(*self._samples, strict=True)
        begin, end = np.interp([begin_s, end_s], at, used)
        return float(end - begin)


def watched(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    timeout_s: float,
    *,
    preferred: bool = False,
) -> tuple[ProcessorWatch, str]:
    """Runs a client on its core to its end, `prefer`red if asked.

    Returns:
        The record of its processor time, and what it printed.

    Raises:
        RuntimeError: it failed or took too long; holds the end of what it printed.
    """
    output = folder / "output.txt"
    with output.open("w") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, cwd=folder,
            env={**os.environ, **environment}, start_new_session=True,
        )  # fmt: skip
        os.sched_setaffinity(process.pid, {client_core()})
        if preferred:
            prefer(process.pid)
        watch = ProcessorWatch(process.pid)
        watch.start()
        try:
            code: int | str = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = f"still running after {timeout_s:.0f} s"
            _end(process)
        finally:
            watch.stop()
    said = output.read_text(errors="replace")
    if code != 0:
        raise RuntimeError(f"{Path(command[0]).name}: exit {code}: {said[-600:]}")
    return watch, said


def prefer(pid: int) -> None:
    """Runs a process, and what it will start, ahead of all ordinary work of the machine (Linux).

    Then other work on the machine delays no figure. A quiet machine needs no such thing.
    """
    os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a client with the processes it started."""
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    process.kill()
    process.wait(10)
