"""Is the candidate's F1 worse than production's by a margin? The test behind every `promote`.

Decides, for one class or for the macro, the p-value of H0: ΔF1 ≤ −δ and the confidence bounds of
ΔF1 = F1(candidate) − F1(production). The cases enter as counts only, so the cost does not grow
with their number. What a result leads to is left to the evaluator and `verdict`.

The test draws from the distribution nearest to the data (in Kullback–Leibler distance, to first
order) in which H0 just holds: cell probabilities tilted exponentially along the influence function
of ΔF1 (Efron 1981, "Nonparametric standard errors and confidence intervals", section 11). Half a
case is added to every way of disagreeing, so that models that never disagree are not certain never
to. Bounds invert the test; one draw serves a whole range of margins, reweighted by the likelihood
ratio of the exponential family.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.cells import Cells, Counts, Floats

_TOLERANCE = 1e-9
_DRAW_BYTES = 32_000_000


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """A distribution over kinds of cases to draw from, and the quantity asked of it.

    Args:
        probabilities: of each kind of case, half cases added; they sum to 1.
        totals: maps kinds to the five totals a class, shape (m, 5 · classes), in the order support,
            production's hits and predictions, candidate's hits and predictions, by class.
        n: number of cases.
        observed: the quantity in the data as they are.
    """

    probabilities: Floats
    totals: Floats
    n: int
    observed: float

    def swapped(self) -> "Resampling":
        """The same with the two models exchanged."""
        blocks = self.totals.reshape(len(self.totals), 5, -1)[:, [0, 3, 4, 1, 2], :]
        totals = blocks.reshape(self.totals.shape)
        return Resampling(
            probabilities=self.probabilities, totals=totals, n=self.n, observed=-self.observed
        )


def class_resampling(eight: Counts) -> Resampling:
    """The comparison of one class, from its own 8 cells [y = k, a = k, b = k]."""
    half = np.zeros((2, 2, 2))
    half[:, 0, 1] = half[:, 1, 0] = 0.5
    kinds = np.array([(t, p, q) for t in (0, 1) for p in (0, 1) for q in (0, 1)], dtype=float)
    t, p, q = kinds.T
    totals = np.column_stack([t, t * p, p, t * q, q])
    weights = (eight + half).ravel()
    return Resampling(
        probabilities=weights / weights.sum(),
        totals=totals,
        n=int(eight.sum()),
        observed=float(_mean_difference(eight.ravel() @ totals)),
    )


def macro_resampling(cells: Cells) -> Resampling:
    """The comparison of the mean F1 over all classes.

    The half cases of every class are one half right of production's and wrong of the candidate's,
    and the reverse, the wrong answer spread evenly over the other labels: each class then gets the
    same four halves as in `class_resampling`.
    """
    size = len(cells.labels)
    weights = cells.counts.astype(float)
    share = 0.5 / (size - 1)
    for k in range(size):
        others = np.arange(size) != k
        weights[k, k, :size][others] += share
        weights[k, :size, k][others] += share
    y, a, b = np.nonzero(weights)
    kept = weights[y, a, b]
    totals = _totals(y, a, b, size)
    return Resampling(
        probabilities=kept / kept.sum(),
        totals=totals,
        n=cells.n,
        observed=float(_mean_difference(cells.counts[y, a, b] @ totals)),
    )


def macro_level_resampling(cells: Cells, role: str) -> Resampling:
    """One model's own macro-F1, as the difference to a model that is never right."""
    confusion = cells.confusion(role)
    size = len(cells.labels)
    weights = confusion.astype(float)
    for k in range(size):
        weights[k, k] += 0.5
        weights[k, :size][np.arange(size) != k] += 0.5 / (size - 1)
    y, b = np.nonzero(weights)
    kept = weights[y, b]
    # An answer outside the labels on production's side: hits and predictions stay 0.
    totals = _totals(y, np.full(len(y), size), b, size)
    return Resampling(
        probabilities=kept / kept.sum(),
        totals=totals,
        n=cells.n,
        observed=float(_mean_difference(confusion[y, b] @ totals)),
    )


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
    p = _p_value(drawn, -margin, replicates, at_margin)
    lower = _lower_bound(drawn, alpha, replicates, for_lower)
    upper = -_lower_bound(drawn.swapped(), alpha, replicates, for_upper)
    # The bound and the p-value come from separate draws: where both lie within the simulation
    # error of the threshold, the p-value decides and the bound is moved to agree with it.
    lower = max(lower, -margin) if p <= alpha else min(lower, -margin)
    lower = min(lower, drawn.observed)
    return Comparison(difference=drawn.observed, lower=lower, upper=max(upper, drawn.observed), p=p)


def p_value(
    drawn: Resampling, *, margin: float, replicates: int, seed: np.random.SeedSequence
) -> float:
    """p-value of H0: the quantity is at or below −margin, in (0, 1]."""
    return _p_value(drawn, -margin, replicates, np.random.default_rng(seed))


def confidence_bounds(
    drawn: Resampling, *, alpha: float, replicates: int, seed: np.random.SeedSequence
) -> tuple[float, float]:
    """One-sided confidence bounds (lower, upper) of the quantity, each at 1 − alpha."""
    for_lower, for_upper = (np.random.default_rng(s) for s in seed.spawn(2))
    lower = _lower_bound(drawn, alpha, replicates, for_lower)
    upper = -_lower_bound(drawn.swapped(), alpha, replicates, for_upper)
    return min(lower, drawn.observed), max(upper, drawn.observed)


def standard_error(drawn: Resampling) -> float:
    """Delta-method standard error of the difference, half cases included."""
    psi = _influence(drawn.probabilities, drawn.totals)
    return math.sqrt(float(drawn.probabilities @ psi**2) / drawn.n)


