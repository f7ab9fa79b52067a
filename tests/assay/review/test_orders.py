"""What a verdict on the macro average and on slices orders, and how much chance must bring."""

import math

import pytest

from assay.power import observed_variance
from assay.records import AnswerStatus, Finding, FindingStatus, GoldenCase, Prediction, VerdictKind
from assay.review.allocation import core_cells, spread_over_classes
from assay.review.core_share import random_needed, random_texts
from assay.review.work_orders import WorkOrder, work_orders
from tests.assay.review.test_doubts import undecided, verdict
from tests.review_rig import LABELS, answer, draw, golden_case, pool, request

Answers = dict[str, Prediction]


def cases(*, fears: int) -> list[GoldenCase]:
    """Sixty joys, sixty angers and so many fears, all of the core."""
    counts = {"joy": 60, "anger": 60, "fear": fears}
    labels = [label for label in LABELS for _ in range(counts[label])]
    return [golden_case(at, label=label) for at, label in enumerate(labels)]


def two_models(golden: list[GoldenCase]) -> tuple[Answers, Answers]:
    """Production is right; the candidate calls every other fear anger."""
    production = {case.id: answer(case, case.label) for case in golden}
    candidate = dict(production)
    for case in [c for c in golden if c.label == "fear"][::2]:
        candidate[case.id] = answer(case, "anger")
    return production, candidate


def macro(needed: int) -> Finding:
    return undecided(None, needed, metric="emotion_f1/macro")


def by_id(golden: list[GoldenCase]) -> dict[str, GoldenCase]:
    return {case.id: case for case in golden}


def test_the_macro_asks_for_the_classes_that_widen_its_interval() -> None:
    golden = cases(fears=12)
    found = work_orders(
        verdict(VerdictKind.INCONCLUSIVE, macro(40)), by_id(golden), *two_models(golden)
    )
    assert [order.label for order in found] == ["fear"]
    assert found[0].wanted_by == ("emotion_f1/macro",)
    assert found[0].asked > 0
    assert found[0].needed < 40, "of a class that matters fewer do than of today's mix"


@pytest.mark.parametrize("fears", [5, 12, 60, 300])
@pytest.mark.parametrize("needed", [1, 20, 400])
def test_the_spread_reaches_the_interval_that_was_asked_with_no_case_to_spare(
    fears: int, needed: int
) -> None:
    golden = cases(fears=fears)
    cells = core_cells(by_id(golden), *two_models(golden))
    assert cells is not None
    support = cells.support()
    weight = {label: observed_variance(cells.of_class(label)) for label in support}

    def variance(more: dict[str, int]) -> float:
        return sum(weight[k] / (support[k] + more.get(k, 0)) for k in support)

    more = spread_over_classes(cells, needed)
    target = variance({}) * cells.n / (cells.n + needed)
    assert variance(more) <= target
    assert 0 < sum(more.values()) <= needed + len(support)
    fewer = {label: count - 1 for label, count in more.items()}
    assert variance(fewer) > target


def test_the_macro_and_a_class_share_an_order_of_the_larger() -> None:
    golden = cases(fears=12)
    orders = verdict(VerdictKind.INCONCLUSIVE, macro(40), undecided("fear", 300))
    (order,) = work_orders(orders, by_id(golden), *two_models(golden))
    assert (order.label, order.needed) == ("fear", 300)
    assert order.wanted_by == ("emotion_f1/macro", "emotion_f1/fear")


def test_without_the_candidate_s_answers_any_case_may_serve_the_macro() -> None:
    golden = cases(fears=12)
    production, _ = two_models(golden)
    found = work_orders(verdict(VerdictKind.INCONCLUSIVE, macro(40)), by_id(golden), production)
    assert [(o.label, o.slice, o.needed, o.asked) for o in found] == [(None, None, 40, 0)]


def test_cases_outside_the_core_and_errors_say_nothing_of_the_macro() -> None:
    golden = [golden_case(0, stratum="hitl"), golden_case(1)]
    production = {case.id: answer(case, case.label) for case in golden}
    broken = Prediction(case_id="case-001", label=None, status=AnswerStatus.ERROR, raw=None)
    assert core_cells(by_id(golden), production, {"case-001": broken}) is None
    cells = core_cells(by_id(golden), production, production)
    assert cells is not None
    assert cells.support() == {"anger": 1}


