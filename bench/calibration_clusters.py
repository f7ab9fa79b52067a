"""Several answers to one case: does the test of a class still err as often as it says?

Decides the cells of that part of the calibration study: a class that is worse by exactly the
margin, asked three times, whose answers within a case agree more or less. Beside this gate stands
a test that takes every answer for a case of its own. And the spread of the difference, as
resampling whole cases states it and as resampling cases and then answers within them does, is held
against the spread between golden sets.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from assay.noninferiority import class_resampling, p_value
from assay.tilting import mean_difference
from bench.simulation import Floats, class_population, draw_clusters

Row = dict[str, Any]

REPEATS = 3
_MARGIN, _RATIO, _LEVEL, _N = 0.05, 3.0, 0.7, 1000
_SPREAD_SETS, _SPREAD_DRAWS = 200, 200


def clusters(
    repetitions: int, seed: int, *, alpha: float = 0.05, replicates: int = 999
) -> Iterator[Row]:
    """False promotion of a class at the margin, by how much the answers to a case agree."""
    cells = product((0.05, 0.15, 0.35), (1.0, 0.9, 0.5, 0.0))
    for place, (prior, kept) in enumerate(cells):
        population = class_population(prior, _LEVEL, _MARGIN * _RATIO, _MARGIN).cells
        rng = np.random.default_rng([seed, place])
        sets = [
            draw_clusters(population, _N, repeats=REPEATS, kept=kept, rng=rng)
            for _ in range(repetitions)
        ]
        passed = {"tilted": 0, "answers_as_cases": 0}
        for own in sets:
            for name, counts in (("tilted", own), ("answers_as_cases", pooled(own))):
                test = np.random.SeedSequence(int(rng.integers(2**63)))
                p = p_value(
                    class_resampling(counts), margin=_MARGIN, replicates=replicates, seed=test
                )
                passed[name] += p <= alpha
        yield (
            {"n": _N, "positives": _N * prior, "repeats": REPEATS, "kept": kept}
            | {name: count / repetitions for name, count in passed.items()}
            | _spreads(sets, rng)
        )


def pooled(own: np.ndarray) -> np.ndarray:
    """Every answer as a case of its own, (2, 2, 2), the answers of a case paired by their order.

    Production's and the candidate's answers are paired so that as many as can agree do.
    """
    repeats = own.shape[1] - 1
    eight = np.zeros((2, 2, 2), dtype=np.int64)
    for t, i, j in zip(*np.nonzero(own), strict=True):
        cases, both = own[t, i, j], min(i, j)
        eight[t, 1, 1] += cases * both
        eight[t, 1, 0] += cases * (i - both)
        eight[t, 0, 1] += cases * (j - both)
        eight[t, 0, 0] += cases * (repeats - max(i, j))
    return eight


def _spreads(sets: list[np.ndarray], rng: np.random.Generator) -> dict[str, float]:
    """Standard error that each way of resampling states, over the spread between golden sets."""
    true = float(np.std([_differences(_totals(own.astype(float))) for own in sets]))
    stated: dict[str, list[float]] = {"whole_cases": [], "cases_then_answers": []}
    for own in sets[:_SPREAD_SETS]:
        drawn = rng.multinomial(own.sum(), (own / own.sum()).ravel(), size=_SPREAD_DRAWS)
        drawn = drawn.reshape(-1, *own.shape)
        stated["whole_cases"].append(float(np.std(_differences(_totals(drawn.astype(float))))))
        again = np.stack([_answers_anew(one, rng) for one in drawn])
        stated["cases_then_answers"].append(float(np.std(_differences(_totals(again)))))
    return {f"spread_{name}": float(np.mean(values)) / true for name, values in stated.items()}


def _answers_anew(own: np.ndarray, rng: np.random.Generator) -> Floats:
    """Draws the answers of every case again from its own ones, each model's by themselves."""
    repeats = own.shape[1] - 1
    t, i, j = (np.repeat(axis, own.ravel()) for axis in np.indices(own.shape).reshape(3, -1))
    found = np.zeros(own.shape)
    drawn = (rng.binomial(repeats, said / repeats) for said in (i, j))
    np.add.at(found, (t, *drawn), 1.0)
    return found


def _totals(own: Floats) -> Floats:
    """The five totals of a class, as `tilting` wants them, from shape (…, 2, R + 1, R + 1)."""
    share = np.arange(own.shape[-1]) / (own.shape[-1] - 1)
    said_a, said_b = (own * share[:, None]).sum(axis=(-2, -1)), (own * share).sum(axis=(-2, -1))
    support = own[..., 1, :, :].sum(axis=(-2, -1))
    parts = [support, said_a[..., 1], said_a.sum(axis=-1), said_b[..., 1], said_b.sum(axis=-1)]
    return np.stack(parts, axis=-1)


def _differences(totals: Floats) -> Floats:
    return mean_difference(totals)
