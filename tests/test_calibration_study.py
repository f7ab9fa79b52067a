"""The calibration study in small: the error rates of the judgement on models whose truth is known.

The full one is `python -m bench.calibration`; its figures are in docs/statistics.md.
"""

import json

import numpy as np
import pytest

from assay.cells import Cells
from assay.noninferiority import class_resampling, macro_resampling, p_value
from assay.randomisation import MACRO, worse_p_values
from bench.attainable import attainable
from bench.calibration import BAND, LEVEL, class_cells, standing
from bench.calibration_report import PAGE, RESULTS, filled
from bench.peer_gates import bootstrap_bounds, mcnemar_on_accuracy, no_class_may_drop
from bench.simulation import (
    STRUCTURES,
    class_differences,
    class_population,
    draw,
    gate_population,
)

ALPHA, REPLICATES, REPETITIONS = 0.05, 499, 600


def passes(eight: np.ndarray, margin: float, number: int) -> bool:
    seed = np.random.SeedSequence(number)
    resampling = class_resampling(eight)
    return p_value(resampling, margin=margin, replicates=REPLICATES, seed=seed) <= ALPHA


def at_the_margin(n: int, prior: float, margin: float, ratio: float) -> np.ndarray:
    population = class_population(prior, 0.7, margin * ratio, margin)
    assert population.difference == pytest.approx(-margin)
    return draw(population.cells, n, REPETITIONS, np.random.default_rng(int(n * prior)))


# About 7, 20 and 100 discordant cases. Three standard errors of 600 repetitions are 2.7 points.
@pytest.mark.parametrize(
    ("n", "prior", "margin", "ratio"),
    [(500, 0.121, 0.02, 3.0), (2000, 0.036, 0.05, 3.0), (2000, 0.335, 0.05, 1.5)],
)
def test_false_promotion_at_the_margin_is_what_alpha_says(n, prior, margin, ratio):
    drawn = at_the_margin(n, prior, margin, ratio)
    rate = np.mean([passes(eight, margin, i) for i, eight in enumerate(drawn)])
    assert 0.02 <= rate <= 0.08


def test_where_models_hardly_disagree_the_bootstraps_promote_and_this_test_does_not():
    margin = 0.05
    drawn = at_the_margin(500, 0.036, margin, 1.5)
    rng = np.random.default_rng(1)
    bounds = [bootstrap_bounds(e, alpha=ALPHA, replicates=REPLICATES, rng=rng) for e in drawn]
    percentile, bca = (
        np.mean([bound > -margin for bound in each]) for each in zip(*bounds, strict=True)
    )
    ours = np.mean([passes(eight, margin, i) for i, eight in enumerate(drawn)])
    assert percentile > 0.12
    assert bca > 0.12
    assert ours <= 0.065


def test_the_macro_is_calibrated_too():
    population = gate_population(STRUCTURES["six classes"], 0.7, 0.08, worse=0, drop=0.12)
    margin = -float(class_differences(population).mean())
    passed = []
    for i, counts in enumerate(draw(population, 800, 400, np.random.default_rng(2))):
        cells = Cells(labels=tuple("abcdef"), counts=counts)
        seed = np.random.SeedSequence(i)
        p = p_value(macro_resampling(cells), margin=margin, replicates=REPLICATES, seed=seed)
        passed.append(p <= ALPHA)
    assert 0.02 <= np.mean(passed) <= 0.085


def test_equal_candidates_are_blamed_at_most_as_often_as_alpha_says_where_point_gates_block_most():
    population = gate_population(STRUCTURES["28 classes"], 0.7, 0.05)
    blamed, dropped = [], []
    for i, counts in enumerate(draw(population, 1000, 200, np.random.default_rng(3))):
        cells = Cells(labels=tuple(f"c{k:02}" for k in range(28)), counts=counts)
        tested = [label for label, n in cells.support().items() if n]
        p = worse_p_values(
            cells, tested=[*tested, MACRO], replicates=REPLICATES, seed=np.random.SeedSequence(i)
        )
        blamed.append(min(p.values()) <= ALPHA)
        dropped.append(not no_class_may_drop(counts))
    assert np.mean(blamed) <= 0.10
    assert np.mean(dropped) > 0.9


