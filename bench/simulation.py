"""Simulated pairs of classifiers whose true difference is known: what the studies draw from.

Decides the populations (class structures, level, disagreement, where the candidate is worse) and
draws golden sets from them as counts; leaves judging them to the gates that are compared.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Six Ekman emotions of GoEmotions; its 28 labels (Demszky et al. 2020, label counts of the training
# file); and a balanced set like this project's own.
_GOEMOTIONS = (
    4130, 2328, 1567, 2470, 2939, 1087, 1368, 2191, 641, 1269, 2022, 793, 303, 853, 596, 2662,
    77, 1452, 2086, 164, 1581, 111, 1110, 153, 545, 1326, 1060, 14219,
)  # fmt: skip
STRUCTURES: dict[str, Floats] = {
    "six classes": np.array([0.335, 0.291, 0.135, 0.121, 0.082, 0.036]),
    "seven balanced": np.full(7, 1 / 7),
    "28 classes": np.array(_GOEMOTIONS) / sum(_GOEMOTIONS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPopulation:
    """One class's 8 cell probabilities [y = k, a = k, b = k], and the true difference of F1."""

    cells: Floats
    difference: float


def f1_difference(cells: Floats) -> Floats:
    """ΔF1 of one class from its 8 cells (or counts), shape (…, 2, 2, 2)."""
    support = cells[..., 1, :, :].sum(axis=(-2, -1))
    hits_a, hits_b = cells[..., 1, 1, :].sum(axis=-1), cells[..., 1, :, 1].sum(axis=-1)
    said_a = cells[..., :, 1, :].sum(axis=(-2, -1))
    said_b = cells[..., :, :, 1].sum(axis=(-2, -1))
    tiny = 1e-300
    first, second = np.maximum(support + said_a, tiny), np.maximum(support + said_b, tiny)
    difference: Floats = 2 * hits_b / second - 2 * hits_a / first
    return difference


def class_population(prior: float, f1: float, discordance: float, drop: float) -> ClassPopulation:
    """A class on which the candidate is worse by `drop`.

    Args:
        prior: share of the class.
        f1: production's F1, with recall and precision alike.
        discordance: discordant positives, and discordant false positives, per positive.
        drop: production's F1 minus the candidate's; at most about `discordance`.
    """
    low, high = 0.5, 1.0
    if f1_difference(_eight(prior, f1, discordance, 1.0)) > -drop:
        raise ValueError(f"a discordance of {discordance} cannot make a drop of {drop}")
    for _ in range(60):
        middle = (low + high) / 2
        short = f1_difference(_eight(prior, f1, discordance, middle)) > -drop
        low, high = (middle, high) if short else (low, middle)
    cells = _eight(prior, f1, discordance, high if drop else 0.5)
    return ClassPopulation(cells=cells, difference=float(f1_difference(cells)))


def _eight(prior: float, f1: float, discordance: float, lost: float) -> Floats:
    """`lost`: share of the discordant cases on which the candidate is the worse one."""
    p = np.zeros((2, 2, 2))
    p[1, 1, 0] = p[0, 0, 1] = prior * discordance * lost
    p[1, 0, 1] = p[0, 1, 0] = prior * discordance * (1 - lost)
    p[1, 1, 1] = prior * f1 - p[1, 1, 0]
    p[1, 0, 0] = prior - p[1].sum()
    p[0, 1, 1] = prior * (1 - f1) - p[0, 1, 0]
    p[0, 0, 0] = 1 - p.sum()
    if p.min() < 0:
        raise ValueError(f"no such population: {prior=} {f1=} {discordance=}")
    return p


def gate_population(
    priors: Floats, recall: float, discordance: float, *, worse: int | None = None, drop: float = 0
) -> Floats:
    """Probabilities p[y, a, b], shape (K, K + 1, K + 1), of two models on a whole task.

    Production is right with probability `recall`, else wrong in proportion to the priors. The
    candidate repeats production's answer, or answers afresh by the same law, so the two are equal
    in truth and disagree on `discordance` of the cases. With `worse`, that class's F1 is then made
    `drop` lower by turning right answers of the candidate into wrong ones.
    """
    size = len(priors)
    wrong = np.tile(priors, (size, 1))
    np.fill_diagonal(wrong, 0)
    law = (1 - recall) * wrong / wrong.sum(axis=1, keepdims=True)
    np.fill_diagonal(law, recall)
    apart = float((priors * (1 - (law**2).sum(axis=1))).sum())
    fresh = discordance / apart
    same = law[:, :, None] * np.eye(size)[None]
    joint = (1 - fresh) * same + fresh * law[:, :, None] * law[:, None, :]
    p = np.zeros((size, size + 1, size + 1))
    p[:, :size, :size] = priors[:, None, None] * joint
    return p if worse is None else _degraded(p, worse, drop)


def _degraded(p: Floats, k: int, drop: float) -> Floats:
    size = len(p)
    share = np.where(np.arange(size) == k, 0, p.sum(axis=(1, 2)))
    share = share / share.sum()

    def moved(part: float) -> Floats:
        q = p.copy()
        mass = q[k, :, k] * part
        q[k, :, k] -= mass
        q[k, :, :size] += mass[:, None] * share
        return q

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        short = class_differences(moved(middle))[k] > -drop
        low, high = (middle, high) if short else (low, middle)
    return moved(high)


def class_differences(p: Floats) -> Floats:
    """ΔF1 of every class from p[y, a, b] or counts, shape (…, K, K + 1, K + 1) → (…, K)."""
    size = p.shape[-3]
    scores = []
    for axis in (-1, -2):
        confusion = p.sum(axis=axis)
        hits = np.diagonal(confusion[..., :size], axis1=-2, axis2=-1)
        total = confusion.sum(axis=-1) + confusion.sum(axis=-2)[..., :size]
        scores.append(2 * hits / np.maximum(total, 1e-300))
    difference: Floats = scores[1] - scores[0]
    return difference


def draw(p: Floats, n: int, repetitions: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Golden sets of n cases as counts, shape (repetitions, *p.shape)."""
    flat = np.maximum(p.ravel(), 0)
    return rng.multinomial(n, flat / flat.sum(), size=repetitions).reshape(repetitions, *p.shape)


def draw_clusters(
    eight: Floats, n: int, *, repeats: int, kept: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """One golden set of n cases that both models were asked several times.

    Args:
        eight: one class's cell probabilities [y = k, a = k, b = k].
        n: cases.
        repeats: answers of each model to a case.
        kept: chance that a pair of answers is the one that lies in the case; else it is drawn anew
            for cases of the same truth. At 1 all answers to a case agree, at 0 they say nothing of
            one another; the models' true F1 is the same throughout.
        rng: of the draws.

    Returns:
        Cases by [y = k, production's answers k, candidate's answers k], (2, R + 1, R + 1).
    """
    law = np.cumsum(eight.reshape(2, 4), axis=1)
    truth = (rng.random(n) < law[1, 3]).astype(int)
    within = law / law[:, 3:]

    def pairs(size: int) -> NDArray[np.int64]:
        chance = rng.random((size, n))
        found = (chance[..., None] > within[truth][None]).sum(axis=-1)
        return np.minimum(found, 3)

    answers = np.where(rng.random((repeats, n)) < kept, pairs(1), pairs(repeats))
    own = np.zeros((2, repeats + 1, repeats + 1), dtype=np.int64)
    np.add.at(own, (truth, (answers >= 2).sum(axis=0), (answers % 2).sum(axis=0)), 1)
    return own
