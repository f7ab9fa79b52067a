"""Slices that the policy names decide, by a margin of their own; all others only inform."""

import re

import pytest

from assay.errors import ConfigError
from assay.rates import PairedRates, paired_difference_bounds, within_margin_p
from assay.records import VerdictKind
from evaluators import registry
from evaluators.explanation import explain, power_warnings
from tests.judgement_cases import balanced, golden, judged, noisy, policy, task

GOLD = balanced(200)
GOOD = noisy(GOLD, 0.85, 1)
RULES = {"margin": 0.2, "macro_margin": 0.2, "slices": {"lang_vi": 0.08}}


def lost_in(lang: str, share: float) -> list[str | None]:
    """GOOD, without a share of its answers to the cases of one language."""
    seen = 0
    result: list[str | None] = []
    for case, answer in zip(GOLD.cases, GOOD, strict=True):
        hit = case.lang == lang and answer == case.label
        seen += hit
        result.append(None if hit and seen % round(1 / share) == 0 else answer)
    return result


def verdict_of(candidate, options=RULES, gold=GOLD, production=None):
    production = GOOD if production is None else production
    return judged(gold, production, candidate, policy=policy({"emotion_f1": options})).verdict


def finding_of(verdict, name="lang_vi"):
    [found] = [f for f in verdict.findings if f.slice == name]
    return found


def test_a_named_slice_that_lost_its_margin_blocks_where_every_class_passes():
    worse = lost_in("vi", 0.125)
    verdict = verdict_of(worse)
    assert verdict.verdict is VerdictKind.BLOCK
    assert [f.slice for f in verdict.findings if f.gating and f.status == "failed"] == ["lang_vi"]
    assert finding_of(verdict).p < 0.05
    assert "lang_vi" in verdict.summary
    unnamed = verdict_of(worse, {"margin": 0.2, "macro_margin": 0.2})
    assert unnamed.verdict is VerdictKind.PROMOTE
    assert not finding_of(unnamed).gating


def test_a_loss_in_another_slice_leaves_the_named_one_alone():
    verdict = verdict_of(lost_in("en", 0.125))
    assert verdict.verdict is VerdictKind.PROMOTE
    assert finding_of(verdict).status == "passed"
    assert finding_of(verdict).difference == 0
    assert not finding_of(verdict, "lang_en").gating
    assert finding_of(verdict, "lang_en").status == "failed"


def test_a_small_loss_is_undecided_and_says_how_many_cases_would_settle_it():
    verdict = verdict_of(lost_in("vi", 0.05), RULES | {"slices": {"lang_vi": 0.05}})
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    found = finding_of(verdict)
    assert found.needed is not None
    assert found.needed > 0
    assert any(re.search(rf"{found.needed} more cases .*lang_vi", s) for s in verdict.next_steps)


def test_a_slice_that_holds_every_case_is_still_judged():
    verdict = verdict_of(lost_in("vi", 0.5), RULES | {"slices": {"source_handwritten": 0.08}})
    assert finding_of(verdict, "source_handwritten").status == "failed"


def test_a_slice_nobody_has_is_undecided_and_warned_of_beforehand():
    options = RULES | {"slices": {"slice_irony": 0.05}}
    verdict = verdict_of(GOOD, options)
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    assert "No golden case of the slice slice_irony" in verdict.summary
    [warning] = power_warnings(policy({"emotion_f1": options}), task(), GOLD)
    assert "slice_irony has 0 cases and can never pass" in warning


def test_a_slice_of_few_cases_cannot_pass():
    few = golden(
        [case.label for case in GOLD.cases],
        slices=[("rare",) if i < 20 else () for i in range(GOLD.size)],
    )
    options = RULES | {"slices": {"slice_rare": 0.5}}
    found = finding_of(verdict_of(GOOD, options, few), "slice_rare")
    assert found.status == "undecided"
    assert found.needed == 30


def test_a_name_that_no_slice_can_have_is_refused_and_others_are_explained():
    for name in ("vi", "stratum_hitl"):
        with pytest.raises(ConfigError, match=f"slices: '{name}' is no slice"):
            registry.build(policy({"emotion_f1": {"slices": {name: 0.1}}}), task())
    text = "\n".join(explain(policy({"emotion_f1": RULES}), task()))
    assert "on lang_vi its accuracy must be shown to lie less than 0.08 below production's" in text


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (9, 3), (2, 8), (30, 0)])
def test_the_test_and_its_bound_agree(lost, gained):
    pairs = PairedRates(n=120, both=5, candidate_only=lost, production_only=gained)
    _, upper = paired_difference_bounds(pairs, alpha=0.05)
    assert within_margin_p(pairs, upper + 1e-6) < 0.05 < within_margin_p(pairs, upper - 1e-6)