def test_a_gate_on_accuracy_promotes_a_broken_class():
    population = gate_population(STRUCTURES["six classes"], 0.7, 0.04, worse=5, drop=0.15)
    drawn = draw(population, 1000, 200, np.random.default_rng(4))
    assert np.mean([mcnemar_on_accuracy(counts, alpha=ALPHA) for counts in drawn]) > 0.5
    ours = [
        passes(Cells(labels=tuple("abcdef"), counts=counts).of_class("f"), 0.05, i)
        for i, counts in enumerate(drawn)
    ]
    assert np.mean(ours) <= 0.03


def test_the_page_shows_the_recorded_figures():
    text = PAGE.read_text(encoding="utf-8")
    assert filled(text) == text, "python -m bench.calibration_report"


def test_the_recorded_study_holds_what_the_gate_promises():
    study = json.loads((RESULTS / "calibration.json").read_text())
    assert study["repetitions"] >= 2000
    rows = study["class_tests"]
    assert len(rows) == len(list(class_cells()))
    assert {standing(row) for row in rows} <= {"in the band", "at the limit"}
    assert max(row["tilted"] for row in rows) <= BAND[1]
    informed = [row["tilted"] for row in rows if row["discordant"] >= 5]
    assert len(informed) > 50
    assert min(informed) >= BAND[0]
    # 0.5 points is one standard error of 2,000 repetitions.
    assert max(row["max_t"] for row in study["family"]) <= 0.05 + 3 * 0.005
    repeated = study["clusters"]
    assert {row["kept"] for row in repeated} == {1.0, 0.9, 0.5, 0.0}
    assert all(BAND[0] <= row["tilted"] <= BAND[1] for row in repeated)


def test_the_recorded_speed_is_what_was_asked_for():
    speed = json.loads((RESULTS / "judgement.json").read_text())
    small, _, many = (row["judged_s"] for row in speed.values() if isinstance(row, dict))
    assert small < 2
    assert many < 10
    assert speed["large_over_small"] <= 1.5
    assert speed["loop_over_whole_judgement"] >= 100
    assert speed["peak_memory_mb"] < 300


def test_the_limit_of_a_cell_is_what_was_recorded():
    rows = json.loads((RESULTS / "calibration.json").read_text())["class_tests"]
    row = next(r for r in rows if r["margin"] == 0.05 and r["ratio"] == 1.05 and r["n"] == 500)
    found = attainable(
        row["prior"], row["n"], margin=0.05, ratio=row["ratio"], f1=LEVEL, level=ALPHA
    )
    assert found == pytest.approx(row["attainable"], abs=0.001)
    assert found < BAND[0]


def test_where_hardly_any_case_is_discordant_no_test_and_so_not_ours_can_use_its_level():
    margin, n, prior, ratio = 0.02, 500, 0.1429, 1.05
    limit = attainable(
        prior, n, margin=margin, ratio=ratio, f1=LEVEL, level=ALPHA, quantiles=(0.5,)
    )
    assert limit < BAND[0]
    drawn = at_the_margin(n, prior, margin, ratio)
    rate = np.mean([passes(eight, margin, i) for i, eight in enumerate(drawn)])
    # Three standard errors of 600 repetitions at 1 % are 1.2 points.
    assert rate <= limit + 0.013


def test_with_more_discordant_cases_the_limit_is_the_level_itself():
    limit = attainable(0.0254, 500, margin=0.05, ratio=3.0, f1=LEVEL, level=ALPHA, quantiles=(0.5,))
    assert BAND[0] < limit <= ALPHA
