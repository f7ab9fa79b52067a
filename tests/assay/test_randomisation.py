import numpy as np
import pytest

from assay.cells import Cells
from assay.randomisation import MACRO, worse_p_values
from bench.simulation import STRUCTURES, draw, gate_population


def cells_of(counts: np.ndarray) -> Cells:
    return Cells(labels=tuple(f"c{k:02}" for k in range(len(counts))), counts=counts)


def p_values(cells: Cells, number: int = 1, replicates: int = 1999) -> dict[str, float]:
    return dict(
        worse_p_values(
            cells,
            tested=[*cells.labels, MACRO],
            replicates=replicates,
            seed=np.random.SeedSequence(number),
        )
    )


def sampled(n: int, discordance: float, *, drop: float = 0, number: int = 0) -> Cells:
    population = gate_population(
        STRUCTURES["six classes"], 0.7, discordance, worse=3 if drop else None, drop=drop
    )
    return cells_of(draw(population, n, 1, np.random.default_rng(number))[0])


def test_models_that_agree_everywhere_are_not_blamed():
    counts = np.zeros((3, 4, 4), dtype=int)
    for k in range(3):
        counts[k, k, k] = 20
    assert set(p_values(cells_of(counts)).values()) == {1.0}


def test_a_broken_class_is_the_one_that_is_named():
    # Its lost cases are other classes' false positives, so those are a little worse in truth.
    p = p_values(sampled(3000, 0.04, drop=0.2))
    assert p["c03"] < 0.001
    assert min(p[name] for name in ("c00", "c01", "c02", "c05")) > 10 * p["c03"]


def test_a_better_candidate_is_never_blamed():
    cells = sampled(3000, 0.04, drop=0.2)
    p = p_values(cells_of(cells.counts.swapaxes(1, 2)))
    assert min(p.values()) > 0.5


def test_the_p_value_of_one_class_is_the_sign_test_where_only_it_is_touched():
    # Nine losses and one gain of class 0 go to an answer outside the labels, so that only the hits
    # of one class can change: then the randomisation is a binomial test.
    counts = np.zeros((2, 3, 3), dtype=int)
    counts[0, 0, 0], counts[1, 1, 1] = 50, 50
    counts[0, 0, 2], counts[0, 2, 0] = 9, 1
    found = worse_p_values(
        cells_of(counts),
        tested=["c00"],
        replicates=100_000,
        seed=np.random.SeedSequence(4),
    )
    assert found["c00"] == pytest.approx(11 / 1024, rel=0.15)


def test_a_larger_family_is_never_kinder():
    cells = sampled(800, 0.1, drop=0.1)
    alone = worse_p_values(cells, tested=["c03"], replicates=4999, seed=np.random.SeedSequence(1))
    assert p_values(cells, replicates=4999)["c03"] >= alone["c03"]


def test_equal_models_are_blamed_about_as_often_as_alpha_allows():
    population = gate_population(STRUCTURES["six classes"], 0.7, 0.08)
    blamed = [
        min(p_values(cells_of(counts), number=i, replicates=499).values()) <= 0.05
        for i, counts in enumerate(draw(population, 500, 400, np.random.default_rng(6)))
    ]
    assert 0.01 <= np.mean(blamed) <= 0.085
