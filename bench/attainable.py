"""How often could any honest test pass a class that is worse by exactly the margin?

Where few cases are discordant the outcomes are few, and a test must take each whole or leave it.
"No discordant case" alone may then be likelier than the level, and no rule may pass it. This finds,
by integer programming, the largest chance of passing that any rule can have in one cell of the
study, among the rules that

- see how many cases of each discordant kind there are (found by production alone, by the candidate
  alone; put there by the candidate alone, by production alone),
- are monotone: one loss less or one gain more never turns a pass into a failure,
- do not draw lots, and
- pass at most a share `level` of the sets of *every* pair of models whose difference is exactly
  the margin, whatever the mix of their disagreement: a test does not know the mix.

Counts are Poisson, and each kind moves F1 by its first-order weight (`assay.power`). The rule that
attains the limit may differ from cell to cell, and only some mixes are written down as constraints:
both can only raise the limit, so it errs against the gate.
"""

from collections.abc import Sequence
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix, vstack
from scipy.stats import binom, poisson

Floats = NDArray[np.float64]

_SIZE = 7
"""Cases of one discordant kind that are told apart; more of one kind count as never passing."""

_GAINS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def attainable(
    prior: float,
    n: int,
    *,
    margin: float,
    ratio: float,
    f1: float,
    level: float,
    quantiles: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
) -> float:
    """Returns the largest chance of passing in a cell, in the mean over supports of the class.

    Args:
        prior: share of the class.
        n: cases of the golden set.
        margin: by how much the candidate is worse.
        ratio: discordant positives, and false positives, per positive, over the margin.
        f1: production's F1.
        level: the largest chance of passing that a rule may have at the margin.
        quantiles: of the class's support, over which the mean is taken.
    """
    supports = np.maximum(binom.ppf(quantiles, n, prior), 1)
    return float(
        np.mean([_at_support(s, margin=margin, ratio=ratio, f1=f1, level=level) for s in supports])
    )


def _at_support(support: float, *, margin: float, ratio: float, f1: float, level: float) -> float:
    weights = (2 - f1, f1)
    # ΔF1 = weights · (gains − losses) / (2 · support), the class predicted as often as it is true.
    deficit = 2 * margin * support
    lost, each = (1 + 1 / ratio) / 2, ratio * margin * support
    here = _law((each * lost, each * (1 - lost), each * lost, each * (1 - lost)))
    null = np.array([_law(rates) for rates in _mixes(deficit, weights)])
    solved = milp(
        -here,
        constraints=[
            LinearConstraint(_monotone(), -np.inf, 0),
            LinearConstraint(csr_matrix(null), -np.inf, level),
        ],
        integrality=np.ones(len(here)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.02, "time_limit": 60},
    )
    if solved.mip_dual_bound is None:
        raise RuntimeError(f"no bound at {support=} {margin=} {ratio=}: {solved.message}")
    # The bound of the search, and not only the best rule it found; and never more than the level.
    return float(min(-solved.mip_dual_bound, level))


def _law(rates: tuple[float, float, float, float]) -> Floats:
    """Probability of each outcome (lost, gained; falsely put there, falsely spared), flat."""
    law = np.ones(1)
    for rate in rates:
        law = np.multiply.outer(law, poisson.pmf(np.arange(_SIZE), rate))
    return law.ravel()


def _mixes(deficit: float, weights: tuple[float, float]) -> list[tuple[float, ...]]:
    """Rates of the four discordant kinds at which the difference is exactly the margin."""
    found = set()
    for gains, gained, lost in product(_GAINS, _SHARES[::2], _SHARES):
        up = (gains * gained, gains * (1 - gained))
        need = deficit + weights[0] * up[0] + weights[1] * up[1]
        losses = need / (lost * weights[0] + (1 - lost) * weights[1])
        found.add((losses * lost, up[0], losses * (1 - lost), up[1]))
    return sorted(found)


@cache
def _monotone() -> csr_matrix:
    """Rows that are at most 0: what is worse passes only if what is better does."""
    outcomes = np.arange(_SIZE**4).reshape((_SIZE,) * 4)
    rows = []
    for axis, more_is_better in enumerate((False, True, False, True)):
        fewer = np.take(outcomes, range(_SIZE - 1), axis).ravel()
        more = np.take(outcomes, range(1, _SIZE), axis).ravel()
        worse, better = (fewer, more) if more_is_better else (more, fewer)
        place = np.tile(np.arange(len(worse)), 2)
        signs = np.repeat([1.0, -1.0], len(worse))
        rows.append(csr_matrix((signs, (place, np.r_[worse, better])), (len(worse), _SIZE**4)))
    return vstack(rows).tocsr()
