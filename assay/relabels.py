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
        eight: the class's cells [y = k, a = k, b = k].
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

    Against it: cases of the class that only the candidate found no longer belong to it, and cases
    that only production put there now do. For it: the same with the models exchanged.
    """
    changed = eight.copy()
    candidate, production = ((0, 1), (1, 0)) if harm else ((1, 0), (0, 1))
    hits = min(count, int(changed[1, *candidate]))
    rest = min(count - hits, int(changed[0, *production]))
    # A class must keep a case, or it has no F1 at all.
    hits = min(hits, int(changed[1].sum()) + rest - 1)
    changed[1, *candidate] -= hits
    changed[0, *candidate] += hits
    changed[0, *production] -= rest
    changed[1, *production] += rest
    return changed


def _available(eight: Counts, *, harm: bool) -> int:
    candidate, production = ((0, 1), (1, 0)) if harm else ((1, 0), (0, 1))
    return int(eight[1, *candidate] + eight[0, *production])
