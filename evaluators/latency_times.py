"""The times of an interleaved load, taken apart by block and by kind.

Decides what a time is: of answered requests only, in milliseconds, TTFT and end to end as the
client measured them, and time per output token after the first. In an open loop the first two count
from when the request was meant to be sent, so that a stall is felt by all who came during it.
Percentiles and limits are the `latency` evaluator's.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.errors import TooFewCasesError
from assay.latency_ratio import Times, percentile, percentile_estimate
from assay.records import AnswerStatus, LatencySample, Role
from evaluators.base import ModelAnswers

KINDS = ("ttft", "tpot", "e2e")
SHARES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One model's load.

    `times` maps a kind to the times of each block, block by block; a block may be empty where its
    requests failed, or where answers were too short to have a time per output token.
    """

    requests: int
    errors: int
    requests_per_s: float | None
    times: Mapping[str, tuple[Times, ...]]

    def all(self, kind: str) -> Times:
        """Every time of a kind, in the order taken."""
        return np.concatenate(self.times[kind])


def take_apart(samples: Sequence[LatencySample]) -> Timed:
    """Returns a load's times.

    Raises:
        TooFewCasesError: no request was timed.
    """
    if not samples:
        raise TooFewCasesError("no request was timed; expected an interleaved load; run the gate")
    blocks: dict[int, list[LatencySample]] = defaultdict(list)
    for sample in samples:
        blocks[sample.block].append(sample)
    ordered = [blocks[block] for block in sorted(blocks)]
    return Timed(
        requests=len(samples),
        errors=sum(sample.status is AnswerStatus.ERROR for sample in samples),
        requests_per_s=_requests_per_s(ordered),
        times={
            kind: tuple(np.array(_times(kind, block), dtype=np.float64) for block in ordered)
            for kind in KINDS
        },
    )


def same_questions(first: Sequence[LatencySample], second: Sequence[LatencySample]) -> bool:
    """Whether both loads asked the same cases in the same blocks: only then are blocks pairs."""
    return sorted((s.block, s.case_id) for s in first) == sorted(
        (s.block, s.case_id) for s in second
    )


def metric_name(kind: str, share: float) -> str:
    """Returns the metric of a percentile: ("ttft", 0.99) → `ttft_p99_ms`."""
    return f"{kind}_p{100 * share:g}_ms"


def parse_metric(name: str) -> tuple[str, float]:
    """Returns kind and share of a metric: the inverse of `metric_name`."""
    kind, _, rest = name.partition("_p")
    return kind, float(rest.removesuffix("_ms")) / 100


def metrics(timed: Timed) -> dict[str, float]:
    """Returns every metric that the load is large enough for; the others are absent.

    A percentile needs one time beyond it: 20 times for the 95th, 100 for the 99th.
    """
    found = {"error_rate": timed.errors / timed.requests}
    if timed.requests_per_s is not None:
        found["requests_per_s"] = timed.requests_per_s
    for kind in KINDS:
        times = timed.all(kind)
        for share in SHARES:
            if len(times) * (1 - share) >= 1 - 1e-9:
                found[metric_name(kind, share)] = percentile(times, share)
    return found


def curve(times: Times) -> list[float]:
    """Returns the 101 percentiles from the smallest to the largest time, for a plot."""
    if not len(times):
        return []
    return [float(value) for value in np.quantile(times, np.linspace(0, 1, 101))]


def _times(kind: str, block: Sequence[LatencySample]) -> list[float]:
    answered = [sample for sample in block if sample.status is AnswerStatus.OK]
    values = [_time(kind, sample) for sample in answered]
    return [value for value in values if value is not None]


def _time(kind: str, sample: LatencySample) -> float | None:
    if kind in ("ttft", "e2e"):
        sent = sample.ttft_ms if kind == "ttft" else sample.e2e_ms
        return None if sent is None else sent + late_ms(sample)
    tokens = sample.completion_tokens
    if sample.ttft_ms is None or sample.e2e_ms is None or tokens is None or tokens < 2:
        return None
    return (sample.e2e_ms - sample.ttft_ms) / (tokens - 1)


def late_ms(sample: LatencySample) -> float:
    """Returns how long after it was meant to be sent a request was sent; 0 in a closed loop."""
    if sample.intended_s is None:
        return 0.0
    return max(0.0, sample.started_s - sample.intended_s) * 1e3


def percentile_rows(timed: Mapping[Role, Timed], alpha: float) -> list[dict[str, Any]]:
    """Returns each kind's percentiles with their bounds, one row a percentile, for a table.

    A percentile that too few requests were timed for is absent; a bound that cannot be had is None.
    """
    rows = []
    for kind in KINDS:
        for share in SHARES:
            found = {
                role.value: percentile_estimate(load.all(kind), share, alpha=alpha)
                for role, load in timed.items()
                if len(load.all(kind)) * (1 - share) >= 1 - 1e-9
            }
            if found:
                rows.append(
                    {"kind": kind, "share": share}
                    | {
                        role: {"value": one.value, "lower": one.lower, "upper": one.upper}
                        for role, one in found.items()
                    }
                )
    return rows


def timeline(answers: Mapping[Role, ModelAnswers]) -> dict[str, dict[str, list[float]]]:
    """Returns, block by block, when it ran, its rate, and its median and largest TTFT."""
    found = {}
    for role, one in answers.items():
        points: dict[str, list[float]] = defaultdict(list)
        blocks: dict[int, list[LatencySample]] = defaultdict(list)
        for sample in one.latency:
            blocks[sample.block].append(sample)
        for block in sorted(blocks.values(), key=lambda block: block[0].started_s):
            rate, times = _requests_per_s([block]), np.array(_times("ttft", block))
            if rate is None or not len(times):
                continue
            points["at_s"].append(min(sample.started_s for sample in block))
            points["requests_per_s"].append(rate)
            points["ttft_p50_ms"].append(percentile(times, 0.5))
            points["ttft_max_ms"].append(float(times.max()))
        if points:
            found[role.value] = dict(points)
    return found


def _requests_per_s(blocks: Sequence[Sequence[LatencySample]]) -> float | None:
    """Answered requests over the time in which each block ran; None when none was answered."""
    answered = 0
    busy_s = 0.0
    for block in blocks:
        ends = [s.started_s + s.e2e_ms / 1e3 for s in block if s.e2e_ms is not None]
        if ends:
            answered += len(ends)
            busy_s += max(ends) - min(sample.started_s for sample in block)
    return answered / busy_s if busy_s > 0 else None
