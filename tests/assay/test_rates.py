import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import xlogy
from scipy.stats import binom, binomtest

from assay.errors import TooFewCasesError
from assay.rates import (
    PairedRates,
    cases_for_upper_bound,
    clopper_pearson,
    exact_mcnemar,
    exact_sign_test,
    pair_flags,
    paired_difference_bounds,
)


@settings(deadline=None)
@given(st.integers(1, 300), st.data())
def test_bounds_are_the_exact_ones(n, data):
    hits = data.draw(st.integers(0, n))
    bounds = clopper_pearson(hits, n, alpha=0.05)
    interval = binomtest(hits, n).proportion_ci(0.90, method="exact")
    assert (bounds.lower, bounds.upper) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_nothing_found_in_n_bounds_the_rate_at_about_three_in_n():
    assert clopper_pearson(0, 1000, alpha=0.05).upper == pytest.approx(3 / 1000, rel=0.01)


def test_no_case_gives_no_rate():
    with pytest.raises(TooFewCasesError):
        clopper_pearson(0, 0, alpha=0.05)
    with pytest.raises(TooFewCasesError):
        pair_flags([], [])


def test_cases_needed_are_just_enough():
    needed = cases_for_upper_bound(0.0, 0.02, alpha=0.05)
    assert needed == 149
    assert clopper_pearson(0, needed, alpha=0.05).upper <= 0.02
    assert clopper_pearson(0, needed - 1, alpha=0.05).upper > 0.02
    assert cases_for_upper_bound(0.02, 0.02, alpha=0.05) is None


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_the_paired_test_is_the_exact_binomial_one(more, fewer):
    expected = float(binom.sf(more - 1, more + fewer, 0.5)) if more + fewer else 1.0
    assert exact_sign_test(more, fewer) == pytest.approx(expected)
    if more + fewer:
        two_sided = binomtest(more, more + fewer).pvalue
        assert exact_mcnemar(more, fewer) == pytest.approx(two_sided)


@pytest.mark.parametrize(("more", "fewer", "n"), [(14, 3, 50), (1, 0, 30), (40, 44, 200)])
def test_tangos_bounds_are_where_the_score_statistic_is_critical(more, fewer, n):
    """The nuisance parameter is maximised numerically here, in closed form there."""
    pairs = PairedRates(n=n, both=0, candidate_only=more, production_only=fewer)

    def score(difference: float) -> float:
        def loss(q: float) -> float:
            return -float(
                xlogy(more, q + difference)
                + xlogy(fewer, q)
                + xlogy(n - more - fewer, 1 - 2 * q - difference)
            )

        bounds = (max(0.0, -difference), (1 - difference) / 2)
        q = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        gap = more - fewer - n * difference
        return gap / math.sqrt(n * (2 * q + difference * (1 - difference)))

    lower, upper = paired_difference_bounds(pairs, alpha=0.025)
    assert score(lower) == pytest.approx(1.96, abs=5e-3)
    assert score(upper) == pytest.approx(-1.96, abs=5e-3)


@settings(deadline=None)
@given(st.integers(1, 500))
def test_without_a_discordant_case_the_bounds_still_have_a_width(n):
    pairs = pair_flags([False] * n, [False] * n)
    z = 1.6448536269514722
    lower, upper = paired_difference_bounds(pairs, alpha=0.05)
    assert (lower, upper) == pytest.approx((-(z**2) / (n + z**2), z**2 / (n + z**2)), abs=1e-6)


@settings(deadline=None)
@given(st.integers(0, 15), st.integers(0, 15), st.integers(0, 30))
def test_exchanging_the_models_mirrors_the_bounds(more, fewer, rest):
    n = more + fewer + rest
    if not n:
        return
    first = PairedRates(n=n, both=0, candidate_only=more, production_only=fewer)
    second = PairedRates(n=n, both=0, candidate_only=fewer, production_only=more)
    lower, upper = paired_difference_bounds(first, alpha=0.05)
    assert paired_difference_bounds(second, alpha=0.05) == pytest.approx((-upper, -lower))
    assert lower <= first.difference <= upper
    assert not math.isnan(lower + upper)
