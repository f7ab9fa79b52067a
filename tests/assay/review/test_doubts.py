"""Suspected labels, disagreement and work orders."""

import math

import pytest

from assay.records import (
    AnswerStatus,
    Finding,
    FindingStatus,
    Prediction,
    RunContext,
    Verdict,
    VerdictKind,
)
from assay.review.suspicion import disagreements, suspected_labels
from assay.review.work_orders import work_orders
from tests.review_rig import LABELS, answer, golden_case

CASES = [golden_case(number) for number in range(30)]


def sure(label: str, share: float = 0.9) -> dict[str, float]:
    rest = (1 - share) / (len(LABELS) - 1)
    return {name: math.log(share if name == label else rest) for name in LABELS}


def test_the_label_that_both_models_hold_for_wrong_with_most_certainty_comes_first() -> None:
    model = {case.id: answer(case, case.label, sure(case.label)) for case in CASES}
    for number, share in ((4, 0.6), (9, 0.95), (11, 0.8)):
        other = LABELS[(LABELS.index(CASES[number].label) + 1) % 3]
        model[CASES[number].id] = answer(CASES[number], other, sure(other, share))
    expected = ("case-009", "case-011", "case-004")
    assert suspected_labels(CASES, [model], LABELS) == expected
    assert suspected_labels(CASES, [model, model], LABELS) == expected


def test_without_probabilities_nothing_is_known_which_is_not_that_nothing_is_suspected() -> None:
    plain = {case.id: answer(case, case.label) for case in CASES}
    assert suspected_labels(CASES, [plain, {}], LABELS) is None
    certain = {case.id: answer(case, case.label, sure(case.label)) for case in CASES}
    assert suspected_labels(CASES, [certain, plain], LABELS) == ()


def test_a_case_without_an_answer_is_not_ranked() -> None:
    model = {CASES[0].id: answer(CASES[0], "anger", sure("anger"))}
    assert suspected_labels(CASES, [model], LABELS) == ("case-000",)


def test_models_disagree_where_both_answered_differently_and_an_error_is_no_answer() -> None:
    first = {case.id: answer(case, "joy") for case in CASES[:4]}
    second = dict(first)
    second["case-001"] = answer(CASES[1], "fear")
    second["case-002"] = answer(CASES[2], None)
    second["case-003"] = Prediction(
        case_id="case-003", label=None, status=AnswerStatus.ERROR, raw=None
    )
    assert disagreements(CASES, first, second) == ("case-001", "case-002")


def verdict(kind: VerdictKind, *findings: Finding) -> Verdict:
    return Verdict(
        verdict=kind,
        summary="",
        findings=findings,
        next_steps=(),
        inputs={},
        metrics={},
        only=(),
        seed=0,
        context=RunContext(run_id="r"),
    )


def undecided(label: str | None, needed: int | None, **changes: object) -> Finding:
    settled = {
        "evaluator": "emotion_f1",
        "metric": f"emotion_f1/{label}",
        "kind": "non_inferiority",
        "status": FindingStatus.UNDECIDED,
        "reason": "",
        "label": label,
        "needed": needed,
    }
    return Finding(**(settled | changes))  # type: ignore[arg-type]


GOLDEN = {case.id: case for case in CASES}


def test_more_texts_are_asked_than_cases_needed_where_production_s_answers_are_often_wrong() -> (
    None
):
    said = {case.id: answer(case, "fear") for case in CASES[:6]}  # two of six are
    (order,) = work_orders(
        verdict(VerdictKind.INCONCLUSIVE, undecided("fear", 61), undecided("fear", 20)),
        GOLDEN,
        said,
    )
    assert (order.label, order.needed, order.asked) == ("fear", 61, 183)
    assert order.precision == pytest.approx(1 / 3)


def test_a_class_that_production_never_named_has_no_precision() -> None:
    (order,) = work_orders(verdict(VerdictKind.INCONCLUSIVE, undecided("fear", 61)), GOLDEN, {})
    assert (order.precision, order.asked) == (None, 61)


@pytest.mark.parametrize(
    "finding",
    [
        undecided("fear", 10, sample="timed request"),
        undecided("fear", 10, gating=False),
        undecided("fear", 10, status=FindingStatus.PASSED),
        undecided("fear", None),
    ],
)
def test_what_no_cases_would_settle_is_no_order(finding: Finding) -> None:
    assert work_orders(verdict(VerdictKind.INCONCLUSIVE, finding), GOLDEN, {}) == ()


@pytest.mark.parametrize("kind", [VerdictKind.PROMOTE, VerdictKind.BLOCK, VerdictKind.INVALID])
def test_only_an_inconclusive_verdict_orders_work(kind: VerdictKind) -> None:
    assert work_orders(verdict(kind, undecided("fear", 61)), GOLDEN, {}) == ()
