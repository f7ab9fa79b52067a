from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from assay.errors import ConfigError
from assay.policy import Policy, load_policy
from assay.records import VerdictKind
from assay.task import load_task
from evaluators.explanation import explain, power_warnings
from evaluators.judgement import RawAnswers
from tests.judgement_cases import CONTEXT, answers, balanced, judged, noisy, policy, task

ROOT = Path(__file__).parents[2]
GOLD = balanced(150)
GOOD = noisy(GOLD, 0.8, 1)


def test_the_projects_policy_is_explained_to_the_last_option():
    sentences = explain(load_policy(ROOT / "policy.yaml"), load_task(ROOT / "task.yaml"))
    text = "\n".join(sentences)
    for said in ("95 % confidence", "first release is refused", "0.08 below production's"):
        assert said in text
    assert {s.partition(":")[0] for s in sentences} >= {
        "emotion_f1", "validity", "toxicity", "latency",
    }  # fmt: skip


def test_exceptions_are_named():
    entry = {"emotion_f1": {"margins": {"fear": 0.1}, "advisory": ["joy"], "floors": {"fear": 0.2}}}
    text = "\n".join(explain(policy(entry), task()))
    for said in ("`fear` it is 0.1", "`fear` the floor is 0.2", "joy: reported, without deciding"):
        assert said in text


def test_a_policy_with_a_mistake_is_not_explained():
    with pytest.raises(ConfigError, match="emotion_f9"):
        explain(policy({"emotion_f9": {}}), task())


def test_a_set_that_can_never_satisfy_the_policy_is_warned_of():
    found = power_warnings(policy({"emotion_f1": {}, "validity": {}}), task(), balanced(20))
    assert any("`fear` has 20 cases and can never pass: it needs 50" in text for text in found)
    assert any("60 cases cannot show a rate under 2.00%" in text for text in found)


def test_a_set_that_is_large_enough_is_not_warned_of():
    wide = policy({"emotion_f1": {"margin": 0.2}, "validity": {}})
    assert power_warnings(wide, task(), balanced(150)) == []


def test_warnings_say_what_would_be_enough():
    narrow = policy({"emotion_f1": {"margin": 0.05}})
    [warning] = [w for w in power_warnings(narrow, task(), GOLD) if "`fear`" in w]
    needed = int(warning.split("that takes ")[1].split()[0])
    assert needed > 150
    assert not power_warnings(narrow, task(), balanced(needed))


def test_a_freeze_blocks_whatever_was_measured():
    verdict = judged(GOLD, GOOD, GOOD, policy=policy(freeze=True)).verdict
    assert verdict.verdict is VerdictKind.BLOCK
    assert "freezes all releases" in verdict.summary


@pytest.mark.parametrize(
    ("started_at", "kind"),
    [
        ("2026-12-20T10:00:00+00:00", VerdictKind.BLOCK),
        ("2027-01-03T23:59:59+00:00", VerdictKind.BLOCK),
        ("2027-01-04T00:00:00+00:00", VerdictKind.PROMOTE),
        (None, VerdictKind.INCONCLUSIVE),
    ],
)
def test_a_freeze_window_holds_on_its_days(started_at, kind):
    window = {"start": date(2026, 12, 20), "until": date(2027, 1, 3), "reason": "holidays"}
    verdict = judged(
        GOLD,
        GOOD,
        GOOD,
        policy=policy(freeze_windows=[window]),
        context=replace(CONTEXT, started_at=started_at),
    ).verdict
    assert verdict.verdict is kind


BUDGET = {"window_days": 28, "allowed": 1, "incidents": ["2026-11-01", "2026-11-20"]}


@pytest.mark.parametrize(
    ("started_at", "kind"),
    [
        ("2026-11-19T10:00:00+00:00", VerdictKind.PROMOTE),
        ("2026-11-20T10:00:00+00:00", VerdictKind.BLOCK),
        ("2026-11-28T23:59:59+00:00", VerdictKind.BLOCK),
        ("2026-11-29T00:00:00+00:00", VerdictKind.PROMOTE),
        (None, VerdictKind.INCONCLUSIVE),
    ],
)
def test_a_spent_error_budget_blocks_until_its_days_have_passed(started_at, kind):
    verdict = judged(
        GOLD,
        GOOD,
        GOOD,
        policy=policy(error_budget=BUDGET),
        context=replace(CONTEXT, started_at=started_at),
    ).verdict
    assert verdict.verdict is kind
    if kind is VerdictKind.BLOCK:
        assert "error budget is spent: 2 incidents in the 28 days until" in verdict.summary


def test_the_error_budget_and_the_rule_of_asking_again_are_explained():
    text = "\n".join(explain(policy(error_budget=BUDGET), task()))
    assert "More than 1 incident of production in 28 days block every candidate" in text
    assert (
        "asking again returns the recorded verdict, unless that was invalid or of an endpoint"
        in text
    )


def test_a_window_that_ends_before_it_starts_is_refused():
    window = {"start": "2027-01-03", "until": "2026-12-20", "reason": "holidays"}
    with pytest.raises(ValueError, match="until must not lie before start"):
        policy(freeze_windows=[window])


def anchored() -> Policy:
    anchor = {"version": "1.0.0", "margin": 0.1, "macro_margin": 0.06}
    return policy(
        {"emotion_f1": {"margin": 0.2, "macro_margin": 0.2}},
        anchor=anchor,
    )


def test_many_small_losses_are_caught_by_the_anchor():
    worse = noisy(GOLD, 0.62, 1)
    lower = noisy(GOLD, 0.60, 1)
    against_production = judged(GOLD, worse, lower, policy=policy(
        {"emotion_f1": {"margin": 0.2, "macro_margin": 0.2}})).verdict  # fmt: skip
    assert against_production.verdict is VerdictKind.PROMOTE

    anchor = RawAnswers(predictions=answers(GOLD, GOOD))
    verdict = judged(GOLD, worse, lower, policy=anchored(), anchor=anchor).verdict
    assert verdict.verdict is VerdictKind.BLOCK
    failed = [f for f in verdict.findings if f.status == "failed"]
    assert {f.metric for f in failed} >= {"emotion_f1/macro/anchor"}
    assert "in the anchor 1.0.0" in failed[0].reason
    assert "anchor_predictions" in verdict.inputs


def test_an_anchor_whose_answers_are_absent_or_incomplete_is_undecided():
    absent = judged(GOLD, GOOD, GOOD, policy=anchored()).verdict
    assert absent.verdict is VerdictKind.INCONCLUSIVE
    assert "its answers were not given" in absent.summary
    short = RawAnswers(predictions=answers(GOLD, GOOD)[:-1])
    partial = judged(GOLD, GOOD, GOOD, policy=anchored(), anchor=short).verdict
    assert partial.verdict is VerdictKind.INCONCLUSIVE
