import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score

from assay.cells import Cells, count_cells
from assay.errors import EvaluatorError
from assay.records import INVALID_LABEL

LABELS = ("anger", "fear", "joy")
ANSWERS = st.sampled_from([*LABELS, None])
CASES = st.lists(st.tuples(st.sampled_from(LABELS), ANSWERS, ANSWERS), min_size=1, max_size=60)


def counted(cases: list[tuple[str, str | None, str | None]], labels=LABELS) -> Cells:
    ids = [f"c{i}" for i in range(len(cases))]
    truth, production, candidate = (
        dict(zip(ids, column, strict=True)) for column in zip(*cases, strict=True)
    )
    return count_cells(labels, truth, production, candidate)


@settings(deadline=None)
@given(CASES)
def test_f1_is_what_scikit_learn_computes(cases):
    cells = counted(cases)
    truth = [case[0] for case in cases]
    for role, column in (("production", 1), ("candidate", 2)):
        answers = [case[column] or INVALID_LABEL for case in cases]
        scores = f1_score(truth, answers, labels=list(LABELS), average=None, zero_division=0)
        expected = {k: s for k, s in zip(LABELS, scores, strict=True) if k in truth}
        assert cells.f1(role) == pytest.approx(expected)
        matrix = confusion_matrix(truth, answers, labels=[*LABELS, INVALID_LABEL])[:3]
        assert np.array_equal(cells.confusion(role), matrix)


@settings(deadline=None)
@given(CASES, st.randoms(use_true_random=False))
def test_neither_the_order_of_cases_nor_of_labels_matters(cases, random):
    shuffled, labels = list(cases), list(LABELS)
    random.shuffle(shuffled)
    random.shuffle(labels)
    first, second = counted(cases), counted(shuffled, labels)
    assert first.labels == second.labels
    assert np.array_equal(first.counts, second.counts)


@settings(deadline=None)
@given(CASES)
def test_the_eight_cells_of_a_class_hold_every_case_once(cases):
    cells = counted(cases)
    for label in LABELS:
        eight = cells.of_class(label)
        assert eight.sum() == len(cases)
        assert eight[1, 1, 0] == sum(c == (label, label, c[2]) and c[2] != label for c in cases)
        assert eight[0, 0, 1] == sum(
            c[0] != label and c[1] != label and c[2] == label for c in cases
        )


def test_a_class_without_a_case_has_no_f1_and_then_there_is_no_macro():
    cells = counted([("joy", "joy", "joy"), ("anger", "joy", "anger")])
    assert set(cells.f1("candidate")) == {"anger", "joy"}
    assert cells.macro("candidate") is None


def test_a_class_never_predicted_has_f1_zero():
    cells = counted([("joy", "anger", None), ("anger", "anger", "anger"), ("fear", "fear", "fear")])
    assert cells.f1("candidate")["joy"] == 0.0
    assert cells.macro("candidate") == pytest.approx(2 / 3)


@settings(max_examples=20, deadline=None)
@given(CASES)
def test_flips_are_the_two_models_answers_against_each_other(cases):
    changed = sum(production != candidate for _, production, candidate in cases)
    matrix = counted(cases).flips()
    assert matrix.sum() - np.trace(matrix) == changed


@pytest.mark.parametrize("candidate", [{}, {"c0": "hapiness"}])
def test_an_unanswered_case_or_a_foreign_label_is_refused(candidate):
    with pytest.raises(EvaluatorError, match=r"c0|hapiness"):
        count_cells(LABELS, {"c0": "joy"}, {"c0": "joy"}, candidate)


RUNS = st.integers(2, 4).flatmap(
    lambda times: st.lists(
        st.tuples(
            st.sampled_from(LABELS),
            st.lists(ANSWERS, min_size=times, max_size=times),
            st.lists(ANSWERS, min_size=times, max_size=times),
        ),
        min_size=1,
        max_size=30,
    )
)
"""Cases of several answers each: true label, production's answers, the candidate's."""


def repeated(cases) -> Cells:
    ids = [f"c{i}" for i in range(len(cases))]
    times = len(cases[0][1])
    truth = dict(zip(ids, (case[0] for case in cases), strict=True))
    production, candidate = (
        [dict(zip(ids, (c[side][run] for c in cases), strict=True)) for run in range(times)]
        for side in (1, 2)
    )
    return count_cells(LABELS, truth, production, candidate)


@settings(deadline=None)
@given(RUNS)
def test_f1_of_several_answers_a_case_is_that_of_all_answers_and_a_case_stays_one(cases):
    cells = repeated(cases)
    flat = [
        (truth, a, b) for truth, first, second in cases for a, b in zip(first, second, strict=True)
    ]
    alone = counted(flat)
    for role in ("production", "candidate"):
        assert cells.f1(role) == pytest.approx(alone.f1(role))
        assert cells.accuracy(role) == pytest.approx(alone.accuracy(role))
    assert cells.n == len(cases)
    assert sum(cells.support().values()) == len(cases)
    assert sum(cells.kinds().cases) == len(cases)
    for label in cells.support():
        assert cells.of_class(label).sum() == len(cases)


@settings(deadline=None)
@given(RUNS, st.randoms(use_true_random=False))
def test_the_order_of_a_cases_answers_means_nothing(cases, random):
    shuffled = [
        (truth, random.sample(first, len(first)), random.sample(second, len(second)))
        for truth, first, second in cases
    ]
    ours, theirs = repeated(cases).kinds(), repeated(shuffled).kinds()
    for name in ("truth", "production", "candidate", "cases"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))


def test_models_that_were_asked_a_different_number_of_times_are_not_compared():
    once, twice = [{"c0": "joy"}], [{"c0": "joy"}, {"c0": "fear"}]
    with pytest.raises(EvaluatorError, match="production answered 1 times and the candidate 2"):
        count_cells(LABELS, {"c0": "joy"}, once, twice)