def in_slice(name: str, needed: int = 8) -> Finding:
    return undecided(None, needed, slice=name, metric=f"emotion_f1/{name}/accuracy")


def test_a_slice_is_served_by_texts_of_that_slice_alone() -> None:
    (order,) = work_orders(verdict(VerdictKind.INCONCLUSIVE, in_slice("lang_vi")), {}, {})
    assert (order.name, order.needed, order.asked, order.told) == ("lang_vi", 8, 8, True)
    traffic = [request(n, lang="vi" if n % 5 == 0 else "en") for n in range(100)]
    found = draw(pool(traffic=traffic, orders=(order,)), budget=20, random_share=0)
    assert [item.lang for item in found.items if item.selection == "work_order"] == ["vi"] * 8
    assert found.queued == {"lang_vi": 8}
    shown = {item.shown.label for item in found.items if item.shown}
    assert shown == set(LABELS), "within a slice the classes take turns"


def test_a_source_is_matched_as_the_verdict_spells_it() -> None:
    order = WorkOrder(label=None, slice="source_the_forum", needed=2, precision=None, asked=2)
    traffic = [request(1, source="the forum"), request(2), request(3, source="the  forum")]
    found = draw(pool(traffic=traffic, orders=(order,)), budget=20, random_share=0)
    assert {item.source for item in found.items} == {"the forum", "the  forum"}


def test_a_slice_that_people_tell_is_ordered_but_not_queued() -> None:
    (order,) = work_orders(verdict(VerdictKind.INCONCLUSIVE, in_slice("slice_sarcasm")), {}, {})
    assert (order.asked, order.told) == (0, False)
    traffic = [request(n) for n in range(30)]
    found = draw(pool(traffic=traffic, orders=(order,)), budget=20)
    assert found.queued == {"slice_sarcasm": 0}
    assert found.random_needed == {"slice_sarcasm": None}


def wanting(needed: int, precision: float | None = 0.5) -> WorkOrder:
    asked = math.ceil(needed / precision) if precision else needed
    return WorkOrder(label="fear", needed=needed, precision=precision, asked=asked)


def same(lang: str | None) -> str | None:
    return lang


def test_what_chance_must_bring_follows_from_the_traffic_s_mix_and_the_precision() -> None:
    traffic = [request(n, label="fear" if n % 10 == 0 else "joy") for n in range(100)]
    assert random_needed([wanting(8)], traffic, same) == {"fear": 160}
    assert random_needed([wanting(8, None)], traffic, same) == {"fear": None}
    assert random_needed([wanting(8)], traffic[1:10], same) == {"fear": None}
    assert random_needed([wanting(8)], [], same) == {"fear": None}


@pytest.mark.parametrize(
    ("needed", "expected"),
    [
        (4, 10),  # the usual share brings as much
        (20, 20),  # what the orders (16) leave is enough
        (70, 50),  # orders and chance halve what there is
        (None, 10),  # not known: nothing to enlarge it for
    ],
)
def test_the_random_share_grows_as_far_as_needed_and_as_the_budget_allows(
    needed: int | None, expected: int
) -> None:
    orders = [wanting(8)] if needed != 70 else [wanting(80)]
    assert random_texts(10, 90, orders, {"fear": needed}) == expected


def test_a_policy_that_draws_nothing_at_random_is_obeyed() -> None:
    assert random_texts(0, 90, [wanting(8)], {"fear": 50}) == 0


def test_an_order_for_any_case_is_served_by_chance_alone() -> None:
    order = WorkOrder(label=None, needed=30, precision=None, asked=0)
    traffic = [request(n) for n in range(100)]
    found = draw(pool(traffic=traffic, orders=(order,)), budget=50, random_share=0.2)
    assert [item.selection for item in found.items] == ["random"] * 30
    assert found.random_needed == {"any class": 30}


def test_only_findings_of_the_verdict_s_status_count() -> None:
    finding = undecided(None, 8, slice="lang_vi", status=FindingStatus.PASSED)
    assert work_orders(verdict(VerdictKind.INCONCLUSIVE, finding), {}, {}) == ()
