"""What a golden set can and cannot show, and how many more labels would settle a question.

Decides sample sizes from the variance of the paired difference of F1. A discordant positive moves
the ΔF1 of its class by (2 − F) / (S + P), a discordant false positive by F / (S + P); so with n
golden cases of the class Var(ΔF1) ≈ (ρ₁ (2 − F)² + ρ₂ F²) / (4 n), where ρ₁ is the discordant share
of the positives and ρ₂ the number of discordant false positives per positive. (At F = 0.85 the
factors are the 1.32 and 0.72 of the usual planning formula.) What follows from a shortage is the
evaluator's to say.
"""

import math

import numpy as np
from scipy.special import ndtri

from assay.cells import Counts

TARGET_POWER = 0.8
"""The chance of settling a question that "enough cases" stands for."""


def planning_variance(f1: float, positives: float, false_positives: float) -> float:
    """N · Var(ΔF1) of one class.

    Args:
        f1: the level of F1 around which the models differ.
        positives: ρ₁, share of the class's cases on which exactly one model is right.
        false_positives: ρ₂, other cases that exactly one model puts in the class, per positive.
    """
    return (positives * (2 - f1) ** 2 + false_positives * f1**2) / 4


def observed_variance(eight: Counts) -> float:
    """N · Var(ΔF1) of one class from its 8 cells, half a case added to each way of disagreeing.

    Args:
        eight: `Cells.of_class`; the class has a golden case. A case on which a part of the answers
            differs weighs as the square of that part.
    """
    share = np.arange(eight.shape[1]) / (eight.shape[1] - 1)
    apart = (share[:, None] - share) ** 2
    said = share[:, None] + share
    support = float(eight[1].sum())
    positives = ((eight[1] * apart).sum() + 1) / support
    false_positives = ((eight[0] * apart).sum() + 1) / support
    hits, predicted = (eight[1] * said).sum(), (eight * said).sum()
    return planning_variance(2 * hits / (2 * support + predicted), positives, false_positives)


def power_each(classes: int) -> float:
    """Power to plan each of several checks at, so that all pass together at `TARGET_POWER`."""
    return float(TARGET_POWER ** (1 / max(classes, 1)))


def cases_needed(variance: float, distance: float, *, alpha: float, power: float) -> int:
    """Cases of a class after which a difference `distance` from its threshold is usually shown.

    Args:
        variance: from `planning_variance` or `observed_variance`.
        distance: > 0, between the true difference and the threshold (δ where the models are equal).
        alpha: one-sided error rate of the test.
        power: chance of showing it.
    """
    return math.ceil(_z_sum(alpha, power) ** 2 * variance / distance**2)


def detectable_difference(variance: float, cases: int, *, alpha: float, power: float) -> float:
    """Smallest difference from the threshold that `cases` cases usually show."""
    return _z_sum(alpha, power) * math.sqrt(variance / cases)


def _z_sum(alpha: float, power: float) -> float:
    return float(ndtri(1 - alpha) + ndtri(power))
