"""Watches the engines while they are under load, from a thread beside it.

Decides when an engine is looked at (when its watch begins, at every tick, and once more when it has
come to rest) and how many looks are kept; leaves looking to the probes and what was seen to
`engine_health`. The first look of a session is where its counts begin, so a warm-up before it is in
no figure.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from assay.ports import EngineProbe
from assay.records import EngineSample, Role

INTERVAL_S = 1.0
"""Between two looks. A look takes some milliseconds of the engine's own event loop (docs)."""

_KEPT = 4096
_REST_S = 2.0
_PAUSE_S = 0.02


@dataclass(slots=True, kw_only=True)
class EngineWatch:
    """The looks at each engine; a context manager around a whole load.

    Where a load lasts so long that more looks would be taken than are kept, every second one is
    merged into its neighbour and the interval doubles: memory stays bounded and no peak is lost.

    Args:
        clock_zero_s: the monotonic time at which the load began; may be set until the first look.
        interval_s: seconds between looks.
    """

    clock_zero_s: float
    interval_s: float = INTERVAL_S
    _samples: dict[Role, list[EngineSample]] = field(default_factory=dict)
    _watched: dict[Role, EngineProbe] = field(default_factory=dict)
    _sessions: dict[Role, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self, role: Role, probe: EngineProbe) -> None:
        """Takes a first look at an engine, and looks again at every tick until `end`."""
        with self._lock:
            self._sessions[role] = self._sessions.get(role, -1) + 1
            self._watched[role] = probe
            self._look(role)

    def end(self, role: Role) -> None:
        """Takes a last look, when the engine has come to rest, and closes the probe."""
        with self._lock:
            probe = self._watched.pop(role, None)
            if probe is not None:
                self._samples[role].append(self._at_rest(role, probe))
                probe.close()

    def is_watched(self, role: Role) -> bool:
        """Whether an engine is being watched."""
        return role in self._watched

    @property
    def samples(self) -> Mapping[Role, tuple[EngineSample, ...]]:
        """What was seen so far, in order."""
        with self._lock:
            return {role: tuple(taken) for role, taken in self._samples.items()}

    def _look(self, role: Role) -> None:
        taken = self._samples.setdefault(role, [])
        taken.append(self._watched[role].sample(self._now_s(), self._sessions[role]))
        if len(taken) >= _KEPT:
            self._samples = {one: thinned(samples) for one, samples in self._samples.items()}
            self.interval_s *= 2

    def _at_rest(self, role: Role, probe: EngineProbe) -> EngineSample:
        """The engine counts a request a moment after its answer has arrived: wait for that."""
        end_s = time.monotonic() + _REST_S
        while True:
            sample = probe.sample(self._now_s(), self._sessions[role])
            busy = (sample.running or 0.0) + (sample.waiting or 0.0)
            if not busy or time.monotonic() >= end_s:
                return sample
            time.sleep(_PAUSE_S)

    def _now_s(self) -> float:
        return max(0.0, time.monotonic() - self.clock_zero_s)

    def _run(self) -> None:
        while not self._ended.wait(self.interval_s):
            with self._lock:
                for role in self._watched:
                    self._look(role)

    def __enter__(self) -> Self:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._run, name="engine-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the thread, and every watch that still runs."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        for role in list(self._watched):
            self.end(role)


def thinned(samples: list[EngineSample]) -> list[EngineSample]:
    """Returns half as many samples: of two neighbours of one session the later, with both's peaks.

    The first sample of a session is kept as it is, because counts begin there.
    """
    kept: list[EngineSample] = []
    waiting: EngineSample | None = None
    for index, sample in enumerate(samples):
        first = index == 0 or samples[index - 1].session != sample.session
        if waiting is not None and waiting.session != sample.session:
            kept.append(waiting)
            waiting = None
        if first:
            kept.append(sample)
        elif waiting is None:
            waiting = sample
        else:
            kept.append(_merged(waiting, sample))
            waiting = None
    return kept if waiting is None else [*kept, waiting]


def _merged(earlier: EngineSample, later: EngineSample) -> EngineSample:
    peaks: dict[str, Any] = {
        name: _larger(getattr(earlier, name), getattr(later, name))
        for name in ("running", "waiting", "kv_cache_share", "memory_bytes")
    }
    return replace(later, **peaks)


def _larger(first: float | None, second: float | None) -> float | None:
    return max((value for value in (first, second) if value is not None), default=None)
