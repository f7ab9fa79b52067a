import numpy as np
import pytest

from assay.noninferiority import class_resampling, p_value
from assay.relabels import relabelled, relabels_to_flip
from bench.simulation import f1_difference

OPTIONS = {"margin": 0.05, "alpha": 0.05, "replicates": 999, "seed": np.random.SeedSequence(1)}


def cells(lost: int, gained: int) -> np.ndarray:
    eight = np.zeros((2, 2, 2), dtype=int)
    eight[1, 1, 1], eight[1, 0, 0], eight[0, 0, 0], eight[0, 1, 1] = 150, 30, 900, 40
    eight[1, 1, 0], eight[1, 0, 1] = lost, gained
    eight[0, 0, 1], eight[0, 1, 0] = lost, gained
    return eight


def passes(eight: np.ndarray) -> bool:
    drawn = class_resampling(eight)
    return p_value(drawn, margin=0.05, replicates=999, seed=OPTIONS["seed"]) <= 0.05


@pytest.mark.parametrize(("lost", "gained"), [(4, 12), (8, 8), (14, 6), (20, 2)])
def test_exactly_that_many_labels_turn_the_outcome(lost, gained):
    eight = cells(lost, gained)
    outcome = passes(eight)
    count = relabels_to_flip(eight, **OPTIONS)
    assert count is not None
    assert count >= 1
    assert passes(relabelled(eight, count, harm=outcome)) != outcome
    assert passes(relabelled(eight, count - 1, harm=outcome)) == outcome


def test_a_clearer_outcome_takes_more_labels():
    assert relabels_to_flip(cells(2, 20), **OPTIONS) > relabels_to_flip(cells(8, 10), **OPTIONS)


def test_models_that_never_disagree_cannot_be_told_apart_by_relabelling():
    assert relabels_to_flip(cells(0, 0), **OPTIONS) is None


@pytest.mark.parametrize("harm", [True, False])
def test_relabelling_keeps_every_case_and_moves_the_difference_one_way(harm):
    eight = cells(10, 10)
    differences = []
    for count in range(21):
        changed = relabelled(eight, count, harm=harm)
        assert changed.sum() == eight.sum()
        assert changed.min() >= 0
        assert np.array_equal(changed.sum(axis=0), eight.sum(axis=0))
        differences.append(float(f1_difference(changed.astype(float))))
    steps = np.diff(differences)
    assert (steps < 0).all() if harm else (steps > 0).all()
