"""Several answers to one case: a cluster that is drawn, tilted and exchanged as a whole."""

from dataclasses import replace

import numpy as np
import pytest

from assay.cells import Cells, count_cells
from assay.noninferiority import (
    class_resampling,
    compare,
    macro_level_resampling,
    macro_resampling,
    standard_error,
)
from assay.power import observed_variance
from assay.randomisation import MACRO, worse_p_values
from assay.relabels import relabelled
from bench.calibration_clusters import clusters, pooled
from bench.simulation import class_population, draw_clusters

LABELS = ("anger", "fear", "joy")
OPTIONS = {"margin": 0.05, "alpha": 0.05, "replicates": 999}


def answers(rng: np.random.Generator, truth: list[str], accuracy: float) -> dict[str, str]:
    return {
        f"c{i}": label if rng.random() < accuracy else str(rng.choice(LABELS))
        for i, label in enumerate(truth)
    }


def asked(times: int, *, each: int = 120, drop: float = 0.0) -> Cells:
    """Cells of models that answer afresh each time; the candidate is worse by about `drop`."""
    rng = np.random.default_rng(5)
    truth = [label for label in LABELS for _ in range(each)]
    return count_cells(
        LABELS,
        {f"c{i}": label for i, label in enumerate(truth)},
        [answers(rng, truth, 0.9) for _ in range(times)],
        [answers(rng, truth, 0.9 - drop) for _ in range(times)],
    )


def copied(cells: Cells, times: int) -> Cells:
    """The same answers, given several times over."""
    kinds = cells.kinds()
    more = replace(kinds, production=times * kinds.production, candidate=times * kinds.candidate)
    return replace(cells, counts=times * cells.counts, repeats=times, clusters=more)


def test_the_same_answers_given_three_times_say_exactly_what_they_say_once():
    once = asked(1)
    thrice = copied(once, 3)
    seed = np.random.SeedSequence(1)
    for label in LABELS:
        first, second = (class_resampling(cells.of_class(label)) for cells in (once, thrice))
        assert standard_error(first) == pytest.approx(standard_error(second))
        assert compare(first, seed=np.random.SeedSequence(2), **OPTIONS) == pytest.approx(
            compare(second, seed=np.random.SeedSequence(2), **OPTIONS)
        )
        assert observed_variance(once.of_class(label)) == pytest.approx(
            observed_variance(thrice.of_class(label))
        )
    for build in (macro_resampling, lambda cells: macro_level_resampling(cells, "candidate")):
        assert standard_error(build(once)) == pytest.approx(standard_error(build(thrice)))
    tested = [*LABELS, MACRO]
    assert worse_p_values(once, tested=tested, replicates=999, seed=seed) == pytest.approx(
        worse_p_values(thrice, tested=tested, replicates=999, seed=seed)
    )


def test_answers_that_vary_make_the_difference_steadier_but_not_as_more_cases_would():
    errors = {times: standard_error(macro_resampling(asked(times))) for times in (1, 4)}
    assert 0.5 * errors[1] < errors[4] < 0.75 * errors[1]


def test_exchanging_the_models_of_a_case_exchanges_all_its_answers():
    cells = asked(3, drop=0.25)
    p = worse_p_values(
        cells, tested=[*LABELS, MACRO], replicates=999, seed=np.random.SeedSequence(3)
    )
    assert max(p.values()) <= 0.05
    equal = worse_p_values(
        asked(3), tested=[*LABELS, MACRO], replicates=999, seed=np.random.SeedSequence(3)
    )
    assert min(equal.values()) > 0.05


def test_a_million_cases_of_three_answers_are_drawn_at_the_cost_of_their_kinds():
    population = class_population(0.1, 0.7, 0.1, 0.05).cells
    own = draw_clusters(population, 1_000_000, repeats=3, kept=0.5, rng=np.random.default_rng(1))
    drawn = class_resampling(own)
    assert len(drawn.probabilities) <= 2 * 4 * 4
    assert drawn.n == 1_000_000


@pytest.mark.parametrize("harm", [True, False])
def test_relabelling_moves_the_cases_on_which_the_models_differ_most_first(harm):
    own = np.zeros((2, 4, 4), dtype=int)
    own[1, 1, 2] = own[1, 2, 1] = 3
    own[1, 0, 3] = own[1, 3, 0] = 2
    own[1, 3, 3] = 50
    changed = relabelled(own, 2, harm=harm)
    whole = (0, 3) if harm else (3, 0)
    assert changed[0, whole[0], whole[1]] == 2
    assert changed[1].sum() == own[1].sum() - 2
    assert changed.sum() == own.sum()


# Three standard errors of 400 repetitions are 3.3 points.
def test_three_answers_that_nearly_always_agree_do_not_pass_a_class_more_often_than_the_level():
    population = class_population(0.15, 0.7, 0.15, 0.05)
    assert population.difference == pytest.approx(-0.05)
    rng = np.random.default_rng(11)
    passed = {"cases": 0, "answers": 0}
    for number in range(400):
        own = draw_clusters(population.cells, 1000, repeats=3, kept=0.9, rng=rng)
        for name, counts in (("cases", own), ("answers", pooled(own))):
            found = compare(
                class_resampling(counts), seed=np.random.SeedSequence(number), **OPTIONS
            )
            passed[name] += found.p <= 0.05
    assert 0.02 <= passed["cases"] / 400 <= 0.083
    # The mistake that this guards from: three answers to a case are not three cases.
    assert passed["answers"] / 400 > 0.10


def test_the_study_holds_both_ways_of_resampling_against_the_truth():
    row = next(clusters(60, 1, replicates=999))
    assert row["kept"] == 1.0
    # Answers that never vary have nothing to draw anew.
    assert row["spread_whole_cases"] == pytest.approx(row["spread_cases_then_answers"])
