"""Percentiles: exact while times are kept, within the stated error beyond, and bounded memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import TooFewCasesError
from assay.latency_ratio import percentile_estimate, times_needed
from assay.load.percentiles import EXACT_TIMES, RELATIVE_ERROR, Times

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)


def filled(values: list[float], **options: float) -> Times:
    times = Times(**options)  # type: ignore[arg-type]
    for value in values:
        times.add(value)
    return times


@given(st.lists(st.floats(0.001, 1e5), min_size=1, max_size=600), st.sampled_from(SHARES))
def test_few_times_give_the_same_estimate_as_the_gates_own(
    values: list[float], share: float
) -> None:
    expected = percentile_estimate(np.asarray(values), share, alpha=0.05)
    found = filled(values).percentile(share, alpha=0.05)
    assert (found.value, found.lower, found.upper) == (
        expected.value, expected.lower, expected.upper,
    )  # fmt: skip
    assert (found.needed is None) == (expected.upper is not None)


def test_a_p99_of_too_few_times_says_how_many_it_takes() -> None:
    found = filled([float(i) for i in range(100)]).percentile(0.99, alpha=0.05)
    assert found.upper is None
    assert found.needed == times_needed(0.99, alpha=0.05) == 299


@settings(max_examples=25)
@given(
    st.sampled_from(["lognormal", "exponential", "two humps", "one value", "heavy"]),
    st.integers(0, 1000),
)
def test_a_sketch_is_within_its_stated_error(law: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = {
        "lognormal": rng.lognormal(3, 1, 20_000),
        "exponential": rng.exponential(50, 20_000) + 1e-6,
        "two humps": np.concatenate([rng.normal(20, 1, 15_000), rng.normal(900, 5, 5000)]),
        "one value": np.full(20_000, 12.5),
        "heavy": rng.pareto(1.1, 20_000) + 0.01,
    }[law]
    times = filled(values.tolist(), exact_times=1000)
    assert times.relative_error == RELATIVE_ERROR
    assert times.n == len(values)
    for share in SHARES:
        exact = percentile_estimate(values, share, alpha=0.05)
        found = times.percentile(share, alpha=0.05)
        assert found.value == pytest.approx(exact.value, rel=RELATIVE_ERROR * 1.001)
        assert found.lower == pytest.approx(exact.lower, rel=RELATIVE_ERROR * 1.001)
        assert found.upper == pytest.approx(exact.upper, rel=RELATIVE_ERROR * 1.001)


def test_times_given_up_are_at_least_that_long() -> None:
    times = Times()
    for value in range(90):
        times.add(float(value))
    for _ in range(10):
        times.add(30_000.0, censored=True)
    assert not times.percentile(0.5, alpha=0.05).at_least
    worst = times.percentile(0.95, alpha=0.05)
    assert worst.at_least
    assert worst.upper is None
    assert worst.lower is not None


def test_no_time_has_no_percentile() -> None:
    with pytest.raises(TooFewCasesError):
        Times().percentile(0.5, alpha=0.05)
    assert Times().mean is None


def test_several_at_once_count_like_one_by_one() -> None:
    one, all_at_once = Times(), Times()
    all_at_once.extend(())
    for value in (3.0, 1.0, 2.0):
        one.add(value)
    all_at_once.extend((3.0, 1.0, 2.0))
    assert one.percentile(0.5, alpha=0.05) == all_at_once.percentile(0.5, alpha=0.05)
    assert (one.largest, one.mean, one.n) == (
        all_at_once.largest, all_at_once.mean, all_at_once.n,
    )  # fmt: skip


def test_ten_million_times_take_no_more_memory_than_a_hundred_thousand() -> None:
    rng = np.random.default_rng(0)
    values = rng.lognormal(3, 1, 100_000)
    chunk = values.tolist()
    times = Times()
    tracemalloc.start()
    for _ in range(3):
        times.extend(chunk)
    early = tracemalloc.get_traced_memory()[0]
    for _ in range(97):
        times.extend(chunk)
    late, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert times.n == 100 * EXACT_TIMES
    assert late < early + 300_000
    assert peak < 30_000_000
    exact = np.sort(values)[int(0.99 * len(values)) - 1]
    assert times.percentile(0.99, alpha=0.05).value == pytest.approx(exact, rel=2 * RELATIVE_ERROR)
