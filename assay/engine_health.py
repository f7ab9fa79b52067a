"""What an engine's own figures say about a load: its health, and its clock beside ours.

Decides how samples become figures and which of them name an engine unhealthy; leaves what follows
from it to the `latency` evaluator. Figures of the moment count while the engine's own requests were
in flight, because between its turns an engine is idle; counts are the difference between the first
and the last sample of each session. What no sample said is None.

Unhealthy: requests were preempted (their work was thrown away and done again), the KV cache was
more than `CACHE_FULL` full, or requests waited in every sample, so the queue never drained.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from assay.records import AnswerStatus, EngineSample, LatencySample

CACHE_FULL = 0.95
LEAST_SAMPLES = 5
"""Samples under load below which a queue cannot be called one that never drains."""

Window = tuple[float, float]
GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHealth:
    """One engine during its load. Every figure is None where no sample told it.

    Args:
        samples, under_load, unanswered: looks taken, those while its requests were in flight, and
            those that the engine did not answer.
        queue_p95, queue_max, running_max: requests, under load.
        queue_never_drained: whether requests waited in every sample under load.
        kv_cache_max: share, under load.
        preemptions, prompt_tokens, generation_tokens: over the load.
        prefix_hit_rate: share of the prompt tokens looked up that were in the prefix cache.
        first_tokens: answers whose first token the engine timed, and their mean in ms.
        cpu_cores: CPU time over time, under load as well as between.
        memory_max_bytes: of its processes.
        gpu_busy: mean share of time in which its accelerators worked, under load.
        gpu_memory_max_bytes: of all its accelerators together.
        idle_share: share of the samples under load in which nothing ran.
    """

    samples: int
    under_load: int
    unanswered: int
    queue_p95: float | None = None
    queue_max: float | None = None
    running_max: float | None = None
    queue_never_drained: bool = False
    kv_cache_max: float | None = None
    preemptions: float | None = None
    prefix_hit_rate: float | None = None
    prompt_tokens: float | None = None
    generation_tokens: float | None = None
    first_tokens: float | None = None
    ttft_mean_ms: float | None = None
    cpu_cores: float | None = None
    memory_max_bytes: float | None = None
    gpu_busy: float | None = None
    gpu_memory_max_bytes: float | None = None
    idle_share: float | None = None

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the engine, in words; empty where nothing is known to be."""
        found = []
        if self.preemptions:
            found.append(f"it preempted {self.preemptions:g} requests")
        if self.kv_cache_max is not None and self.kv_cache_max > CACHE_FULL:
            found.append(f"its KV cache was {self.kv_cache_max:.0%} full")
        if self.queue_never_drained:
            found.append(f"its waiting queue never drained (up to {self.queue_max:g} requests)")
        return tuple(found)


def health(engine: Sequence[EngineSample], load: Sequence[LatencySample]) -> EngineHealth | None:
    """Returns what an engine's samples say about its load; None where it was not watched."""
    if not engine:
        return None
    busy = [s for s in engine if any(start <= s.at_s <= end for start, end in windows(load))]
    waiting = _said(busy, "waiting")
    running = _said(busy, "running")
    hits, queries = _grown(engine, "prefix_hits"), _grown(engine, "prefix_queries")
    count, total_s = _grown(engine, "ttft_count"), _grown(engine, "ttft_sum_s")
    gpu_busy = [g.busy_share for s in busy for g in s.gpus if g.busy_share is not None]
    return EngineHealth(
        samples=len(engine),
        under_load=len(busy),
        unanswered=sum(sample.error_kind is not None for sample in engine),
        queue_p95=_percentile(waiting, 0.95),
        queue_max=max(waiting, default=None),
        running_max=max(running, default=None),
        queue_never_drained=len(waiting) >= LEAST_SAMPLES and min(waiting) > 0,
        kv_cache_max=max(_said(busy, "kv_cache_share"), default=None),
        preemptions=_grown(engine, "preemptions"),
        prefix_hit_rate=None if hits is None or not queries else hits / queries,
        prompt_tokens=_grown(engine, "prompt_tokens"),
        generation_tokens=_grown(engine, "generation_tokens"),
        first_tokens=count,
        ttft_mean_ms=None if total_s is None or not count else 1e3 * total_s / count,
        cpu_cores=_rate(engine, "cpu_s"),
        memory_max_bytes=max(_said(engine, "memory_bytes"), default=None),
        gpu_busy=float(np.mean(gpu_busy)) if gpu_busy else None,
        gpu_memory_max_bytes=_gpu_memory(engine),
        idle_share=sum(value == 0 for value in running) / len(running) if running else None,
    )


