"""Does the judgement err as often as it says? Simulated models whose true difference is known.

    python -m bench.calibration [--repetitions 2000] [--out bench/results/calibration.json]

Five questions, over golden sets of several sizes, class structures and amounts of disagreement:

`class_tests`  a class whose F1 is worse by exactly the margin: how often does its test pass, for
               this gate, the percentile bootstrap and the BCa bootstrap? (Nominal: alpha.)
               Where few cases are discordant, also the most that any test could pass.
`clusters`     the same where each case was asked three times (`calibration_clusters`).
`power`        a class that is exactly as good: how often does its test pass?
`family`       equal candidates: how often is any class or the macro blamed? (At most alpha.)
`gates`        whole gates, on equal candidates and on candidates with one class worse by twice the
               margin: how often does each promote, and this one block?

The gate's own functions are measured, not a copy of them.
"""

import argparse
import json
import platform
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from assay.cells import Cells
from assay.noninferiority import class_resampling, macro_resampling, p_value
from assay.randomisation import MACRO, worse_p_values
from bench.attainable import attainable
from bench.calibration_clusters import clusters
from bench.peer_gates import (
    MlflowThreshold,
    bootstrap_bounds,
    mcnemar_on_accuracy,
    no_class_may_drop,
)
from bench.simulation import (
    STRUCTURES,
    class_differences,
    class_population,
    draw,
    gate_population,
)

ALPHA = 0.05
REPLICATES = 999
SIZES = (500, 2000, 5000)
MARGINS = (0.02, 0.05)
# Disagreement in units of the margin: 1.05 is nearly all losses, 3 is losses and gains mixed.
RATIOS = (1.05, 1.5, 3.0)
MINIMUM_POSITIVES = 10
LEVEL = 0.7
FEW_DISCORDANT = 5
"""Expected discordant cases below which there are too few outcomes to use the level up."""
BAND = (0.025, 0.065)
"""Where the rate of a test at the nominal 5 % should lie."""

Row = dict[str, Any]


def standing(row: Row) -> str:
    """Says where a cell of `class_tests` stands: `in the band`, `at the limit`, or `OUTSIDE`.

    It is at the limit where no test whose level holds for every mix of disagreement could reach the
    band, and this one does not exceed it.
    """
    low, high = BAND
    if low <= row["tilted"] <= high:
        return "in the band"
    return "at the limit" if row["tilted"] < low and row.get("attainable", 1) < low else "OUTSIDE"


def class_tests(repetitions: int, seed: int) -> Iterator[Row]:
    """False promotion of one class's test at the margin, against the bootstraps."""
    for place, prior, n, margin, ratio in class_cells():
        population = class_population(prior, LEVEL, margin * ratio, margin)
        rng = np.random.default_rng([seed, *place])
        passed = {"tilted": 0, "percentile": 0, "bca": 0}
        counted, discordant = 0, 0
        for eight in draw(population.cells, n, repetitions, rng):
            if not eight[1].any():
                continue
            counted += 1
            discordant += int(eight[:, 0, 1].sum() + eight[:, 1, 0].sum())
            passed["tilted"] += _passes(eight, margin, rng)
            percentile, bca = bootstrap_bounds(eight, alpha=ALPHA, replicates=REPLICATES, rng=rng)
            passed["percentile"] += percentile > -margin
            passed["bca"] += bca > -margin
        row = _class_row(prior, n, margin, ratio, counted, discordant)
        row |= {name: count / counted for name, count in passed.items()}
        if 2 * ratio * margin * prior * n < FEW_DISCORDANT:
            row["attainable"] = attainable(
                prior, n, margin=margin, ratio=ratio, f1=LEVEL, level=ALPHA
            )
        yield row


def power(repetitions: int, seed: int) -> Iterator[Row]:
    """How often a class that is exactly as good passes."""
    for place, prior, n, margin, ratio in class_cells():
        if margin != max(MARGINS):
            continue
        population = class_population(prior, LEVEL, margin * ratio, 0.0)
        rng = np.random.default_rng([seed, *place])
        drawn = [c for c in draw(population.cells, n, repetitions, rng) if c[1].any()]
        discordant = sum(int(c[:, 0, 1].sum() + c[:, 1, 0].sum()) for c in drawn)
        passed = sum(_passes(eight, margin, rng) for eight in drawn)
        yield _class_row(prior, n, margin, ratio, len(drawn), discordant) | {
            "tilted": passed / len(drawn)
        }


def class_cells() -> Iterator[tuple[tuple[int, ...], float, int, float, float]]:
    """Classes with enough positives: of 28 the median one, of seven any, of six both ends."""
    six, seven, many = (
        STRUCTURES[name] for name in ("six classes", "seven balanced", "28 classes")
    )
    priors = [float(np.median(many)), float(six.min()), float(seven[0]), float(six.max())]
    for place in product(*map(range, map(len, (priors, SIZES, MARGINS, RATIOS)))):
        prior, n, margin, ratio = (
            axis[i] for axis, i in zip((priors, SIZES, MARGINS, RATIOS), place, strict=True)
        )
        if prior * n >= MINIMUM_POSITIVES:
            yield place, prior, int(n), margin, ratio


