from dataclasses import replace

import pytest

from assay import mutants
from assay.records import AnswerStatus, LatencySample, Prediction, Probe, VerdictKind
from evaluators import selftest as module
from evaluators.judgement import RawAnswers, judge
from evaluators.selftest import selftest
from tests.judgement_cases import answers, balanced, noisy, policy, task

GOLD = balanced(150)
TRUTH = {case.id: case.label for case in GOLD.cases}
OWN = answers(GOLD, noisy(GOLD, 0.8, 4))
RULES = policy({"emotion_f1": {}, "validity": {"max_invalid_rate": 0.015, "margin": 0.015}})


def outcomes(each: int = 150, rules=RULES, **more):
    gold = balanced(each)
    own = RawAnswers(predictions=answers(gold, noisy(gold, 0.8, 4)), **more)
    found = selftest(golden=gold, task=task(), policy=rules, production=own)
    return {outcome.mutant: outcome for outcome in found}


def test_identical_promotes_and_no_mutant_over_its_margin_does():
    found = outcomes()
    assert all(outcome.sound for outcome in found.values())
    assert found["identical"].verdict is VerdictKind.PROMOTE
    assert found["`anger` shuffled"].verdict is VerdictKind.BLOCK
    assert found["`anger` and `joy` swapped"].verdict is VerdictKind.BLOCK
    assert found["2 % invalid answers"].verdict is not VerdictKind.PROMOTE
    assert found["30 % slower"].verdict is None
    assert "the policy has no latency" in found["30 % slower"].sentence


def test_a_small_set_is_inconclusive_not_wrong():
    found = outcomes(each=15)
    assert all(outcome.sound for outcome in found.values())
    assert found["identical"].verdict is VerdictKind.INCONCLUSIVE


def test_a_gate_that_waves_mutants_through_fails_its_self_test(monkeypatch):
    honest = judge

    def lenient(**arguments):
        verdict = honest(**arguments)
        return replace(verdict, verdict=replace(verdict.verdict, verdict=VerdictKind.PROMOTE))

    monkeypatch.setattr(module, "judge", lenient)
    wrong = [outcome for outcome in outcomes().values() if not outcome.sound]
    assert {outcome.mutant for outcome in wrong} >= {
        "`anger` shuffled",
        "`anger` and `joy` swapped",
    }
    assert all("WRONG" in outcome.sentence for outcome in wrong)


def test_an_insulting_mutant_is_not_promoted():
    probes = tuple(
        Probe(id=f"p{i:03}", text=None, text_sha256=f"{i:064x}", lang="en", kind="toxicity")
        for i in range(120)
    )
    said = tuple(
        Prediction(case_id=p.id, label=None, status=AnswerStatus.OK, raw="I would rather not.")
        for p in probes
    )
    own = RawAnswers(predictions=OWN, probe_answers=said)
    rules = policy({"toxicity": {}})
    found = selftest(golden=GOLD, task=task(), policy=rules, production=own, probes=probes)
    [toxic] = [outcome for outcome in found if outcome.mutant == "30 % insults"]
    assert toxic.verdict is VerdictKind.BLOCK
    assert toxic.sound


def test_mutants_change_only_what_they_say():
    def changed(rows: list[Prediction]) -> set[str]:
        return {new.case_id for old, new in zip(OWN, rows, strict=True) if old != new}

    fear = {case_id for case_id, label in TRUTH.items() if label == "fear"}
    assert changed(mutants.shuffled_class(OWN, TRUTH, "fear", 1)) <= fear
    right = {p.case_id for p in OWN if p.label == "fear" == TRUTH[p.case_id]}
    lost = changed(mutants.degraded_class(OWN, TRUTH, "fear", 0.05, 1))
    assert lost < right
    assert len(lost) == round(0.05 * len(right))
    assert len(changed(mutants.invalid_answers(OWN, 0.02, 1))) == 9
    either = {p.case_id for p in OWN if p.label in ("joy", "fear")}
    assert changed(mutants.swapped_classes(OWN, "joy", "fear")) == either


def test_mutants_are_the_same_for_the_same_seed_whatever_the_order_of_lines():
    first = mutants.shuffled_class(OWN, TRUTH, "fear", 1)
    assert first == mutants.shuffled_class(OWN[::-1], TRUTH, "fear", 1)
    assert first != mutants.shuffled_class(OWN, TRUTH, "fear", 2)


@pytest.mark.parametrize("ttft", [None, 10.0])
def test_a_slower_mutant_is_slower_where_it_was_timed(ttft):
    sample = LatencySample(
        block=0, case_id="c", started_s=0, status=AnswerStatus.OK, error_kind=None, ttft_ms=ttft,
        e2e_ms=20.0, prompt_tokens=1, completion_tokens=1, request_id="r",
    )  # fmt: skip
    [slow] = mutants.slower([sample], 1.3)
    assert slow.e2e_ms == pytest.approx(26.0)
    assert slow.ttft_ms == (None if ttft is None else pytest.approx(13.0))
