"""Is any class shown to be worse? The test behind every `block`.

Decides, for all classes and the macro together, the adjusted p-value of "the candidate is no
worse": were the two models exchangeable, swapping their answers to a case would change nothing
(approximate randomisation: Noreen 1989; for F1: Yeh 2000). The drops are standardised and compared
with the largest drop of each replicate, step by step (max-T: Westfall & Young 1993, algorithm
2.8), which keeps the chance of blaming any of many equal classes at alpha. Only discordant cases
can be swapped, all answers to a case at once, and they enter as counts, so the cost does not grow
with the number of cases.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from assay.cells import Cells, Counts, Floats

MACRO = "macro"
"""Name of the mean over all classes among the tested quantities."""

_TOLERANCE = 1e-9

_NORMAL_FROM = 100
"""Coins from which their heads are drawn as normal: symmetric as they are, nothing can be seen."""


def worse_p_values(
    cells: Cells, *, tested: Sequence[str], replicates: int, seed: np.random.SeedSequence
) -> Mapping[str, float]:
    """Adjusted one-sided p-values, by class (and `macro`), that the candidate is worse.

    Args:
        cells: the paired answers.
        tested: labels that form the family, and `macro` where it is part of it.
        replicates: number of random swaps.
        seed: of the swaps.

    Returns:
        For each tested name a p-value in (0, 1]; 1 where no swap can change anything.
    """
    observed, swapped = _drops(cells, replicates, np.random.default_rng(seed))
    names = [*cells.labels, MACRO]
    columns = [names.index(name) for name in tested]
    observed, swapped = observed[columns], swapped[:, columns]
    spread = swapped.std(axis=0)
    free = spread > _TOLERANCE
    scale = np.where(free, spread, 1.0)
    statistic = np.where(free, observed / scale, -np.inf)
    adjusted = _step_down(statistic, swapped / scale)
    adjusted[~free] = 1.0
    return {name: float(value) for name, value in zip(tested, adjusted, strict=True)}


def _step_down(statistic: Floats, null: Floats) -> Floats:
    order = np.argsort(-statistic, kind="stable")
    # Column j: the largest null statistic among hypothesis j and all that look less significant.
    rest = np.maximum.accumulate(null[:, order[::-1]], axis=1)[:, ::-1]
    reached = (rest >= statistic[order] - _TOLERANCE).sum(axis=0)
    p = (1 + reached) / (len(null) + 1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p)
    return adjusted


def _drops(cells: Cells, replicates: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """F1(production) − F1(candidate), by class and macro: observed, and after random swaps."""
    size = len(cells.labels)
    pairs, straight, both = _exchangeable(cells)
    # Replicates of the number of cases in which the first answers of the pair are production's.
    drawn = _coins(both, replicates, rng)
    shift = np.concatenate([straight[None, :], drawn]) - straight
    first, second = pairs[:, 1:].reshape(len(pairs), 2, size + 1).swapaxes(0, 1)
    said = (first - second)[:, :size] / cells.repeats
    hits = said * (pairs[:, :1] == np.arange(size))
    scores = {}
    for role, sign in (("production", 1.0), ("candidate", -1.0)):
        confusion = cells.confusion(role) / cells.repeats
        support = confusion.sum(axis=1).astype(float)
        right = np.diagonal(confusion) + sign * (shift @ hits)
        predicted = confusion.sum(axis=0)[:size] + sign * (shift @ said)
        scores[role] = 2 * right / np.maximum(support + predicted, 1e-300)
    drop = scores["production"] - scores["candidate"]
    drops: Floats = np.column_stack([drop, drop.mean(axis=1)])
    return drops[0], drops[1:]


def _exchangeable(cells: Cells) -> tuple[Counts, Counts, Counts]:
    """Discordant cases by what would change, were the two models' answers to a case exchanged.

    Returns:
        One row a pair of answers (the truth, then how often each answer was given by the one model
        and by the other); how many cases have the first of the pair from production; and how many
        there are.
    """
    kinds = cells.kinds()
    width = kinds.production.shape[1]
    gap: Counts = kinds.production - kinds.candidate
    moved = gap.any(axis=1)
    # The pair begins with the answers that name the earlier label more often.
    leading = gap[moved][np.arange(int(moved.sum())), (gap[moved] != 0).argmax(axis=1)] > 0
    a, b = kinds.production[moved], kinds.candidate[moved]
    swap = ~leading[:, None]
    rows = np.concatenate(
        [kinds.truth[moved, None], np.where(swap, b, a), np.where(swap, a, b)], axis=1
    )
    pairs, place = np.unique(rows, axis=0, return_inverse=True)
    place, cases = place.ravel(), kinds.cases[moved]
    straight = np.bincount(place, weights=cases * leading, minlength=len(pairs))
    both = np.bincount(place, weights=cases, minlength=len(pairs))
    return pairs.reshape(-1, 1 + 2 * width), straight.astype(int), both.astype(int)


def _coins(coins: Counts, replicates: int, rng: np.random.Generator) -> Floats:
    """Heads among so many fair coins, shape (replicates, len(coins))."""
    few = coins < _NORMAL_FROM
    heads = np.empty((replicates, len(coins)))
    heads[:, few] = rng.binomial(coins[few], 0.5, size=(replicates, int(few.sum())))
    many = coins[~few]
    heads[:, ~few] = many / 2 + np.sqrt(many) / 2 * rng.standard_normal((replicates, len(many)))
    return heads