def windows(load: Sequence[LatencySample]) -> tuple[Window, ...]:
    """Returns when each block of a load was under way: from its first request to its last answer.

    The end of a request that failed is not known: its start stands for it.
    """
    found: dict[int, Window] = {}
    for sample in load:
        end = sample.started_s + (sample.e2e_ms or 0.0) / 1e3
        start, last = found.get(sample.block, (sample.started_s, end))
        found[sample.block] = (min(start, sample.started_s), max(last, end))
    return tuple(found[block] for block in sorted(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockCheck:
    """Our mean time to the first token beside the engine's own, over the same requests.

    `outside_ms` is the difference: what lies between the engine and us. vLLM's clock starts when
    its HTTP server has read and tokenised a prompt, so waiting for that is in it, with the socket
    and this client's own work. Below zero it cannot be, beyond rounding: then one of the two clocks
    is wrong.
    """

    requests: int
    client_ms: float
    engine_ms: float

    @property
    def outside_ms(self) -> float:
        """Client's mean minus the engine's."""
        return self.client_ms - self.engine_ms


def check_clock(
    found: EngineHealth | None, *loads: Sequence[LatencySample]
) -> ClockCheck | str | None:
    """Compares our times to the first token with the engine's own.

    Args:
        found: what the engine said.
        loads: every load that the engine was under while it was watched.

    Returns:
        The comparison; a sentence where there is none to be had; None where the engine told no
        times, or nothing was timed.
    """
    sent = [sample for load in loads for sample in load]
    times = [s.ttft_ms for s in sent if s.status is AnswerStatus.OK and s.ttft_ms is not None]
    if found is None or not found.first_tokens or found.ttft_mean_ms is None or not times:
        return None
    if not len(times) <= found.first_tokens <= len(sent):
        return (
            f"the engine timed {found.first_tokens:g} first tokens where we timed {len(times)}, so "
            "its times are not of these requests alone"
        )
    return ClockCheck(
        requests=len(times), client_ms=math.fsum(times) / len(times), engine_ms=found.ttft_mean_ms
    )


def _said(samples: Sequence[EngineSample], name: str) -> list[float]:
    values = (getattr(sample, name) for sample in samples)
    return [value for value in values if value is not None]


def _sessions(samples: Sequence[EngineSample]) -> Iterator[list[EngineSample]]:
    for _, members in groupby(samples, key=lambda sample: sample.session):
        yield list(members)


def _grown(samples: Sequence[EngineSample], name: str) -> float | None:
    """How much a count grew, over all sessions; None where some session told it less than twice."""
    total = 0.0
    for session in _sessions(samples):
        values = _said(session, name)
        if len(values) < 2:
            return None
        total += max(0.0, values[-1] - values[0])
    return total


def _rate(samples: Sequence[EngineSample], name: str) -> float | None:
    grown = _grown(samples, name)
    lasted_s = sum(session[-1].at_s - session[0].at_s for session in _sessions(samples))
    return None if grown is None or lasted_s <= 0 else grown / lasted_s


def _percentile(values: Sequence[float], share: float) -> float | None:
    if not values:
        return None
    return sorted(values)[max(1, math.ceil(round(share * len(values), 9))) - 1]


def _gpu_memory(samples: Sequence[EngineSample]) -> float | None:
    held = [
        sum(gpu.memory_bytes for gpu in sample.gpus if gpu.memory_bytes is not None)
        for sample in samples
        if any(gpu.memory_bytes is not None for gpu in sample.gpus)
    ]
    return max(held, default=None)
