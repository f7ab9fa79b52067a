"""Percentiles, their exact bounds, and the ratio's: checked against brute force and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import EvaluatorError, TooFewCasesError
from assay.latency_ratio import (
    percentile,
    percentile_estimate,
    percentile_ratio,
    times_needed,
    times_needed_for_ratio,
)

SEED = np.random.SeedSequence(1)


@given(
    st.lists(st.floats(0.1, 1e6), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]),
)
def test_a_percentile_is_a_time_that_enough_times_do_not_exceed(
    times: list[float], share: float
) -> None:
    values = np.array(times)
    value = percentile(values, share)
    assert value in values
    assert np.mean(values <= value) >= share - 1e-12
    assert np.mean(values < value) < share


@pytest.mark.parametrize(("share", "needed"), [(0.5, 5), (0.95, 59), (0.99, 299), (0.999, 2995)])
def test_fewer_times_than_needed_have_no_upper_bound(share: float, needed: int) -> None:
    assert times_needed(share, alpha=0.05) == needed
    times = np.arange(1.0, needed + 1)
    assert percentile_estimate(times, share, alpha=0.05).upper == needed
    assert percentile_estimate(times[:-1], share, alpha=0.05).upper is None


def test_bounds_agree_with_the_binomial_summed_by_hand() -> None:
    n, share, alpha = 100, 0.9, 0.05
    pmf = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    cdf = np.cumsum(pmf)
    found = percentile_estimate(np.arange(1.0, n + 1), share, alpha=alpha)
    # x(j) is the j-th smallest: above the percentile unless j times or more lie below it.
    assert found.upper == min(j for j in range(1, n + 1) if cdf[j - 1] >= 1 - alpha)
    assert found.lower == max(j for j in range(1, n + 1) if 1 - cdf[j - 1] >= 1 - alpha)
    assert found.value == 90


def test_bounds_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    truth = -math.log(0.05)  # 95th percentile of the exponential
    found = [percentile_estimate(rng.exponential(size=300), 0.95, alpha=0.05) for _ in range(1500)]
    above = np.mean([f.upper is not None and f.upper >= truth for f in found])
    below = np.mean([f.lower is not None and f.lower <= truth for f in found])
    assert above >= 0.938
    assert below >= 0.938


def ratio_blocks(rng: np.random.Generator, ratio: float) -> tuple[list[object], list[object]]:
    mood = rng.normal(0, 0.3, 20)
    noise = [np.exp(m + rng.normal(0, 0.35, (2, 25))) for m in mood]
    return [ratio * pair[0] for pair in noise], [pair[1] for pair in noise]


def test_the_error_rate_at_the_limit_is_about_alpha() -> None:
    rng = np.random.default_rng(4)
    passed = failed = 0
    runs = 300
    for run in range(runs):
        candidate, production = ratio_blocks(rng, 1.25)
        found = percentile_ratio(
            candidate, production, 0.95, limit=1.25, alpha=0.05, replicates=400,  # type: ignore[arg-type]
            seed=np.random.SeedSequence(run),
        )  # fmt: skip
        passed += found.upper <= 1.25
        failed += found.lower > 1.25
    assert passed / runs <= 0.09
    assert failed / runs <= 0.09


def test_p_and_bound_tell_the_same_story() -> None:
    rng = np.random.default_rng(5)
    for ratio in (0.8, 1.0, 1.2, 1.3, 1.6):
        candidate, production = ratio_blocks(rng, ratio)
        found = percentile_ratio(
            candidate, production, 0.5, limit=1.25, alpha=0.05, replicates=1999, seed=SEED  # type: ignore[arg-type]
        )  # fmt: skip
        assert found.lower <= found.value * 1.05
        assert (found.p <= 0.05) == (found.upper < 1.25) or abs(found.p - 0.05) < 0.003


def test_the_bootstrap_equals_drawing_blocks_by_hand() -> None:
    rng = np.random.default_rng(6)
    candidate = [rng.exponential(size=30) for _ in range(12)]
    production = [rng.exponential(size=30) for _ in range(12)]
    found = percentile_ratio(
        candidate, production, 0.9, limit=1.0, alpha=0.05, replicates=300, seed=SEED
    )
    draws = np.random.default_rng(SEED).multinomial(12, np.full(12, 1 / 12), size=300)
    by_hand = []
    for draw in draws:
        picked = np.repeat(np.arange(12), draw)
        ours = percentile(np.concatenate([candidate[i] for i in picked]), 0.9)
        theirs = percentile(np.concatenate([production[i] for i in picked]), 0.9)
        by_hand.append(math.log(ours / theirs))
    lower, upper = np.quantile(by_hand, [0.05, 0.95])
    assert found.lower == pytest.approx(math.exp(lower))
    assert found.upper == pytest.approx(math.exp(upper))


def test_too_little_is_refused_with_what_it_takes() -> None:
    assert times_needed_for_ratio(0.95) == 100
    assert times_needed_for_ratio(0.99) == 500
    block = [np.ones(9)] * 11
    with pytest.raises(TooFewCasesError, match=r"needs 100 times .* found 99 in 11"):
        percentile_ratio(block, block, 0.95, limit=1.2, alpha=0.05, replicates=99, seed=SEED)
    few = [np.ones(50)] * 9
    with pytest.raises(TooFewCasesError, match="at least 10 blocks"):
        percentile_ratio(few, few, 0.95, limit=1.2, alpha=0.05, replicates=99, seed=SEED)
    with pytest.raises(TooFewCasesError):
        percentile(np.array([]), 0.5)


def test_a_time_of_zero_is_a_broken_clock() -> None:
    block = [np.zeros(20)] * 10
    with pytest.raises(EvaluatorError, match="mend the clock"):
        percentile_ratio(block, block, 0.5, limit=1.2, alpha=0.05, replicates=99, seed=SEED)
