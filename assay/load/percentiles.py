"""Percentiles of a load's times: exact for as many as fit, a sketch of bounded memory beyond.

Decides how times are kept and what a percentile of them is worth; leaves what is acceptable to
`summary`. The sketch is a DDSketch (Masson, Rim & Lee, VLDB 2019): every percentile is within a
stated relative error of an order statistic, whatever the distribution. Bounds are order statistics
as in `assay.latency_ratio`: the rank of the true percentile is binomial.
"""

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ddsketch import LogCollapsingLowestDenseDDSketch
from scipy import special

from assay.errors import TooFewCasesError

EXACT_TIMES = 100_000
"""Times kept as they are; more are folded into the sketch."""

RELATIVE_ERROR = 0.005
"""Of the sketch: a percentile of 500 ms is given as 497.5 to 502.5 ms."""

_BINS = 4096  # enough for 17 orders of magnitude at that error, so nothing collapses
_BUFFER = 8192
_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """One percentile of a kind of time.

    Args:
        share: 0.99 for the 99th.
        value: the order statistic.
        lower, upper: one-sided bounds, each at confidence 1 − alpha; None where too few times make
            one impossible, or where the bound falls among times that were given up.
        at_least: the value is that of a request that was given up: the truth is larger.
        needed: times it takes in all before there is an upper bound, where there is none.
    """

    share: float
    value: float
    lower: float | None
    upper: float | None
    at_least: bool = False
    needed: int | None = None


class Times:
    """One kind of time of a load, in milliseconds, added one by one.

    Memory is bounded: 100,000 times, then 4,096 bins.
    """

    def __init__(
        self, *, exact_times: int = EXACT_TIMES, relative_error: float = RELATIVE_ERROR
    ) -> None:
        self._full_at = exact_times
        self._error = relative_error
        self._kept = array("d")
        self._sketch: LogCollapsingLowestDenseDDSketch | None = None
        self._folded = 0
        self.censored = 0
        self.largest = 0.0
        self._sum = 0.0

    def add(self, value_ms: float, *, censored: bool = False) -> None:
        """Takes a time; `censored` when the request was given up and the truth is longer."""
        self._kept.append(value_ms)
        self._sum += value_ms
        if value_ms > self.largest:
            self.largest = value_ms
        if censored:
            self.censored += 1
        if len(self._kept) >= self._full_at:
            self._fold()

    def extend(self, values_ms: Sequence[float]) -> None:
        """Takes several times at once: those between the pieces of one answer."""
        if not values_ms:
            return
        self._kept.extend(values_ms)
        self._sum += sum(values_ms)
        self.largest = max(self.largest, *values_ms)
        if len(self._kept) >= self._full_at:
            self._fold()

    @property
    def n(self) -> int:
        """How many times there are."""
        return self._folded + len(self._kept)

    @property
    def mean(self) -> float | None:
        """The mean; a time that was given up counts as long as it was waited for."""
        return self._sum / self.n if self.n else None

    @property
    def relative_error(self) -> float:
        """Of every percentile: 0 while all times are kept."""
        return 0.0 if self._sketch is None else self._error

    def percentile(self, share: float, *, alpha: float) -> Percentile:
        """Returns a percentile with its bounds.

        Raises:
            TooFewCasesError: there is no time.
        """
        n = self.n
        if not n:
            raise TooFewCasesError("a percentile was asked of 0 times; expected at least one")
        rank = max(1, math.ceil(round(share * n, 9)))
        low, high = _bounding_ranks(n, share, alpha)
        given_up_from = n - self.censored + 1
        values = self._at_ranks([rank, low or 1, high or n])
        upper = values[2] if high is not None and high < given_up_from else None
        return Percentile(
            share=share,
            value=values[0],
            lower=values[1] if low is not None else None,
            upper=upper,
            at_least=rank >= given_up_from,
            needed=math.ceil(math.log(alpha) / math.log(share)) if high is None else None,
        )

    def _at_ranks(self, ranks: list[int]) -> list[float]:
        """Returns order statistics, by rank from 1."""
        if self._sketch is None:
            ordered = np.sort(np.frombuffer(self._kept, dtype=np.float64))
            return [float(ordered[rank - 1]) for rank in ranks]
        if self._kept:
            self._fold()
        found = []
        for rank in ranks:
            value = self._sketch.get_quantile_value((rank - 1) / max(1, self.n - 1))
            found.append(min(float(value or 0.0), self.largest))
        return found

    def _fold(self) -> None:
        """Moves the kept times into the sketch, one call a bin: a time alone costs 2 µs."""
        if self._sketch is None:
            self._full_at = _BUFFER
            self._sketch = LogCollapsingLowestDenseDDSketch(self._error, _BINS)
        values = np.frombuffer(self._kept, dtype=np.float64).copy()
        self._folded += len(values)
        self._kept = array("d")
        gamma = (1 + self._error) / (1 - self._error)
        bins = np.ceil(np.log(np.maximum(values, _TINY)) / math.log(gamma))
        _, first, counts = np.unique(bins, return_index=True, return_counts=True)
        for index, count in zip(first, counts, strict=True):
            self._sketch.add(float(max(values[index], _TINY)), float(count))


def _bounding_ranks(n: int, share: float, alpha: float) -> tuple[int | None, int | None]:
    """Returns the ranks of the order statistics that bound a percentile from below and above.

    P(Binomial(n, share) ≤ k) rises with k: the largest k with at most alpha, and the smallest with
    at least 1 − alpha, each below n, are ranks k + 1.
    """
    high = _first(n, lambda k: float(special.bdtr(float(k), n, share)) >= 1 - alpha)
    above = _first(n, lambda k: float(special.bdtr(float(k), n, share)) > alpha)
    return (above if above else None), (high + 1 if high < n else None)


def _first(n: int, holds: Callable[[int], bool]) -> int:
    """Returns the smallest k in [0, n) for which a test that stays true is true, or n."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
