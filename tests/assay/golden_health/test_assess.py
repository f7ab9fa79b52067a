"""The whole of a set's health: every check can fail, and what is missing is never a pass."""

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pytest

from assay.golden_health.answers import ModelAnswers
from assay.golden_health.assess import Known, assess
from assay.golden_health.drift import Sample
from assay.golden_health.health import Health
from assay.golden_health.page import render_page
from assay.golden_health.rules import HealthRules
from assay.golden_health.screen import screen
from assay.golden_health.support import Demand
from assay.golden_set import GoldenSet, golden_digest
from assay.records import Annotation, AnswerStatus, FindingStatus, GoldenCase, Prediction
from tests.golden_examples import SECRET, cases

LABELS = ("joy", "anger")
TODAY = date(2026, 6, 1)
PASSED, FAILED, UNDECIDED = FindingStatus.PASSED, FindingStatus.FAILED, FindingStatus.UNDECIDED


def words(number: int) -> str:
    """A text of its own for each number, unlike the others."""
    chance = random.Random(number)
    return " ".join("".join(chance.choices("aeioulmnrst", k=6)) for _ in range(8))


def golden(count: int = 200) -> GoldenSet:
    made = tuple(
        replace(case, id=f"c-{at:04}", text=f"{SECRET[:5]} {words(at)}", label=LABELS[at % 2])
        for at, case in enumerate(cases(count))
    )
    return of(made)


def of(made: tuple[GoldenCase, ...]) -> GoldenSet:
    return GoldenSet(cases=made, digest=golden_digest(made), revision="test")


def model(name: str, found: GoldenSet, right: float) -> ModelAnswers:
    answers = {}
    for at, case in enumerate(found.cases):
        good = at < right * found.size
        label = case.label if good else LABELS[case.label == LABELS[0]]
        answers[case.id] = Prediction(
            case_id=case.id, label=label, status=AnswerStatus.OK, raw=label
        )
    return ModelAnswers(model=name, answers=answers)


def statuses(health: Health) -> Mapping[str, FindingStatus]:
    return {check.name: check.status for check in health.checks}


def known(**more: object) -> Known:
    return Known(structure=(), today=TODAY, **more)  # type: ignore[arg-type]


DEMAND = Demand(
    margins={"joy": 0.1, "anger": 0.1},
    minimum=50,
    alpha=0.05,
    tests=3,
    few=0.05,
    many=0.2,
    level=0.7,
)


def test_what_was_not_given_is_undecided_and_never_passed() -> None:
    health = assess(golden(), LABELS, known(), HealthRules())
    found = statuses(health)
    for name in (
        "provenance/manifest",
        "power/minimum",
        "labels/agreement",
        "labels/order",
        "answers/never",
        "answers/always",
        "wear/age",
        "wear/uses",
        "traffic/labels",
        "traffic/words",
    ):
        assert found[name] is UNDECIDED, name
    assert health.healthy
    assert "could not be told" in health.summary


def test_a_set_without_texts_cannot_be_searched_for_copies() -> None:
    without = of(tuple(replace(case, text=None) for case in golden().cases))
    health = assess(without, LABELS, known(), HealthRules())
    assert statuses(health)["structure/near_duplicates"] is UNDECIDED


def test_copies_a_missing_label_and_chosen_cases_make_a_set_unhealthy() -> None:
    sound = golden().cases
    copies = tuple(
        replace(case, id=f"x-{case.id}", text=f"{case.text}!", stratum="hitl", label="joy")
        for case in sound
    )
    more = tuple(replace(case, id=f"y-{case.id}", text=case.text) for case in copies)
    health = assess(of(sound + copies + more), (*LABELS, "fear"), known(), HealthRules())
    failed = {check.name for check in health.failed}
    assert failed == {"structure/near_duplicates", "labels/present", "strata/core"}
    assert not health.healthy
    for check in health.failed:
        assert check.action
        assert SECRET[:5] not in check.reason.split()


def test_an_imbalance_and_too_small_a_class_are_told() -> None:
    few = tuple(c for c in golden(400).cases if c.label == "joy" or int(c.id[2:]) < 60)
    health = assess(of(few), LABELS, known(demand=DEMAND), HealthRules())
    found = statuses(health)
    assert found["labels/balance"] is FAILED
    assert found["power/minimum"] is FAILED
    power = {row["label"]: row for row in health.tables["power"]}
    assert power["anger"]["cases"] == 30
    assert power["anger"]["needed_few"] < power["anger"]["needed_many"]


