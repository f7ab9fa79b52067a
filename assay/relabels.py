"""How many golden labels would have to be wrong for a comparison to come out the other way?

Decides, for one class, the smallest number of labels whose change turns its non-inferiority test
from passed to not passed, or back. Labels are changed where that helps most: of the cases on which
exactly one model names the class, those that speak for the present outcome. What a small number
means for the annotators is left to the reader of the report.
"""

import numpy as np

from assay.cells import Counts
from assay.noninferiority import class_resampling, p_value


def relabels_to_flip(
    eight: Counts, *, margin: float, alpha: float, replicates: int, seed: np.random.SeedSequence
) -> int | None:
    """Returns the number of labels, or None when no number of them turns the outcome.

    Args:
        eight: the class's cells, from `Cells.of_class`.
        margin: δ of the test.
        alpha: level of the test.
        replicates: draws of each test.
        seed: of the draws; all tests share it.
    """

    def passes(counts: Counts) -> bool:
        drawn = class_resampling(counts)
        return p_value(drawn, margin=margin, replicates=replicates, seed=seed) <= alpha

    passed = passes(eight)
    most = _available(eight, harm=passed)
    low, high = 0, most
    if not most or passes(relabelled(eight, most, harm=passed)) == passed:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if passes(relabelled(eight, middle, harm=passed)) == passed:
            low = middle
        else:
            high = middle
    return high


def relabelled(eight: Counts, count: int, *, harm: bool) -> Counts:
    """Returns the cells after `count` labels were changed against the candidate, or for it.

    Against it: cases of the class that the candidate found more often no longer belong to it, and
    cases that production put there more often now do. For it: the same with the models exchanged.
    Where a case was answered several times, those on which the models differ most come first.
    """
    changed = eight.copy()
    left = count
    for gap in range(eight.shape[1] - 1, 0, -1):
        for truth in (1, 0):
            for low in range(eight.shape[1] - gap):
                cell = _cell(truth, low, low + gap, harm=harm)
                moved = min(left, int(changed[cell]))
                if truth:  # a class must keep a case, or it has no F1 at all
                    moved = min(moved, max(0, int(changed[1].sum()) - 1))
                changed[cell] -= moved
                changed[1 - truth, cell[1], cell[2]] += moved
                left -= moved
    return changed


def _cell(truth: int, low: int, high: int, *, harm: bool) -> tuple[int, int, int]:
    """A cell whose cases speak against what is wanted: [y = k, production's, candidate's]."""
    found_more = harm == bool(truth)  # by the candidate
    return (truth, low, high) if found_more else (truth, high, low)


def _available(eight: Counts, *, harm: bool) -> int:
    size = eight.shape[1]
    return sum(
        int(eight[_cell(truth, low, high, harm=harm)])
        for truth in (0, 1)
        for high in range(size)
        for low in range(high)
    )
