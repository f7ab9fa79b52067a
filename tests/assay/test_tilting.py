import math

import numpy as np
import pytest

from assay import tilting
from assay.noninferiority import class_resampling, macro_resampling
from assay.tilting import (
    _Tilt,
    influence,
    mean_difference,
    resampled_counts,
    resampled_sums,
)
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


def test_sums_drawn_at_once_are_distributed_as_sums_of_kinds(monkeypatch):
    counts = draw(
        gate_population(STRUCTURES["seven balanced"], 0.7, 0.08), 300_000, 1,
        np.random.default_rng(3),
    )[0]  # fmt: skip
    drawn = macro_resampling(cells_of(counts))
    expected = drawn.n * drawn.probabilities
    at_once = resampled_sums(expected, drawn.totals, 20_000, np.random.default_rng(1))
    monkeypatch.setattr(tilting, "_POOLED_FROM", math.inf)
    kinds = resampled_sums(expected, drawn.totals, 20_000, np.random.default_rng(2))
    first, second = mean_difference(at_once), mean_difference(kinds)
    assert first.mean() == pytest.approx(second.mean(), abs=4 * second.std() / math.sqrt(10_000))
    assert first.std() == pytest.approx(second.std(), rel=0.03)
    for level in (0.01, 0.05, 0.95, 0.99):
        edge = np.quantile(second, level)
        assert (first <= edge).mean() == pytest.approx(level, abs=0.01)
    assert np.corrcoef(at_once.T) == pytest.approx(np.corrcoef(kinds.T), abs=0.05)


def test_rare_kinds_are_counted_as_often_as_expected():
    expected = np.array([0.01, 0.5, 0.5, 3.0, 4.9])
    counts = resampled_counts(expected, 40_000, np.random.default_rng(4))
    error = np.sqrt(expected / 40_000)
    assert (np.abs(counts.mean(axis=0) - expected) < 4.5 * error).all()
    assert counts.var(axis=0)[1:] == pytest.approx(expected[1:], rel=0.06)
    for kind, rate in enumerate(expected):
        assert (counts[:, kind] == 0).mean() == pytest.approx(math.exp(-rate), abs=0.01)
    apart = np.corrcoef(counts[:, 1:].T) - np.eye(4)
    assert np.abs(apart).max() < 0.025
