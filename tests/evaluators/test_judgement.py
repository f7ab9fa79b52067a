import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.documents import parse_json
from assay.errors import ConfigError, EvaluatorError, TooFewCasesError
from assay.records import AnswerStatus, ArtifactRef, Finding, Prediction, Problem, VerdictKind
from assay.verdict import may_move_alias, verdict_bytes
from assay.verdict_document import verdict_from_json
from evaluators import judgement, registry
from evaluators.base import Evaluation, Evaluator, Inputs
from evaluators.judgement import RawAnswers
from tests.judgement_cases import (
    CONTEXT,
    LABELS,
    answers,
    balanced,
    golden,
    judged,
    noisy,
    policy,
    task,
)

GOLD = balanced(150)
GOOD = noisy(GOLD, 0.75, 1)


def worsened(label: str, share: float) -> list[str | None]:
    """GOOD, with a share of one class's right answers lost, to no other class."""
    seen = 0
    result: list[str | None] = []
    for case, answer in zip(GOLD.cases, GOOD, strict=True):
        hit = case.label == answer == label
        seen += hit
        result.append(None if hit and seen % round(1 / share) == 0 else answer)
    return result


def test_the_same_answers_promote():
    verdict = judged(GOLD, GOOD, GOOD).verdict
    assert verdict.verdict is VerdictKind.PROMOTE
    assert may_move_alias(verdict)
    assert {f.metric for f in verdict.findings if f.gating} == {
        "emotion_f1/macro",
        *(f"emotion_f1/{label}" for label in LABELS),
    }


def test_a_broken_class_blocks_and_is_named():
    verdict = judged(GOLD, GOOD, worsened("fear", 0.5)).verdict
    assert verdict.verdict is VerdictKind.BLOCK
    failed = [f for f in verdict.findings if f.status == "failed" and f.label]
    assert [f.label for f in failed] == ["fear"]
    assert "`fear`" in " ".join(verdict.next_steps)
    assert not may_move_alias(verdict)


def test_a_small_drop_is_inconclusive_and_says_how_many_cases_would_settle_it():
    verdict = judged(GOLD, GOOD, worsened("fear", 0.07)).verdict
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    [finding] = [f for f in verdict.findings if f.label == "fear" and f.gating]
    assert finding.needed is not None
    assert finding.needed > 0
    step = f"{finding.needed} more cases of `fear` would settle"
    assert any(s.startswith(step) and "margin 0.05" in s for s in verdict.next_steps)


def test_too_few_cases_are_inconclusive_even_where_nothing_changed():
    gold = balanced(20)
    verdict = judged(gold, noisy(gold, 0.9, 2), noisy(gold, 0.9, 2)).verdict
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    [joy] = [f for f in verdict.findings if f.label == "joy"]
    assert "20 golden cases are fewer than the 50" in joy.reason
    assert joy.needed is not None
    assert joy.needed >= 30


def test_a_class_that_clears_its_margin_on_too_few_cases_asks_for_just_those():
    gold = balanced(20)
    verdict = judged(gold, noisy(gold, 0.6, 2), [case.label for case in gold.cases]).verdict
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    found = [f for f in verdict.findings if f.label and f.kind == "non_inferiority"]
    assert [f.needed for f in found] == [30, 30, 30]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: rows[:-1], "1 of 450 questions has no answer (c-00449)"),
        (lambda rows: [*rows, rows[3]], "1 case is answered more than once (c-00003)"),
        (lambda rows: [*rows, replace(rows[0], case_id="c-x")], "unknown cases (c-x)"),
        (lambda rows: [replace(rows[0], label="hapiness"), *rows[1:]], "'hapiness'"),
        (lambda rows: [replace(rows[0], label=None), *rows[1:]], "None"),
        (lambda rows: [], "450 of 450 questions have no answer"),
        (lambda rows: [_error(row) for row in rows[:5]] + rows[5:], "5 of 450 questions ended in"),
    ],
    ids=["missing", "twice", "unknown", "off-label", "no label", "none at all", "errors"],
)
@pytest.mark.parametrize("role", ["candidate", "production"])
def test_unusable_answers_are_invalid_with_a_sentence_and_no_number(
    spoil: Callable[[list[Prediction]], list[Prediction]], said: str, role: str
):
    raw = RawAnswers(predictions=spoil(answers(GOLD, GOOD)))
    verdict = judged(GOLD, GOOD, GOOD, **{role: raw}).verdict
    assert verdict.verdict is VerdictKind.INVALID
    assert said in verdict.summary
    assert f"{role} predictions" in verdict.summary
    assert not verdict.findings
    assert not any(verdict.metrics.values())
    assert any("may be repeated" in step for step in verdict.next_steps)
    assert any(said in problem.reason for problem in verdict.context.problems)
    again = judged(GOLD, GOOD, GOOD, **{role: raw}, context=verdict.context).verdict
    assert verdict_bytes(again) == verdict_bytes(verdict)


