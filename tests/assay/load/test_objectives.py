"""Objectives are met or missed by the bound on the safe side; else the run says what it takes."""

from typing import Any

import pytest

from assay.load.named_profiles import named_profile
from assay.load.objectives import LoadOutcome, judge_load, requests_to_decide
from assay.load.profile import LoadProfile
from assay.records import FindingStatus
from tests.assay.load.requests import answered, failed, summed

QUICK = named_profile("quick")


def result(requests: list[Any], name: str, profile: LoadProfile = QUICK, **run: Any) -> Any:
    verdict = judge_load(profile, summed(requests, profile, **run))
    return next(one for one in verdict.objectives if one.name == name)


def outcome(requests: list[Any], profile: LoadProfile = QUICK, **run: Any) -> LoadOutcome:
    return judge_load(profile, summed(requests, profile, **run)).outcome


def with_objectives(**limits: Any) -> LoadProfile:
    return named_profile("quick", {"quick": {"objectives": limits}})


def test_a_quick_good_load_meets_its_objectives() -> None:
    assert outcome([answered(i) for i in range(400)]) is LoadOutcome.MET


def test_a_p99_of_too_few_requests_is_not_judged_and_says_how_many_it_takes() -> None:
    found = result([answered(i) for i in range(298)], "ttft_p99_ms")
    assert found.status is FindingStatus.UNDECIDED
    assert found.needed == 299
    assert "299" in found.reason
    assert outcome([answered(i) for i in range(298)]) is LoadOutcome.TOO_FEW


def test_a_p99_beyond_its_limit_is_missed_by_its_lower_bound() -> None:
    slow = [answered(i, ttft_ms=900.0 if i % 10 == 0 else 50.0) for i in range(400)]
    found = result(slow, "ttft_p99_ms")
    assert found.status is FindingStatus.FAILED
    assert found.lower > 500
    assert outcome(slow) is LoadOutcome.MISSED


def test_a_p99_near_its_limit_is_neither() -> None:
    near = [answered(i, ttft_ms=900.0 if i % 100 == 0 else 50.0) for i in range(400)]
    assert result(near, "ttft_p99_ms").status is FindingStatus.UNDECIDED


def test_requests_given_up_are_never_met() -> None:
    rows = [*(answered(i) for i in range(394)), *(failed(i, "timeout", 100) for i in range(6))]
    profile = with_objectives(max_error_rate=0.5, min_availability=0.5)
    found = result(rows, "ttft_p99_ms", profile)
    assert found.status is FindingStatus.UNDECIDED  # waited 100 ms only: the truth is longer
    rows += [failed(i, "timeout", 30_000) for i in range(60)]
    assert result(rows, "ttft_p99_ms", profile).status is FindingStatus.FAILED


def test_the_speed_is_the_slow_end_of_the_answers() -> None:
    fast = result([answered(i) for i in range(400)], "tokens_per_s")
    assert fast.status is FindingStatus.PASSED
    assert fast.value == pytest.approx(100)
    slow = result([answered(i, gaps_ms=(25.0,) * 4) for i in range(400)], "tokens_per_s")
    assert slow.status is FindingStatus.FAILED
    assert slow.upper < 50


def test_a_model_that_answers_in_one_token_has_no_speed() -> None:
    rows = [answered(i, gaps_ms=(), completion_tokens=1) for i in range(400)]
    found = result(rows, "tokens_per_s")
    assert found.status is FindingStatus.UNDECIDED
    assert "tokens_per_s: null" in found.reason
    assert outcome(rows, with_objectives(tokens_per_s=None)) is LoadOutcome.MET


def test_an_error_rate_is_held_by_exact_bounds() -> None:
    profile = with_objectives(max_error_rate=0.01, min_availability=None, ttft_p99_ms=None)
    clean = [answered(i) for i in range(299)]
    assert result(clean, "max_error_rate", profile).status is FindingStatus.PASSED
    fewer = result(clean[:298], "max_error_rate", profile)
    assert fewer.status is FindingStatus.UNDECIDED
    assert fewer.needed == 299
    bad = [*clean, *(failed(i, "http_500") for i in range(20))]
    assert result(bad, "max_error_rate", profile).status is FindingStatus.FAILED


def test_availability_counts_only_a_server_that_was_not_there() -> None:
    rows = [*(answered(i) for i in range(400)), *(failed(i, "http_429") for i in range(40))]
    assert result(rows, "min_availability").status is FindingStatus.PASSED
    assert result(rows, "max_error_rate").status is FindingStatus.FAILED
    gone = [*(answered(i) for i in range(400)), *(failed(i, "connection") for i in range(40))]
    found = result(gone, "min_availability")
    assert found.status is FindingStatus.FAILED
    assert found.value == pytest.approx(400 / 440)
    assert found.lower < found.value < found.upper < 0.99


@pytest.mark.parametrize("limit", [0.001, 0.01])
def test_how_many_requests_it_takes_is_enough_and_one_less_is_not(limit: float) -> None:
    profile = with_objectives(max_error_rate=limit, min_availability=1 - limit)
    needed = requests_to_decide(profile)
    assert needed == (2995 if limit == 0.001 else 299)
    rows = [answered(i) for i in range(needed)]
    assert outcome(rows, profile) is LoadOutcome.MET
    assert outcome(rows[1:], profile) is LoadOutcome.TOO_FEW


def test_a_generator_that_was_late_makes_the_run_invalid_and_says_why() -> None:
    rows = [answered(i, started_s=i / 100 + 0.04, ttft_ms=90.0) for i in range(400)]
    verdict = judge_load(QUICK, summed(rows))
    assert verdict.outcome is LoadOutcome.INVALID
    assert "could not keep up" in verdict.invalid[0]


def test_a_generator_out_of_breath_makes_the_run_invalid() -> None:
    verdict = judge_load(QUICK, summed([answered(i) for i in range(400)], cpu_s=9.5))
    assert verdict.outcome is LoadOutcome.INVALID
    assert "95% of one core" in verdict.invalid[0]


def test_a_load_that_nobody_answered_measured_nothing() -> None:
    verdict = judge_load(QUICK, summed([failed(i, "timeout", 30_000) for i in range(400)]))
    assert verdict.outcome is LoadOutcome.INVALID
    assert "timeout × 400" in verdict.invalid[0]
    assert judge_load(QUICK, summed([])).outcome is LoadOutcome.INVALID


@pytest.mark.parametrize("end", [{"interrupted": True}, {"stopped": "ended early"}])
def test_partial_results_can_be_a_miss_and_never_a_pass(end: dict[str, Any]) -> None:
    good = [answered(i) for i in range(400)]
    assert outcome(good, **end) is LoadOutcome.TOO_FEW
    slow = [answered(i, ttft_ms=900.0) for i in range(400)]
    assert outcome(slow, **end) is LoadOutcome.MISSED


def test_what_a_reader_must_know_is_noted() -> None:
    closed = named_profile("quick", {"quick": {"arrivals": {"kind": "closed", "concurrency": 2}}})
    rows = [
        answered(0, completion_tokens=None), answered(1, started_s=0.5, held_s=0.49),
        failed(2, "http_429", retry_after_s=12.0),
    ]  # fmt: skip
    verdict = judge_load(closed, summed(rows, closed, interrupted=True, sent=3))
    said = "\n".join(verdict.notes)
    for words in ("partial", "closed loop", "waited for a place", "token counts", "12 s"):
        assert words in said


def test_exit_codes_are_those_of_the_gate() -> None:
    assert [o.exit_code for o in LoadOutcome] == [0, 10, 11, 12]
