"""Tilted resampling: the distribution nearest to the data in which a difference is as it is not.

Decides p-values and confidence bounds of a mean of F1 differences over resampled counts; which
counts, and what follows, is `noninferiority`'s. The cell probabilities are tilted exponentially
along the influence function of the difference (Efron 1981, "Nonparametric standard errors and
confidence intervals", section 11). One draw serves a range of tilts, reweighted by the likelihood
ratio of the exponential family.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri

from assay.cells import Floats

_TOLERANCE = 1e-9
_DRAW_BYTES = 8_000_000
_NORMAL_FROM = 25
"""Expected cases of a kind from which its count is drawn as normal, corrected for skewness."""

_FEW_KINDS, _NORMAL_FROM_OF_FEW = 8, 2_500
"""Each of so few kinds weighs much, so it is drawn exactly for longer."""

_POOLED_FROM = 2
"""Normal kinds a column from which their sums are drawn, not they: then even their discordant
cases are so many that the skewness of a count is nothing in the sum."""

_SCATTERED_BELOW = 5
"""Expected cases of a kind up to which its cases are dealt out over the replicates."""


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


def class_differences(sums: Floats) -> Floats:
    """Returns ΔF1 of each class from totals of shape (…, 5 · classes)."""
    parts = sums.reshape(*sums.shape[:-1], 5, -1)
    support, hits_a, predicted_a, hits_b, predicted_b = np.moveaxis(parts, -2, 0)
    floor = np.finfo(float).tiny
    first = 2 * hits_a / np.maximum(support + predicted_a, floor)
    second = 2 * hits_b / np.maximum(support + predicted_b, floor)
    gap: Floats = second - first
    return gap


def mean_difference(sums: Floats) -> Floats:
    """Mean ΔF1 over the classes, from totals of shape (…, 5 · classes)."""
    mean: Floats = class_differences(sums).mean(axis=-1)
    return mean


def influence(probabilities: Floats, totals: Floats) -> Floats:
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
        psi = influence(drawn.probabilities, drawn.totals)
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
        return float(mean_difference(self.at(strength)[0] @ self.drawn.totals))

    def solve(self, target: float) -> float:
        """Strength at which the difference is `target`."""
        step = 1.0 if target > self.value(0.0) else -1.0
        while (self.value(step) - target) * step < 0 and abs(step) < 200:
            step *= 2
        low, high = min(0.0, step), max(0.0, step)
        return _root(lambda strength: self.value(strength) - target, low, high)

    def draw(self, strength: float, replicates: int, rng: np.random.Generator) -> "_Draw":
        """Resampled differences, and what reweighting them needs."""
        tilted, log_mass = self.at(strength)
        drawn = self.drawn
        columns = np.column_stack([drawn.totals, self.psi, np.ones(len(tilted))])
        batch = max(1, _DRAW_BYTES // (8 * len(tilted)))
        values, scores, cases = [], [], []
        for start in range(0, replicates, batch):
            size = min(batch, replicates - start)
            sums = resampled_sums(drawn.n * tilted, columns, size, rng)
            values.append(mean_difference(sums[:, :-2]))
            scores.append(sums[:, -2])
            cases.append(sums[:, -1])
        return _Draw(
            strength=strength,
            log_mass=log_mass,
            exceeds=np.concatenate(values) >= drawn.observed - _TOLERANCE,
            scores=np.concatenate(scores),
            cases=np.concatenate(cases),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draw:
    strength: float
    log_mass: float
    exceeds: NDArray[np.bool_]
    scores: Floats
    cases: Floats

    def tail(self, strength: float, log_mass: float) -> float:
        """P(difference ≥ observed) at another strength, by the likelihood ratio."""
        if not self.exceeds.any():
            return 0.0
        shift = strength - self.strength
        mass = log_mass - self.log_mass
        exponent = shift * self.scores[self.exceeds] - mass * self.cases[self.exceeds]
        return float(np.exp(exponent).sum() / len(self.exceeds))


def resampled_sums(
    expected: Floats, columns: Floats, size: int, rng: np.random.Generator
) -> Floats:
    """Sums of columns over resampled kinds, shape (size, columns).

    Where many more kinds are drawn as normal than there are columns, their sums are drawn at once,
    as what they are: jointly normal, with the covariance of independent counts.
    """
    many = expected >= _NORMAL_FROM
    if many.sum() <= _POOLED_FROM * columns.shape[1]:
        return resampled_counts(expected, size, rng) @ columns
    rest = resampled_counts(expected[~many], size, rng) @ columns[~many]
    pooled = columns[many]
    covariance = (pooled.T * expected[many]) @ pooled
    # Some columns follow from others; a trace of noise makes the root exist, and be the only one.
    covariance[np.diag_indices(len(covariance))] += _TOLERANCE * covariance.diagonal().max()
    z = rng.standard_normal((size, columns.shape[1]))
    sums: Floats = rest + expected[many] @ pooled + z @ np.linalg.cholesky(covariance).T
    return sums


def resampled_counts(expected: Floats, size: int, rng: np.random.Generator) -> Floats:
    """Independent counts of each kind, shape (size, kinds), at a cost that does not grow with n.

    Given their total, independent Poisson counts are multinomial, and a difference of F1 depends on
    shares alone; so this resamples cases, save that their number varies too, by a share of 1/√n.
    """
    normal = expected >= (_NORMAL_FROM if len(expected) > _FEW_KINDS else _NORMAL_FROM_OF_FEW)
    rare = expected < _SCATTERED_BELOW
    some = ~(normal | rare)
    counts = np.empty((size, len(expected)), order="F")
    counts[:, some] = rng.poisson(expected[some], size=(size, int(some.sum())))
    counts[:, rare] = _scattered(expected[rare], size, rng)
    many = expected[normal]
    z = rng.standard_normal((size, len(many)))
    # Cornish and Fisher's second term gives the normal the skewness of the count.
    counts[:, normal] = many + np.sqrt(many) * z + (z * z - 1) / 6
    return counts


def _scattered(expected: Floats, size: int, rng: np.random.Generator) -> Floats:
    """Independent Poisson counts of rare kinds, at a cost that follows what is expected of them.

    The sum over all replicates is Poisson, and each of its cases falls into any replicate alike.
    """
    counts = np.empty((size, len(expected)), order="F")
    cases = rng.poisson(size * expected)
    places = np.split(rng.integers(size, size=int(cases.sum())), np.cumsum(cases))
    for kind in range(len(expected)):
        counts[:, kind] = np.bincount(places[kind], minlength=size)
    return counts


def tilted_p_value(
    drawn: Resampling, target: float, replicates: int, rng: np.random.Generator
) -> float:
    """P(a difference as high as observed) where the true one is `target`, in (0, 1]."""
    tilt = _Tilt(drawn)
    draw = tilt.draw(tilt.solve(target), replicates, rng)
    return (1 + int(draw.exceeds.sum())) / (replicates + 1)


def tilted_lower_bound(
    drawn: Resampling, alpha: float, replicates: int, rng: np.random.Generator
) -> float:
    """The true difference at which one as high as observed has probability alpha."""
    tilt = _Tilt(drawn)
    reach = float(ndtri(1 - alpha)) / math.sqrt(drawn.n)
    # First guess: the normal bound. Where the draw says that it was far off, and so cannot say well
    # where the bound is, a second one is centred there.
    found = -reach
    for _ in range(2):
        draw = tilt.draw(found, replicates, rng)

        def excess(other: float, draw: _Draw = draw) -> float:
            return draw.tail(other, tilt.at(other)[1]) - alpha

        found = _root(excess, draw.strength - 2 * reach, draw.strength + 2 * reach)
        if abs(found - draw.strength) < reach / 8:
            break
    return tilt.value(found)


def _root(rises: Callable[[float], float], low: float, high: float) -> float:
    """Root of a rising function between `low` and `high`; the nearer end if it has none."""
    if rises(low) >= 0:
        return low
    if rises(high) <= 0:
        return high
    return float(brentq(rises, low, high, xtol=1e-9))