def _error(row: Prediction) -> Prediction:
    return replace(row, status=AnswerStatus.ERROR, label=None, raw=None)


def test_an_error_that_was_asked_again_counts_as_its_answer():
    rows = answers(GOLD, GOOD)
    raw = RawAnswers(predictions=[_error(rows[0]), *rows])
    assert judged(GOLD, GOOD, GOOD, candidate=raw).verdict.verdict is VerdictKind.PROMOTE


def test_tolerated_errors_leave_the_case_out_for_both():
    rows = answers(GOLD, GOOD)
    raw = RawAnswers(predictions=[_error(rows[0]), *rows[1:]])
    verdict = judged(
        GOLD, GOOD, GOOD, candidate=raw, policy=policy(max_unanswered_rate=0.01)
    ).verdict
    assert verdict.verdict is VerdictKind.PROMOTE
    [macro] = [f for f in verdict.findings if f.metric == "emotion_f1/macro"]
    assert macro.n == GOLD.size - 1
    assert macro.difference == 0


def test_a_problem_of_the_run_makes_it_invalid():
    context = replace(CONTEXT, problems=(Problem(where="x", reason="it broke.", action="mend."),))
    verdict = judged(GOLD, GOOD, GOOD, context=context).verdict
    assert verdict.verdict is VerdictKind.INVALID
    assert verdict.next_steps[0] == "Mend."


def test_a_first_release_is_refused_unless_the_policy_allows_it():
    refused = judged(GOLD, None, GOOD).verdict
    assert refused.verdict is VerdictKind.INVALID
    assert any("first_release: allow" in step for step in refused.next_steps)

    unasked = judged(GOLD, None, GOOD, policy=policy(first_release="allow")).verdict
    assert unasked.verdict is VerdictKind.INCONCLUSIVE
    assert "sets no floor" in unasked.summary

    floors = {"emotion_f1": {"floor": 0.4, "macro_floor": 0.5}}
    allowed = judged(GOLD, None, GOOD, policy=policy(floors, first_release="allow")).verdict
    assert allowed.verdict is VerdictKind.PROMOTE
    assert "may be the first release" in allowed.summary
    assert allowed.metrics.keys() == {"candidate"}

    high = {"emotion_f1": {"floor": 0.4, "macro_floor": 0.95}}
    blocked = judged(GOLD, None, GOOD, policy=policy(high, first_release="allow")).verdict
    assert blocked.verdict is VerdictKind.BLOCK


@pytest.mark.parametrize(
    ("production", "candidate", "kind"),
    [
        (["joy"] * 450, ["joy"] * 450, VerdictKind.INCONCLUSIVE),
        (GOOD, ["joy"] * 450, VerdictKind.BLOCK),
        (GOOD, [None] * 450, VerdictKind.BLOCK),
        ([None] * 450, [None] * 450, VerdictKind.INCONCLUSIVE),
        ([None] * 450, GOOD, VerdictKind.PROMOTE),
    ],
    ids=["all the same", "one answer", "all invalid", "both invalid", "production invalid"],
)
def test_degenerate_answers_get_a_status_and_a_sentence(production, candidate, kind):
    verdict = judged(GOLD, production, candidate).verdict
    assert verdict.verdict is kind
    assert all(finding.reason for finding in verdict.findings)
    json.loads(verdict_bytes(verdict))


@pytest.mark.parametrize("truth", [["joy"], ["joy"] * 80 + ["anger"] * 80])
def test_a_class_without_a_golden_case_is_undecided_and_never_zero(truth):
    gold = golden(truth)
    verdict = judged(gold, truth, truth).verdict
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    [fear] = [f for f in verdict.findings if f.label == "fear"]
    assert (fear.candidate, fear.status.value) == (None, "undecided")
    assert "emotion_f1/fear" not in verdict.metrics["candidate"]
    assert "emotion_f1/macro" not in verdict.metrics["candidate"]