def family(repetitions: int, seed: int) -> Iterator[Row]:
    """False blame among equal classes."""
    for place, (name, n, discordance) in enumerate(product(STRUCTURES, SIZES, (0.004, 0.11))):
        population = gate_population(STRUCTURES[name], LEVEL, discordance)
        rng = np.random.default_rng([seed, place])
        blamed = blocked = dropped = 0
        for counts in draw(population, n, repetitions, rng):
            significant, beyond = _blame(counts, max(MARGINS), rng)
            blamed += bool(significant)
            blocked += bool(beyond)
            dropped += not no_class_may_drop(counts)
        yield {"structure": name, "n": n, "discordance": discordance} | {
            "max_t": blamed / repetitions,
            "blocked": blocked / repetitions,
            "no_class_may_drop": dropped / repetitions,
        }


def gates(repetitions: int, seed: int) -> Iterator[Row]:
    """Whole gates on six classes: an equal candidate, and one with a broken class."""
    peers, margin = MlflowThreshold(), max(MARGINS)
    cases = product(SIZES, (0.04, 0.11), (0.0, 2 * margin))
    for place, (n, discordance, drop) in enumerate(cases):
        population = gate_population(
            STRUCTURES["six classes"], LEVEL, discordance, worse=4 if drop else None, drop=drop
        )
        rng = np.random.default_rng([seed, place])
        outcome = dict.fromkeys(("assay", "assay_block", "no_drop", "mcnemar", "mlflow"), 0)
        for counts in draw(population, n, repetitions, rng):
            outcome["assay"] += _promotes(counts, margin, rng)
            outcome["assay_block"] += bool(_blame(counts, margin, rng)[1])
            outcome["no_drop"] += no_class_may_drop(counts)
            outcome["mcnemar"] += mcnemar_on_accuracy(counts, alpha=ALPHA)
            macro = float(class_differences(counts.astype(float)).mean())
            outcome["mlflow"] += peers.promotes(0.5 + macro, 0.5)
        rates = {key: count / repetitions for key, count in outcome.items()}
        yield {"n": n, "discordance": discordance, "true_drop": drop} | rates


def _passes(eight: np.ndarray, margin: float, rng: np.random.Generator) -> bool:
    seed = np.random.SeedSequence(int(rng.integers(2**63)))
    resampling = class_resampling(eight)
    return p_value(resampling, margin=margin, replicates=REPLICATES, seed=seed) <= ALPHA


def _promotes(counts: np.ndarray, margin: float, rng: np.random.Generator) -> bool:
    cells = _cells(counts)
    classes = all(_passes(cells.of_class(label), margin, rng) for label in cells.labels)
    seed = np.random.SeedSequence(int(rng.integers(2**63)))
    macro = macro_resampling(cells)
    return classes and p_value(macro, margin=0.03, replicates=REPLICATES, seed=seed) <= ALPHA


def _blame(counts: np.ndarray, margin: float, rng: np.random.Generator) -> tuple[int, int]:
    """How many of classes and macro are significantly worse, and how many beyond their margin."""
    cells = _cells(counts)
    seed = np.random.SeedSequence(int(rng.integers(2**63)))
    p = worse_p_values(cells, tested=[*cells.labels, MACRO], replicates=REPLICATES, seed=seed)
    drops = class_differences(counts.astype(float))
    differences = [*drops, drops.mean()]
    limits = [margin] * len(drops) + [0.03]
    worse = [value <= ALPHA for value in p.values()]
    beyond = [w and d <= -limit for w, d, limit in zip(worse, differences, limits, strict=True)]
    return sum(worse), sum(beyond)


def _cells(counts: np.ndarray) -> Cells:
    return Cells(labels=tuple(f"c{k:02}" for k in range(len(counts))), counts=counts)


def _class_row(
    prior: float, n: int, margin: float, ratio: float, counted: int, discordant: int
) -> Row:
    return {
        "n": n,
        "prior": round(prior, 4),
        "positives": round(n * prior, 1),
        "margin": margin,
        "ratio": ratio,
        "discordant": round(discordant / counted, 1),
        "repetitions": counted,
    }


def main() -> None:
    """Runs the study and writes its figures after each question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=20240917)
    parser.add_argument("--out", type=Path, default=Path("bench/results/calibration.json"))
    parser.add_argument("--only", nargs="*", help="class_tests, clusters, family, gates, power")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    result: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    result |= {
        "alpha": ALPHA,
        "repetitions": options.repetitions,
        "replicates": REPLICATES,
        "seed": options.seed,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    for number, study in enumerate((class_tests, family, gates, power, clusters)):
        if options.only and study.__name__ not in options.only:
            continue
        rows = []
        for row in study(options.repetitions, options.seed + number):
            rows.append(row)
            print(study.__name__, row, flush=True)
        result[study.__name__] = rows
        result.setdefault("seconds", {})[study.__name__] = round(time.monotonic() - began)
        began = time.monotonic()
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
