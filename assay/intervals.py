"""Bounds of one model's F1, without a second model: what absolute floors are held against.

Decides how sure one may be of a model's own F1. For one class the bound is exact: given the
m = TP + FP + FN cases that touch the class, TP is binomial with the Jaccard index θ, and
F1 = 2θ / (1 + θ) rises with θ, so Clopper–Pearson bounds of θ carry over. Where a case was answered
several times it counts by the share of its answers: a share varies no more than a whole hit or miss
of the same mean, so the bounds err on the safe side. For the macro the bound
is that of `noninferiority` with production absent.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.errors import TooFewCasesError
from assay.rates import exact_bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A point value with one-sided bounds, each at confidence 1 − alpha."""

    value: float
    lower: float
    upper: float


def f1_estimate(*, hits: float, support: float, predicted: float, alpha: float) -> Estimate:
    """Exact bounds of one class's F1.

    Args:
        hits: true positives, in cases.
        support: golden cases of the class.
        predicted: cases the model put in the class; a part of its answers counts as that part.
        alpha: one-sided error rate of each bound.

    Raises:
        TooFewCasesError: the class has no golden case, so no F1.
    """
    if support < 1:
        raise TooFewCasesError("F1 was asked of a class without a golden case; add cases")
    touched = support + predicted - hits
    lower, upper = exact_bounds(hits, touched, alpha=alpha)
    return Estimate(
        value=_from_jaccard(hits / touched),
        lower=_from_jaccard(lower),
        upper=_from_jaccard(upper),
    )


def _from_jaccard(theta: float) -> float:
    return 2 * theta / (1 + theta)


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values that control the false discovery rate (Benjamini & Hochberg 1995)."""
    count = len(p_values)
    order = np.argsort(p_values)[::-1]
    scaled = p_values[order] * count / np.arange(count, 0, -1)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled)) if count else scaled
    return adjusted