def _totals(y: Counts, a: Counts, b: Counts, size: int) -> Floats:
    classes = np.arange(size)
    truth, first, second = (codes[:, None] == classes for codes in (y, a, b))
    blocks = [truth, truth & first, first, truth & second, second]
    return np.concatenate(blocks, axis=1).astype(float)


def _differences(sums: Floats) -> Floats:
    """ΔF1 of each class from totals of shape (…, 5 · classes)."""
    parts = sums.reshape(*sums.shape[:-1], 5, -1)
    support, hits_a, predicted_a, hits_b, predicted_b = np.moveaxis(parts, -2, 0)
    floor = np.finfo(float).tiny
    first = 2 * hits_a / np.maximum(support + predicted_a, floor)
    second = 2 * hits_b / np.maximum(support + predicted_b, floor)
    gap: Floats = second - first
    return gap


def _mean_difference(sums: Floats) -> Floats:
    mean: Floats = _differences(sums).mean(axis=-1)
    return mean


def _influence(probabilities: Floats, totals: Floats) -> Floats:
    """Influence of one case of each kind on the mean difference."""
    kinds = totals.reshape(len(totals), 5, -1)
    support, hits_a, predicted_a, hits_b, predicted_b = (probabilities @ totals).reshape(5, -1)
    truth, hit_a, said_a, hit_b, said_b = np.moveaxis(kinds, 1, 0)
    size_a, size_b = support + predicted_a, support + predicted_b
    first = (2 * hit_a - 2 * hits_a / size_a * (truth + said_a)) / size_a
    second = (2 * hit_b - 2 * hits_b / size_b * (truth + said_b)) / size_b
    psi: Floats = (second - first).mean(axis=1)
    return psi


class _Tilt:
    """The exponential family through a problem's probabilities along its influence function."""

    def __init__(self, drawn: Resampling) -> None:
        psi = _influence(drawn.probabilities, drawn.totals)
        self.drawn = drawn
        # In units of its own standard deviation, so that the tilt's parameter has no unit.
        self.psi = psi / math.sqrt(float(drawn.probabilities @ psi**2))

    def at(self, strength: float) -> tuple[Floats, float]:
        """Tilted probabilities, and the log of their normalising constant."""
        exponent = strength * self.psi
        peak = float(exponent.max())
        weights = self.drawn.probabilities * np.exp(exponent - peak)
        mass = float(weights.sum())
        return weights / mass, peak + math.log(mass)

    def value(self, strength: float) -> float:
        """The difference under the tilted probabilities."""
        return float(_mean_difference(self.at(strength)[0] @ self.drawn.totals))

    def solve(self, target: float) -> float:
        """Strength at which the difference is `target`."""
        step = 1.0 if target > self.value(0.0) else -1.0
        while (self.value(step) - target) * step < 0 and abs(step) < 200:
            step *= 2
        low, high = min(0.0, step), max(0.0, step)
        return _bisect(lambda strength: self.value(strength) - target, low, high)

    def draw(self, strength: float, replicates: int, rng: np.random.Generator) -> "_Draw":
        """Resampled differences, and what reweighting them needs."""
        tilted, log_mass = self.at(strength)
        drawn = self.drawn
        batch = max(1, _DRAW_BYTES // (8 * len(tilted)))
        values, scores = [], []
        for start in range(0, replicates, batch):
            counts = rng.multinomial(drawn.n, tilted, size=min(batch, replicates - start))
            values.append(_mean_difference(counts @ drawn.totals))
            scores.append(counts @ self.psi)
        return _Draw(
            strength=strength,
            log_mass=log_mass,
            exceeds=np.concatenate(values) >= drawn.observed - _TOLERANCE,
            scores=np.concatenate(scores),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draw:
    strength: float
    log_mass: float
    exceeds: NDArray[np.bool_]
    scores: Floats

    def tail(self, strength: float, log_mass: float, n: int) -> float:
        """P(difference ≥ observed) at another strength, by the likelihood ratio."""
        if not self.exceeds.any():
            return 0.0
        shift = strength - self.strength
        exponent = shift * self.scores[self.exceeds] - n * (log_mass - self.log_mass)
        return float(np.exp(exponent).sum() / len(self.exceeds))


def _p_value(drawn: Resampling, target: float, replicates: int, rng: np.random.Generator) -> float:
    tilt = _Tilt(drawn)
    draw = tilt.draw(tilt.solve(target), replicates, rng)
    return (1 + int(draw.exceeds.sum())) / (replicates + 1)


def _lower_bound(
    drawn: Resampling, alpha: float, replicates: int, rng: np.random.Generator
) -> float:
    from scipy.special import ndtri  # half a second to import, and only bounds need it

    tilt = _Tilt(drawn)
    reach = float(ndtri(1 - alpha)) / math.sqrt(drawn.n)
    # First guess: the normal bound. Where the draw says that it was far off, and so cannot say well
    # where the bound is, a second one is centred there.
    found = -reach
    for _ in range(2):
        draw = tilt.draw(found, replicates, rng)

        def excess(other: float, draw: _Draw = draw) -> float:
            return draw.tail(other, tilt.at(other)[1], drawn.n) - alpha

        found = _bisect(excess, draw.strength - 2 * reach, draw.strength + 2 * reach)
        if abs(found - draw.strength) < reach / 8:
            break
    return tilt.value(found)


def _bisect(rises: Callable[[float], float], low: float, high: float) -> float:
    """Root of a rising function between `low` and `high`; the nearer end if it has none."""
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if rises(middle) < 0 else (low, middle)
    return (low + high) / 2