def test_only_the_core_stratum_drives():
    gold = golden(
        [label for label in LABELS for _ in range(200)], strata=(["core"] * 150 + ["hitl"] * 50) * 3
    )
    good = noisy(gold, 0.8, 3)
    spoilt = [
        "joy" if case.stratum == "hitl" else answer
        for case, answer in zip(gold.cases, good, strict=True)
    ]
    verdict = judged(gold, good, spoilt).verdict
    assert verdict.verdict is VerdictKind.PROMOTE
    [hitl] = [f for f in verdict.findings if f.slice == "stratum_hitl"]
    assert (hitl.status.value, hitl.gating, hitl.n) == ("failed", False, 150)


def test_an_advisory_class_informs_and_does_not_decide():
    rules = policy({"emotion_f1": {"advisory": ["fear"], "macro_margin": 0.5}})
    verdict = judged(GOLD, GOOD, worsened("fear", 0.25), policy=rules).verdict
    assert verdict.verdict is VerdictKind.PROMOTE
    assert [f.gating for f in verdict.findings if f.label == "fear"] == [False]


def test_a_class_that_production_gets_wrong_cannot_pass_by_having_nothing_to_lose():
    hopeless = ["joy" if answer == "fear" else answer for answer in GOOD]
    same = judged(GOLD, hopeless, hopeless).verdict
    assert same.verdict is VerdictKind.INCONCLUSIVE
    assert "could not fail" in same.summary
    assert judged(GOLD, hopeless, GOOD).verdict.verdict is VerdictKind.PROMOTE


def test_only_restricts_says_so_and_may_not_move_an_alias():
    rules = policy({"emotion_f1": {}, "validity": {}})
    verdict = judged(GOLD, GOOD, GOOD, policy=rules, only=("validity",)).verdict
    assert {finding.evaluator for finding in verdict.findings} == {"validity"}
    assert verdict.verdict is VerdictKind.PROMOTE
    assert "Only validity was judged" in verdict.summary
    assert not may_move_alias(verdict)
    with pytest.raises(ConfigError, match=r"--only names 'latency'.*'emotion_f1', 'validity'"):
        judged(GOLD, GOOD, GOOD, policy=rules, only=("latency",))


def test_an_evaluator_whose_inputs_are_absent_is_undecided():
    rules = policy({"emotion_f1": {}, "latency": {}})
    verdict = judged(GOLD, GOOD, GOOD, policy=rules).verdict
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    assert any(f.evaluator == "latency" and f.status == "undecided" for f in verdict.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd(Evaluator):
    unit: ClassVar[str] = "1"
    direction: ClassVar[Literal["higher_is_better", "lower_is_better"]] = "higher_is_better"
    version: ClassVar[str] = "1"
    answer: Any

    @property
    def name(self) -> str:
        return "odd"

    def evaluate(self, inputs: Inputs) -> Evaluation:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


PASSED = Finding(evaluator="odd", metric="odd/x", kind="limit", status="passed", reason="Good.")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (ZeroDivisionError("secret text of a case"), "it crashed (ZeroDivisionError)"),
        (TooFewCasesError("3 cases; expected 10"), "3 cases; expected 10"),
        (EvaluatorError("no scorer"), "no scorer"),
        (Evaluation(findings=(), metrics={}), "no finding"),
        (Evaluation(findings=(PASSED,), metrics={"candidate": {"x": math.nan}}), "not finite"),
        (Evaluation(findings=(replace(PASSED, bound=math.inf),), metrics={}), "not finite"),
    ],
)
def test_whatever_goes_wrong_in_an_evaluator_is_one_undecided_finding(answer, said, monkeypatch):
    monkeypatch.setattr(judgement, "build", lambda *_, **__: (Odd(answer=answer),))
    verdict = judged(GOLD, GOOD, GOOD).verdict
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    [finding] = verdict.findings
    assert finding.evaluator == "odd"
    assert said in finding.reason
    assert "secret text" not in verdict.summary


def test_the_same_inputs_give_the_same_bytes_whatever_the_order_of_lines():
    rules = policy({"emotion_f1": {"floor": 0.3, "macro_floor": 0.4}, "validity": {}})
    first = judged(GOLD, GOOD, worsened("joy", 0.1), policy=rules).verdict
    reversed_lines = {
        "candidate": RawAnswers(predictions=answers(GOLD, worsened("joy", 0.1))[::-1]),
        "production": RawAnswers(predictions=answers(GOLD, GOOD)[::-1]),
    }
    again = judged(GOLD, GOOD, GOOD, policy=rules, **reversed_lines).verdict
    assert verdict_bytes(first) == verdict_bytes(again)


