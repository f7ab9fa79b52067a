from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.cells import Cells
from assay.intervals import benjamini_hochberg, f1_estimate
from assay.noninferiority import (
    class_resampling,
    compare,
    confidence_bounds,
    macro_level_resampling,
    macro_resampling,
    p_value,
    standard_error,
)
from assay.power import (
    cases_needed,
    detectable_difference,
    observed_variance,
    planning_variance,
    power_each,
)
from bench.simulation import (
    STRUCTURES,
    class_differences,
    class_population,
    draw,
    f1_difference,
    gate_population,
)

COUNTS = st.lists(st.integers(0, 60), min_size=8, max_size=8).map(
    lambda flat: np.array(flat).reshape(2, 2, 2)
)


def seed(number: int = 1) -> np.random.SeedSequence:
    return np.random.SeedSequence(number)


def cells_of(counts: np.ndarray) -> Cells:
    return Cells(labels=tuple(f"c{k:02}" for k in range(len(counts))), counts=counts)


def example(n: int = 1000, discordance: float = 0.08, number: int = 3) -> Cells:
    population = gate_population(STRUCTURES["six classes"], 0.7, discordance)
    return cells_of(draw(population, n, 1, np.random.default_rng(number))[0])


@settings(max_examples=40, deadline=None)
@given(COUNTS.filter(lambda c: c[1].sum() > 0))
def test_the_interval_holds_the_difference_and_the_p_value_is_one(eight):
    result = compare(class_resampling(eight), margin=0.05, alpha=0.05, replicates=999, seed=seed())
    assert result.difference == pytest.approx(float(f1_difference(eight.astype(float))))
    assert -1 <= result.lower <= result.difference <= result.upper <= 1
    assert 0 < result.p <= 1
    # The bound and the test never contradict each other.
    assert (result.p <= 0.05) == (result.lower >= -0.05) or result.lower == -0.05


def test_the_macro_is_the_mean_of_the_classes():
    cells = example()
    expected = class_differences(cells.counts.astype(float)).mean()
    assert macro_resampling(cells).observed == pytest.approx(expected)


def test_a_wider_margin_is_never_harder_to_pass():
    for number in range(5):
        eight = example(number=number).of_class("c02")
        p = [
            p_value(class_resampling(eight), margin=m, replicates=4999, seed=seed())
            for m in (0.01, 0.02, 0.04, 0.08, 0.16)
        ]
        # Draws at different margins share no numbers, so allow the simulation's own error.
        assert all(later <= earlier + 0.03 for earlier, later in pairwise(p))
        assert p[-1] < p[0]


def test_the_same_seed_gives_the_same_numbers_and_another_does_not():
    resampling = class_resampling(example().of_class("c01"))
    first, again, other = (
        compare(resampling, margin=0.05, alpha=0.05, replicates=999, seed=seed(s))
        for s in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_exchanging_the_models_mirrors_the_interval():
    cells = example()
    mirrored = cells_of(cells.counts.swapaxes(1, 2))
    for build in (macro_resampling, lambda c: class_resampling(c.of_class("c01"))):
        one = compare(build(cells), margin=0.05, alpha=0.05, replicates=20_000, seed=seed())
        two = compare(build(mirrored), margin=0.05, alpha=0.05, replicates=20_000, seed=seed(9))
        width = one.upper - one.lower
        assert one.difference == pytest.approx(-two.difference)
        assert (one.lower, one.upper) == pytest.approx((-two.upper, -two.lower), abs=0.06 * width)


def test_models_that_never_disagree_are_not_certain_never_to():
    eight = np.zeros((2, 2, 2), dtype=int)
    eight[1, 1, 1], eight[0, 0, 0] = 30, 300
    few = compare(class_resampling(eight), margin=0.02, alpha=0.05, replicates=9999, seed=seed())
    many = compare(
        class_resampling(eight * 10), margin=0.02, alpha=0.05, replicates=9999, seed=seed()
    )
    assert few.difference == 0
    assert few.lower < -0.02
    assert few.p > 0.05
    assert many.p <= 0.05
    assert many.lower > -0.02


def test_bounds_agree_with_the_normal_ones_where_there_is_much_data():
    resampling = macro_resampling(example(n=200_000))
    lower, upper = confidence_bounds(resampling, alpha=0.05, replicates=20_000, seed=seed())
    reach = 1.645 * standard_error(resampling)
    expected = (resampling.observed - reach, resampling.observed + reach)
    assert (lower, upper) == pytest.approx(expected, abs=0.05 * reach)


def test_a_models_own_macro_is_bounded_around_its_value():
    cells = example()
    resampling = macro_level_resampling(cells, "candidate")
    lower, upper = confidence_bounds(resampling, alpha=0.05, replicates=9999, seed=seed())
    macro = cells.macro("candidate")
    assert macro is not None
    assert resampling.observed == pytest.approx(macro)
    assert macro - 0.06 < lower < macro < upper < macro + 0.06


@pytest.mark.parametrize("hits", [0, 1, 30, 60])
def test_f1_bounds_are_exact(hits):
    found = f1_estimate(hits=hits, support=60, predicted=80, alpha=0.05)
    assert found.value == pytest.approx(2 * hits / 140)
    assert found.lower <= found.value <= found.upper
    # At the bound, the observed hits are just as unlikely as alpha says.
    touched = 140 - hits
    theta = found.upper / (2 - found.upper)
    draws = np.random.default_rng(1).binomial(touched, theta, 200_000)
    if hits < touched:
        assert (draws <= hits).mean() == pytest.approx(0.05, abs=0.005)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=30))
def test_benjamini_hochberg_is_scipys(p_values):
    from scipy.stats import false_discovery_control

    adjusted = benjamini_hochberg(np.array(p_values))
    assert adjusted == pytest.approx(false_discovery_control(p_values))


def test_the_planning_formula_gives_the_published_sizes():
    variance = planning_variance(0.85, 0.05, 0.05)
    assert cases_needed(variance, 0.03, alpha=0.05, power=0.8) == pytest.approx(175, abs=2)
    assert cases_needed(variance, 0.05, alpha=0.05, power=0.8) == pytest.approx(63, abs=1)
    assert detectable_difference(variance, 175, alpha=0.05, power=0.8) == pytest.approx(
        0.03, abs=3e-4
    )
    assert power_each(6) ** 6 == pytest.approx(0.8)


def test_the_planned_size_has_the_planned_power():
    population = class_population(0.2, 0.7, 0.10, 0.0)
    variance = planning_variance(0.7, 0.10, 0.10)
    positives = cases_needed(variance, 0.05, alpha=0.05, power=0.8)
    drawn = draw(population.cells, positives * 5, 300, np.random.default_rng(5))
    passed = [
        p_value(class_resampling(eight), margin=0.05, replicates=999, seed=seed(i)) <= 0.05
        for i, eight in enumerate(drawn)
    ]
    assert np.mean(passed) == pytest.approx(0.8, abs=0.08)
    assert observed_variance(drawn.sum(axis=0)) == pytest.approx(variance, rel=0.03)
