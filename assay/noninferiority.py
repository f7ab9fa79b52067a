"""Is the candidate's F1 worse than production's by a margin? The test behind every `promote`.

Decides, for one class or for the macro, the p-value of H0: ΔF1 ≤ −δ and the confidence bounds of
ΔF1 = F1(candidate) − F1(production). The cases enter as counts only, so the cost does not grow
with their number. Drawing is left to `tilting`; what a result leads to, to the evaluator and
`verdict`.

Where each case was asked several times, whole cases are drawn, each with all its answers: the
spread of their shares already holds the chance in the answers, and drawing answers anew within a
case would count it twice (Davison & Hinkley 1997, section 3.8).

Half a case is added to every way of disagreeing, so that models that never disagreed are not
certain never to. The bounds invert the test: the lower one is the margin at which it would just
have passed.
"""

import math
from dataclasses import dataclass

import numpy as np

from assay.cells import Cells, Counts, Floats
from assay.tilting import (
    Resampling,
    influence,
    mean_difference,
    tilted_lower_bound,
    tilted_p_value,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """ΔF1 with its test at one margin.

    Args:
        difference: candidate's F1 minus production's.
        lower, upper: one-sided confidence bounds of it, each at 1 − alpha.
        p: p-value of H0: difference ≤ −margin, in (0, 1].
    """

    difference: float
    lower: float
    upper: float
    p: float


def class_resampling(eight: Counts) -> Resampling:
    """The comparison of one class.

    Args:
        eight: its own cells [y = k, a = k, b = k], or `Cells.of_class` of several answers a case.
    """
    repeats = eight.shape[1] - 1
    half = np.zeros(eight.shape)
    half[:, 0, repeats] = half[:, repeats, 0] = 0.5
    t, p, q = np.indices(eight.shape).reshape(3, -1) / np.array([[1], [repeats], [repeats]])
    totals = np.column_stack([t, t * p, p, t * q, q])
    counts, extra = eight.ravel(), half.ravel()
    weights = counts + extra
    kept = weights > 0
    return Resampling(
        probabilities=weights[kept] / weights.sum(),
        totals=totals[kept],
        n=int(eight.sum()),
        observed=float(mean_difference(counts @ totals)),
    )


def macro_resampling(cells: Cells) -> Resampling:
    """The comparison of the mean F1 over all classes.

    The half cases of every class are one half right of production's and wrong of the candidate's,
    and the reverse, each wrong answer shared evenly among the other labels: every class then gets
    the same four halves as in `class_resampling`.
    """
    size, kinds = len(cells.labels), cells.kinds()
    right, wrong = _right(size), _wrong(size)
    truth = np.eye(size)
    lost = np.concatenate([truth, right, np.zeros_like(truth), wrong], axis=1)
    gained = np.concatenate([truth, np.zeros_like(truth), wrong, right], axis=1)
    totals = _totals(kinds.truth, kinds.production / cells.repeats, kinds.candidate / cells.repeats)
    return _with_halves(kinds.cases.astype(float), totals, [lost, gained])


def macro_level_resampling(cells: Cells, role: str) -> Resampling:
    """One model's own macro-F1, as the difference to a model that is never right."""
    size, kinds = len(cells.labels), cells.kinds()
    said = kinds.candidate if role == "candidate" else kinds.production
    rows = np.concatenate([kinds.truth[:, None], said], axis=1)
    rows, place = np.unique(rows, axis=0, return_inverse=True)
    counts: Floats = np.bincount(place.ravel(), weights=kinds.cases).astype(float)
    # Nobody answers on production's side: hits and predictions stay 0.
    silent = np.zeros((size, 2 * size))
    right = np.concatenate([np.eye(size), silent, _right(size)], axis=1)
    wrong = np.concatenate([np.eye(size), silent, np.zeros((size, size)), _wrong(size)], axis=1)
    shares = rows[:, 1:] / cells.repeats
    return _with_halves(counts, _totals(rows[:, 0], 0 * shares, shares), [right, wrong])


def compare(
    drawn: Resampling, *, margin: float, alpha: float, replicates: int, seed: np.random.SeedSequence
) -> Comparison:
    """Tests H0: difference ≤ −margin and inverts the test for both bounds.

    Args:
        drawn: from `class_resampling` or `macro_resampling`.
        margin: δ > 0.
        alpha: one-sided error rate of the test and of each bound.
        replicates: draws of each resampling.
        seed: of the draws; the same seed gives the same numbers.
    """
    at_margin, for_lower, for_upper = (np.random.default_rng(s) for s in seed.spawn(3))
    p = tilted_p_value(drawn, -margin, replicates, at_margin)
    lower = tilted_lower_bound(drawn, alpha, replicates, for_lower)
    upper = -tilted_lower_bound(drawn.swapped(), alpha, replicates, for_upper)
    # The bound and the p-value come from separate draws: where both lie within the simulation
    # error of the threshold, the p-value decides and the bound is moved to agree with it.
    lower = max(lower, -margin) if p <= alpha else min(lower, -margin)
    lower = min(lower, drawn.observed)
    return Comparison(difference=drawn.observed, lower=lower, upper=max(upper, drawn.observed), p=p)


def p_value(
    drawn: Resampling, *, margin: float, replicates: int, seed: np.random.SeedSequence
) -> float:
    """p-value of H0: the quantity is at or below −margin, in (0, 1]."""
    return tilted_p_value(drawn, -margin, replicates, np.random.default_rng(seed))


def confidence_bounds(
    drawn: Resampling, *, alpha: float, replicates: int, seed: np.random.SeedSequence
) -> tuple[float, float]:
    """One-sided confidence bounds (lower, upper) of the quantity, each at 1 − alpha."""
    for_lower, for_upper = (np.random.default_rng(s) for s in seed.spawn(2))
    lower = tilted_lower_bound(drawn, alpha, replicates, for_lower)
    upper = -tilted_lower_bound(drawn.swapped(), alpha, replicates, for_upper)
    return min(lower, drawn.observed), max(upper, drawn.observed)


def standard_error(drawn: Resampling) -> float:
    """Delta-method standard error of the difference, half cases included."""
    psi = influence(drawn.probabilities, drawn.totals)
    return math.sqrt(float(drawn.probabilities @ psi**2) / drawn.n)


def _with_halves(counts: Floats, totals: Floats, halves: list[Floats]) -> Resampling:
    """A resampling of counted kinds, and of kinds that get half a case each."""
    extra = np.concatenate(halves)
    weights = np.concatenate([counts, np.full(len(extra), 0.5)])
    return Resampling(
        probabilities=weights / weights.sum(),
        totals=np.concatenate([totals, extra]),
        n=int(counts.sum()),
        observed=float(mean_difference(counts @ totals)),
    )


def _right(size: int) -> Floats:
    """Hits and predictions of a right answer to each class, (size, 2 · size)."""
    return np.concatenate([np.eye(size), np.eye(size)], axis=1)


def _wrong(size: int) -> Floats:
    """Predictions of a wrong answer to each class, shared by the other labels, (size, size)."""
    return (1 - np.eye(size)) / (size - 1)


def _totals(truth: Counts, first: Floats, second: Floats) -> Floats:
    """Totals of kinds from the shares of their answers, (m, K + 1), by both models."""
    y = (truth[:, None] == np.arange(first.shape[1] - 1)).astype(float)
    a, b = first[:, :-1], second[:, :-1]
    return np.concatenate([y, y * a, a, y * b, b], axis=1)
