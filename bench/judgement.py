"""How long the judgement of the labels takes, and what that is compared with doing it by case.

    python -m bench.judgement [--out bench/results/judgement.json]

Times, in one run on one machine, every comparison and floor of `emotion_f1` from counts at 10,000
draws: 7 classes with 500 and with 1,000,000 cases, and 28 classes with 5,000. One bootstrap of
10,000 replicates that each call `sklearn.metrics.f1_score` (timed on a few and multiplied) is
compared with one resampling from counts, and with the whole judgement, which takes 27 of them.
Times are the processor's, so that other work on the machine does not count (set OMP_NUM_THREADS=1,
or threads are added up). Memory is the process's peak while it judged.
"""

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from assay.cells import Cells
from assay.noninferiority import macro_resampling
from assay.tilting import class_differences, resampled_sums
from bench.simulation import STRUCTURES, draw, gate_population
from evaluators.base import Rules
from evaluators.f1_findings import F1Rules, comparisons
from evaluators.f1_floors import floor_findings

REPLICATES = 10_000
SETTINGS = {
    "7 classes, 500 cases": ("seven balanced", 500),
    "7 classes, 1,000,000 cases": ("seven balanced", 1_000_000),
    "28 classes, 5,000 cases": ("28 classes", 5_000),
}
_LOOPED = 40


def judged_in_s(cells: Cells) -> float:
    """Processor seconds for every comparison and floor."""
    rules = F1Rules(
        evaluator="emotion_f1",
        labels=cells.labels,
        margins=dict.fromkeys(cells.labels, 0.05),
        floors=dict.fromkeys(cells.labels, 0.3),
        macro_margin=0.03,
        macro_floor=0.5,
        minimum_support=50,
        advisory=frozenset(),
        paired=True,
        rules=Rules(alpha=0.05, replicates=REPLICATES, stratum="core", seed=1, first_release=False),
    )
    began = time.process_time()
    comparisons(cells, rules)
    floor_findings(cells, rules)
    return time.process_time() - began


def looped_in_s(cells: Cells) -> float:
    """Processor seconds for as many replicates of both models' F1, each by scikit-learn."""
    truth, first, second = np.repeat(
        np.array(np.nonzero(cells.counts)), cells.counts[cells.counts > 0], axis=1
    )
    rng = np.random.default_rng(1)
    labels = list(range(len(cells.labels)))
    began = time.process_time()
    for _ in range(_LOOPED):
        chosen = rng.integers(0, len(truth), len(truth))
        for answers in (first, second):
            f1_score(truth[chosen], answers[chosen], labels=labels, average=None, zero_division=0)
    return (time.process_time() - began) * REPLICATES / _LOOPED


def resampled_in_s(cells: Cells) -> float:
    """Processor seconds for one resampling of both models' F1, from counts."""
    drawn, rng = macro_resampling(cells), np.random.default_rng(1)
    began = time.process_time()
    class_differences(resampled_sums(drawn.n * drawn.probabilities, drawn.totals, REPLICATES, rng))
    return time.process_time() - began


def population(structure: str, n: int) -> Cells:
    """A candidate as good as production that disagrees on 8 % of the cases."""
    counts = draw(
        gate_population(STRUCTURES[structure], 0.7, 0.08), n, 1, np.random.default_rng(7)
    )[0]
    return Cells(labels=tuple(f"c{k:02}" for k in range(len(counts))), counts=counts)


def main() -> None:
    """Times every setting three times, keeps the fastest, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench/results/judgement.json"))
    options = parser.parse_args()
    result: dict[str, Any] = {"replicates": REPLICATES, "numpy": np.__version__}
    for name, (structure, n) in SETTINGS.items():
        cells = population(structure, n)
        result[name] = {"judged_s": round(min(judged_in_s(cells) for _ in range(3)), 3)}
    # Kilobytes on Linux; scikit-learn's loop is timed afterwards, so that it does not count.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result["peak_memory_mb"] = round(peak / 1024)
    small, large = (result[name] for name in list(SETTINGS)[:2])
    result["large_over_small"] = round(large["judged_s"] / small["judged_s"], 2)
    fewest = population("seven balanced", 500)
    looped = looped_in_s(fewest)
    small["looped_over_scikit_learn_s"] = round(looped, 1)
    small["resampled_once_s"] = round(min(resampled_in_s(fewest) for _ in range(3)), 3)
    result["loop_over_one_resampling"] = round(looped / small["resampled_once_s"])
    result["loop_over_whole_judgement"] = round(looped / small["judged_s"])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
