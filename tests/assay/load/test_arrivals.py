"""Arrivals are fixed by a seed, ascending, and come at the rate and with the bursts asked for."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ConfigError
from assay.load import arrivals
from assay.load.arrivals import Seconds

RATE, DURATION = 200.0, 100.0
rates = st.floats(0.1, 500.0)
durations = st.floats(0.5, 30.0)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


Model = Callable[[np.random.Generator], Seconds]
MODELS: dict[str, Model] = {
    "constant": lambda r: arrivals.constant(RATE, DURATION),
    "poisson": lambda r: arrivals.poisson(RATE, DURATION, r),
    "bursts": lambda r: arrivals.gamma(RATE, DURATION, 0.25, r),
    "even": lambda r: arrivals.gamma(RATE, DURATION, 4.0, r),
    "ramp": lambda r: arrivals.ramp(100.0, 300.0, DURATION),
    "spike": lambda r: arrivals.spike(RATE / 1.8, DURATION, 5.0, 0.2, r),
}


@pytest.mark.parametrize("name", MODELS)
def test_arrivals_ascend_within_the_duration_at_the_rate(name: str) -> None:
    times = MODELS[name](rng())
    assert np.all(np.diff(times) >= 0)
    assert times[0] >= 0
    assert times[-1] < DURATION
    assert len(times) == pytest.approx(RATE * DURATION, rel=0.05)


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_fixes_the_arrivals(name: str) -> None:
    assert np.array_equal(MODELS[name](rng(3)), MODELS[name](rng(3)))


@pytest.mark.parametrize(("shape", "variation"), [(0.25, 4.0), (1.0, 1.0), (4.0, 0.25)])
def test_the_shape_sets_how_bursty_the_gaps_are(shape: float, variation: float) -> None:
    gaps = np.diff(arrivals.gamma(RATE, DURATION, shape, rng()))
    assert np.var(gaps) / np.mean(gaps) ** 2 == pytest.approx(variation, rel=0.1)


def test_poisson_counts_are_as_spread_as_their_mean() -> None:
    counts = np.histogram(arrivals.poisson(RATE, DURATION, rng()), bins=1000)[0]
    assert np.var(counts) / np.mean(counts) == pytest.approx(1.0, abs=0.15)


@given(rates, rates, durations)
def test_a_ramp_has_the_rate_of_each_moment(start: float, end: float, duration: float) -> None:
    times = arrivals.ramp(start, end, duration)
    slope = (end - start) / duration
    counts = start * times + slope / 2 * times**2
    assert np.allclose(counts, np.arange(len(times)), atol=1e-4, rtol=1e-6)
    assert times[-1] <= duration * (1 + 1e-9) or len(times) == 1


def test_a_spike_is_so_many_times_the_rate_in_the_middle() -> None:
    times = arrivals.spike(20.0, 100.0, 5.0, 0.2, rng())
    inside = np.count_nonzero((times >= 40) & (times < 60)) / 20
    outside = np.count_nonzero((times < 40) | (times >= 60)) / 80
    assert inside / outside == pytest.approx(5.0, rel=0.15)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_a_replay_begins_at_0_and_keeps_every_gap(times: list[float]) -> None:
    recorded = np.sort(np.asarray(times))
    replayed = arrivals.replay(recorded, "trace")
    assert replayed[0] == 0
    assert len(replayed) == len(recorded)
    assert np.allclose(np.diff(replayed), np.diff(recorded), atol=1e-9)


@pytest.mark.parametrize(
    ("times", "words"),
    [([], "0 arrival times"), ([0.0, float("nan")], "finite"), ([0.0, 2.0, 1.0], "arrival 3")],
)
def test_a_trace_that_is_none_is_refused(times: list[float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        arrivals.replay(np.asarray(times), "trace.txt")


@given(rates, durations, st.integers(0, 5))
def test_no_two_poisson_arrivals_are_out_of_order_or_at_one_moment(
    rate: float, duration: float, seed: int
) -> None:
    """Poisson times are the running sum of their gaps: no two are swapped or repeated."""
    times = arrivals.poisson(rate, duration, rng(seed)).tolist()
    assert all(a < b for a, b in pairwise(times))