def test_the_seed_depends_on_what_is_judged_and_on_nothing_else():
    def seed(**changes: Any) -> int:
        return judged(GOLD, GOOD, GOOD, **changes).verdict.seed

    slower = [replace(p, e2e_ms=9.0, request_id="other") for p in answers(GOLD, GOOD)]
    assert seed() == seed(candidate=RawAnswers(predictions=slower))
    assert seed() == seed(context=replace(CONTEXT, run_id="another"))
    assert seed() != seed(policy=policy(alpha=0.04))
    assert seed() != seed(candidate=RawAnswers(predictions=answers(GOLD, worsened("joy", 0.5))))


def test_the_order_of_labels_in_the_task_changes_no_number():
    candidate = worsened("joy", 0.1)
    first = judged(GOLD, GOOD, candidate).verdict
    second = judged(GOLD, GOOD, candidate, task=task(LABELS[::-1])).verdict
    key = ("metric", "kind", "p", "bound", "status")
    rows = [
        sorted(tuple(getattr(f, name) for name in key) for f in v.findings if f.gating)
        for v in (first, second)
    ]
    assert rows[0] == rows[1]


def test_a_verdict_survives_its_file():
    context = replace(
        CONTEXT,
        who="ann",
        candidate=ArtifactRef(model="m", version="2", digest="sha256:aa"),
        digests={"serving": "sha256:bb"},
        notes=("a note",),
    )
    verdict = judged(GOLD, GOOD, worsened("fear", 0.2), context=context).verdict
    stored = verdict_bytes(verdict)
    back = verdict_from_json(parse_json(stored.decode(), "verdict.json"))
    assert verdict_bytes(back) == stored
    assert back.context == context
    assert verdict.inputs["candidate_artifact"] == "sha256:aa"
    assert {"golden", "policy", "task", "candidate_predictions", "production_predictions"} < set(
        verdict.inputs
    )


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([0.02, 0.04, 0.06]), st.sampled_from([1.5, 3.0]))
def test_a_wider_margin_never_turns_a_pass_into_a_block(margin, wider):
    candidate = worsened("fear", 0.1)
    narrow, wide = (
        judged(GOLD, GOOD, candidate, policy=policy({"emotion_f1": {"margin": m}})).verdict
        for m in (margin, margin * wider)
    )
    # The macro has a margin of its own, so classes are compared one by one.
    for label in LABELS:
        ranks = [
            ["failed", "undecided", "passed"].index(f.status.value)
            for v in (narrow, wide)
            for f in v.findings
            if f.label == label
        ]
        assert ranks[0] <= ranks[1]


@pytest.mark.parametrize(
    ("evaluators", "said"),
    [
        ({"emotion_f2": {}}, "'emotion_f2' is not an evaluator; expected one of.*'emotion_f1'"),
        ({"base": {}}, "'base' is not an evaluator"),
        ({"emotion_f1": {"margn": 0.1}}, "'margn' is not an option; expected one of 'margin'"),
        ({"emotion_f1": {"margin": 1.5}}, "margin: .*less than 1.*found 1.5"),
        ({"emotion_f1": {"margin": "wide"}}, "margin: .*found 'wide'"),
        ({"emotion_f1": {"margins": {"hapiness": 0.1}}}, "'hapiness' is not a class; .*'joy'"),
        ({"emotion_f1": {"floors": {"joy": -1}}}, "floors.joy"),
        ({"emotion_f1": {"advisory": ["x"]}}, "advisory: 'x' is not a class"),
    ],
)
def test_a_mistake_in_the_policy_is_named_with_what_was_expected(evaluators, said):
    with pytest.raises(ConfigError, match=said):
        registry.build(policy(evaluators), task())


@pytest.mark.parametrize("general", [{"alpha": 0.5}, {"alpha": 0}, {"replicates": 10}])
def test_general_values_out_of_range_are_refused(general):
    with pytest.raises(ValueError, match=next(iter(general))):
        policy(**general)


def test_every_evaluator_is_found_by_its_file_and_describes_itself():
    found = registry.available()
    assert {"emotion_f1", "validity"} <= set(found)
    for name, kind in found.items():
        assert kind.__module__ == f"evaluators.{name}"
        assert kind.unit
        assert kind.version
        assert kind.direction in ("higher_is_better", "lower_is_better")
        assert kind.__doc__
