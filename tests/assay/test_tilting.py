import numpy as np
import pytest

from assay.noninferiority import class_resampling, macro_resampling
from assay.tilting import _Tilt, influence, mean_difference, resampled_counts
from bench.simulation import STRUCTURES, draw, gate_population
from tests.assay.test_noninferiority import cells_of


def resampling(n: int = 2000):
    population = gate_population(STRUCTURES["six classes"], 0.7, 0.1)
    return macro_resampling(cells_of(draw(population, n, 1, np.random.default_rng(1))[0]))


def test_the_influence_of_a_case_is_the_slope_of_the_difference():
    drawn = resampling()
    p, step = drawn.probabilities, 1e-7
    base = float(mean_difference(p @ drawn.totals))
    psi = influence(p, drawn.totals)
    for kind in range(0, len(p), 7):
        moved = (1 - step) * p
        moved[kind] += step
        slope = (float(mean_difference(moved @ drawn.totals)) - base) / step
        assert psi[kind] == pytest.approx(slope, rel=1e-4, abs=1e-5)
    assert p @ psi == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("target", [-0.2, -0.03, 0.0, 0.05])
def test_the_tilt_reaches_its_target_and_stays_a_distribution(target):
    for drawn in (resampling(), class_resampling(np.full((2, 2, 2), 20))):
        tilt = _Tilt(drawn)
        strength = tilt.solve(target)
        probabilities, _ = tilt.at(strength)
        assert probabilities.sum() == pytest.approx(1)
        assert probabilities.min() >= 0
        assert tilt.value(strength) == pytest.approx(target, abs=1e-6)


def test_reweighting_one_draw_agrees_with_drawing_again():
    drawn = resampling()
    tilt = _Tilt(drawn)
    first = tilt.draw(-0.03, 40_000, np.random.default_rng(1))
    again = tilt.draw(-0.04, 40_000, np.random.default_rng(2))
    tail = first.tail(-0.04, tilt.at(-0.04)[1])
    assert tail == pytest.approx(again.exceeds.mean(), rel=0.06)


def test_counts_have_the_mean_and_spread_of_cases_drawn_one_by_one():
    drawn = resampling(100_000)
    rng = np.random.default_rng(3)
    ours = resampled_counts(drawn.n * drawn.probabilities, 4000, rng) @ drawn.totals
    exact = rng.multinomial(drawn.n, drawn.probabilities, size=4000) @ drawn.totals
    for statistic in (np.mean, np.std):
        assert statistic(mean_difference(ours)) == pytest.approx(
            statistic(mean_difference(exact)), rel=0.08, abs=2e-4
        )
    quantiles = [0.01, 0.05, 0.5, 0.95, 0.99]
    spread = float(np.std(mean_difference(exact)))
    assert np.quantile(mean_difference(ours), quantiles) == pytest.approx(
        np.quantile(mean_difference(exact), quantiles), abs=0.15 * spread
    )