def test_age_and_use_are_judged_by_the_rules() -> None:
    fresh, old = {"1.0.0": date(2026, 5, 1)}, {"1.0.0": date(2024, 5, 1)}
    rules = HealthRules(most_uses=10)
    for dates, uses, expected in ((fresh, 10, PASSED), (old, 11, FAILED)):
        found = statuses(assess(golden(), LABELS, known(dates=dates, uses=uses), rules))
        assert (found["wear/age"], found["wear/uses"]) == (expected, expected)


def annotated(right: float) -> GoldenSet:
    made = []
    for at, case in enumerate(golden().cases):
        other = LABELS[case.label == LABELS[0]]
        second = case.label if at < right * 200 else other
        votes = (case.label, second, case.label)
        made.append(
            replace(
                case,
                annotations=tuple(
                    Annotation(annotator=f"p{n}", label=v) for n, v in enumerate(votes)
                ),
            )
        )
    return of(tuple(made))


@pytest.mark.parametrize(("right", "expected"), [(1.0, PASSED), (0.75, UNDECIDED), (0.2, FAILED)])
def test_agreement_is_decided_by_its_interval(right: float, expected: FindingStatus) -> None:
    health = assess(annotated(right), LABELS, known(), HealthRules())
    assert statuses(health)["labels/agreement"] is expected


def test_cases_that_no_model_or_every_model_gets_right_are_counted() -> None:
    found = golden()
    saturated = [model(name, found, 1.0) for name in "abc"]
    hopeless = [model(name, found, 0.8) for name in "abc"]
    assert (
        statuses(assess(found, LABELS, known(models=saturated), HealthRules()))["answers/always"]
        is FAILED
    )
    health = assess(found, LABELS, known(models=hopeless), HealthRules())
    assert statuses(health)["answers/never"] is FAILED
    assert len(health.tables["answers"]["never"]) == 40
    two = assess(found, LABELS, known(models=hopeless[:2]), HealthRules())
    assert statuses(two)["answers/never"] is UNDECIDED


def test_an_error_is_not_a_wrong_answer() -> None:
    found = golden()
    models = [model(name, found, 1.0) for name in "abc"]
    lost = Prediction(case_id="c-0000", label=None, status=AnswerStatus.ERROR, raw=None)
    models[0] = replace(models[0], answers={**models[0].answers, "c-0000": lost})
    health = assess(found, LABELS, known(models=models), HealthRules())
    assert health.tables["answers"]["cases"] == 199
    assert health.tables["answers"]["never"] == ()


def test_the_label_that_models_doubt_is_looked_at_first() -> None:
    found = golden()
    given = {
        case.id: {case.label: 0.9 - 0.001 * at, "x": 0.1} for at, case in enumerate(found.cases)
    }
    given["c-0042"] = {found.cases[42].label: 0.01}
    health = assess(found, LABELS, known(probabilities=[given]), HealthRules())
    assert health.tables["suspects"][0]["id"] == "c-0042"
    assert math.isclose(sum(x["score"] for x in health.tables["suspects"][:1]), -0.79, abs_tol=0.02)
    order = next(check for check in health.checks if check.name == "labels/order")
    assert not order.gating


def test_traffic_that_the_set_does_not_cover_makes_it_unhealthy() -> None:
    found = golden(300)
    texts = [f"{words(at + 5000)} {words(at + 9000)}" for at in range(300)]
    traffic = Sample(texts=texts, labels=["fear"] * 300, languages=["de"] * 300)
    health = assess(found, LABELS, known(traffic=traffic), HealthRules())
    failed = {check.name for check in health.failed}
    assert failed >= {"traffic/labels-covered", "traffic/languages-covered", "traffic/lengths"}
    labels = next(check for check in health.checks if check.name == "traffic/labels")
    assert labels.status is FAILED
    assert not labels.gating, "a set that is balanced by class differs on purpose"


def test_too_little_traffic_decides_nothing() -> None:
    traffic = Sample(texts=["hello there"] * 20, labels=None, languages=None)
    found = statuses(assess(golden(), LABELS, known(traffic=traffic), HealthRules()))
    assert found["traffic/lengths"] is UNDECIDED


def test_the_page_holds_no_text_and_escapes_every_name() -> None:
    evil = "<script>alert(1)</script>"
    made = tuple(replace(case, source=evil, slices=(evil,)) for case in annotated(0.9).cases)
    models = [model(f"{evil}{n}", golden(), 0.9) for n in range(3)]
    health = assess(of(made), LABELS, known(models=models, demand=DEMAND, uses=3), HealthRules())
    page = render_page(health)
    assert page == render_page(health)
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert words(3) not in page
    assert "Not healthy" in page or "Healthy" in page
    assert not any(words(3) in line for line in screen(health))
