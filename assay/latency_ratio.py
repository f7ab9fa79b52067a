"""What timed requests say about a percentile: of one model, and of two models in one load.

Decides a percentile, how sure one may be of it, and how sure of the ratio of two models'; leaves
what is acceptable to the `latency` evaluator. A percentile is an order statistic, never
interpolated between two times that nobody measured.

One model: the rank of the true percentile among n times is binomial, so two order statistics bound
it without any assumption on the times' distribution (David & Nagaraja, Order Statistics, §7.1).
With too few times there is no upper bound at all. Two models: times in one block share what the
machine was doing, so whole blocks, each with its times of both models, are drawn again (Künsch
1989); the ratio is compared on a logarithmic scale.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from assay.errors import EvaluatorError, TooFewCasesError

Times = NDArray[np.float64]

MINIMUM_BLOCKS = 10
"""Fewer blocks, drawn again, say too little about how much blocks differ."""

MINIMUM_BEYOND = 5
"""Times of each model that must lie beyond a percentile before its ratio is bounded."""

_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PercentileEstimate:
    """A percentile with one-sided bounds, each at confidence 1 − alpha; None: not to be had."""

    value: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioEstimate:
    """A ratio of percentiles with one-sided bounds, each at confidence 1 − alpha.

    `p` is that of the hypothesis that the true ratio is at or above the limit.
    """

    value: float
    lower: float
    upper: float
    p: float


def percentile(times: Times, share: float) -> float:
    """Returns the smallest time that at least `share` of the times do not exceed.

    Raises:
        TooFewCasesError: there is no time.
    """
    if not len(times):
        raise TooFewCasesError("a percentile was asked of 0 times; expected at least one")
    return float(np.sort(times)[_rank(share, len(times)) - 1])


def percentile_estimate(times: Times, share: float, *, alpha: float) -> PercentileEstimate:
    """Bounds a percentile by order statistics.

    Args:
        times: any order; taken as independent.
        share: in (0, 1); 0.99 for the 99th percentile.
        alpha: one-sided error rate of each bound.

    Raises:
        TooFewCasesError: there is no time.
    """
    ordered = np.sort(times)
    n = len(ordered)
    value = percentile(times, share)
    below = special.bdtr(np.arange(n, dtype=float), n, share)  # P(Binomial(n, share) ≤ k), k < n
    high = np.flatnonzero(below >= 1 - alpha)
    low = np.flatnonzero(below <= alpha)
    return PercentileEstimate(
        value=value,
        lower=float(ordered[low[-1]]) if len(low) else None,
        upper=float(ordered[high[0]]) if len(high) else None,
    )


def times_needed(share: float, *, alpha: float) -> int:
    """Times below which a percentile has no upper bound: the n with share^n ≤ alpha."""
    return math.ceil(math.log(alpha) / math.log(share))


def times_needed_for_ratio(share: float) -> int:
    """Times of each model below which the ratio of a percentile is not bounded."""
    return math.ceil(round(MINIMUM_BEYOND / (1 - share), 6))


def percentile_ratio(
    candidate: Sequence[Times],
    production: Sequence[Times],
    share: float,
    *,
    limit: float,
    alpha: float,
    replicates: int,
    seed: np.random.SeedSequence,
) -> RatioEstimate:
    """Bounds candidate's percentile over production's by a bootstrap of paired blocks.

    Args:
        candidate: the times of each block.
        production: the same, block i of both taken side by side.
        share: in (0, 1).
        limit: the ratio that `p` is about.
        alpha: one-sided error rate of each bound.
        replicates: draws.
        seed: of the draws.

    Raises:
        TooFewCasesError: fewer than `MINIMUM_BLOCKS` blocks, or too few times beyond the
            percentile; says how many there are and how many it takes.
        EvaluatorError: a time is not above 0, so there is no ratio.
    """
    smallest = min(sum(map(len, candidate)), sum(map(len, production)))
    needed = times_needed_for_ratio(share)
    if len(candidate) < MINIMUM_BLOCKS or smallest < needed:
        raise TooFewCasesError(
            f"the ratio of the {100 * share:g}th percentile needs {needed} times of each model in "
            f"at least {MINIMUM_BLOCKS} blocks; found {smallest} in {len(candidate)}"
        )
    ours, theirs = np.concatenate(candidate), np.concatenate(production)
    if min(ours.min(), theirs.min()) <= 0:
        raise EvaluatorError("a measured time is 0 ms or less; expected more; mend the clock")
    rng = np.random.default_rng(seed)
    blocks = len(candidate)
    logs = np.empty(replicates)
    for start in range(0, replicates, _CHUNK):
        size = min(_CHUNK, replicates - start)
        draws = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=size)
        logs[start : start + size] = np.log(_percentiles(candidate, draws, share)) - np.log(
            _percentiles(production, draws, share)
        )
    lower, upper = np.quantile(logs, [alpha, 1 - alpha])
    return RatioEstimate(
        value=percentile(ours, share) / percentile(theirs, share),
        lower=math.exp(lower),
        upper=math.exp(upper),
        p=(1 + int(np.count_nonzero(logs >= math.log(limit)))) / (replicates + 1),
    )


def _percentiles(blocks: Sequence[Times], draws: NDArray[np.int64], share: float) -> Times:
    """Returns the percentile of each row of `draws`: how often each block was drawn."""
    times = np.concatenate(blocks)
    owner = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    order = np.argsort(times, kind="stable")
    counts = np.cumsum(draws[:, owner[order]], axis=1)
    wanted = np.ceil(np.round(share * counts[:, -1], 9))
    return np.asarray(times[order][np.argmax(counts >= wanted[:, None], axis=1)])


def _rank(share: float, n: int) -> int:
    return max(1, math.ceil(round(share * n, 9)))
