import pytest

from assay.records import VerdictKind
from tests.judgement_cases import LABELS, balanced, judged, policy

GOLD = balanced(200)
TRUTH: list[str | None] = [case.label for case in GOLD.cases]


def with_invalid(count: int, start: int = 0) -> list[str | None]:
    """The truth, with so many invalid answers, spread over the set."""
    answers = list(TRUTH)
    step = len(answers) // max(count, 1)
    for i in range(count):
        answers[(start + i * step) % len(answers)] = None
    return answers


def verdict(production, candidate, **options):
    return judged(GOLD, production, candidate, policy=policy({"validity": options})).verdict


def statuses(found):
    return [finding.status.value for finding in found.findings]


def test_no_invalid_answer_passes():
    found = verdict(TRUTH, TRUTH)
    assert found.verdict is VerdictKind.PROMOTE
    assert found.metrics["candidate"] == {"validity/invalid_rate": 0.0}


def test_far_too_many_invalid_answers_block():
    found = verdict(TRUTH, with_invalid(40))
    assert found.verdict is VerdictKind.BLOCK
    assert statuses(found) == ["failed", "failed"]
    assert "40 of 600 answers name no label (6.67%" in found.summary


def test_a_rate_near_the_limit_is_undecided_and_says_what_would_settle_it():
    found = verdict(with_invalid(8), with_invalid(8))
    assert statuses(found) == ["undecided", "passed"]
    [limit, _] = found.findings
    assert limit.needed is not None
    assert limit.needed > 0


def test_production_is_paired_case_by_case():
    # As many invalid answers, on other cases: no difference, but not certain to be none either.
    same = verdict(with_invalid(9), with_invalid(9), max_invalid_rate=0.5, margin=0.01)
    other = verdict(with_invalid(9), with_invalid(9, start=7), max_invalid_rate=0.5, margin=0.01)
    assert [f.difference for f in (same.findings[1], other.findings[1])] == [0, 0]
    assert statuses(same) == ["passed", "passed"]
    assert statuses(other) == ["passed", "undecided"]


@pytest.mark.parametrize("options", [{"max_invalid_rate": 0}, {"margin": 1.0}])
def test_limits_out_of_range_are_refused(options):
    with pytest.raises(Exception, match=next(iter(options))):
        verdict(TRUTH, TRUTH, **options)


def test_an_invalid_answer_is_not_a_right_one_and_is_not_dropped():
    assert set(LABELS) == set(TRUTH)
    found = judged(GOLD, TRUTH, with_invalid(60)).verdict
    assert found.metrics["candidate"]["emotion_f1/accuracy"] == pytest.approx(0.9)
