"""What a load comes to: nothing missing is zero, and time counts from the intended start."""

import pytest

from assay.load.named_profiles import named_profile
from assay.load.samples import latency_sample
from assay.load.summary import is_good, is_unavailable
from assay.records import AnswerStatus
from tests.assay.load.requests import answered, failed, summed


def test_time_counts_from_the_intended_start() -> None:
    late = answered(0, intended_s=1.0, started_s=3.0, ttft_ms=2050.0)
    assert late.ttft_ms == pytest.approx(2050)
    assert late.wire_ttft_ms == pytest.approx(50)
    assert late.lag_ms == pytest.approx(2000)
    held = answered(0, intended_s=1.0, started_s=3.0, held_s=1.99, ttft_ms=2050.0)
    assert held.lag_ms == pytest.approx(10)
    assert held.ttft_ms == pytest.approx(2050)


def test_rates_are_over_the_measured_time() -> None:
    summary = summed([answered(i) for i in range(100)])
    # 0 to 0.99 s, and 90 ms for the last answer.
    assert summary.measured_s == pytest.approx(1.08)
    assert summary.answered_per_s == pytest.approx(100 / 1.08)
    assert summary.offered_per_s == pytest.approx(100)
    assert summary.input_tokens_per_s == pytest.approx(2000 / 1.08)
    assert summary.output_tokens_per_s == pytest.approx(500 / 1.08)
    assert summary.good_share == 1.0
    assert summary.good_per_s == summary.answered_per_s


def test_the_warm_up_is_not_measured() -> None:
    warm = [answered(i, ttft_ms=9000.0, warm_up=True) for i in range(10)]
    summary = summed([*warm, failed(10, "http_500", warm_up=True), answered(11)])
    assert (summary.requests, summary.answered, summary.failed) == (1, 1, 0)
    assert summary.times["ttft"].max_ms == pytest.approx(50)


def test_a_request_given_up_takes_part_as_long_as_it_was_waited_for() -> None:
    summary = summed(
        [*(answered(i) for i in range(95)), *(failed(i, "timeout", 30_000) for i in range(95, 100))]
    )
    assert summary.errors == {"timeout": 5}
    assert summary.times["ttft"].given_up == summary.times["e2e"].given_up == 5
    p50, p99 = summary.times["ttft"].at(0.5), summary.times["ttft"].at(0.99)
    assert p50 is not None
    assert p99 is not None
    assert p50.value == pytest.approx(50)
    assert p99.at_least
    assert p99.value == pytest.approx(30_000)


def test_the_first_word_of_a_request_given_up_later_is_a_measured_time() -> None:
    request = failed(0, "timeout", 30_000, first_token_s=0.2)
    summary = summed([request])
    assert summary.times["ttft"].given_up == 0
    assert summary.times["ttft"].max_ms == pytest.approx(200)
    assert summary.times["e2e"].given_up == 1


def test_other_failures_have_no_time_and_count_by_kind() -> None:
    kinds = ["http_429", "broken", "http_429", "garbage", "connection", "http_503"]
    summary = summed([answered(9), *(failed(i, kind) for i, kind in enumerate(kinds))])
    assert summary.errors == {
        "http_429": 2, "broken": 1, "garbage": 1, "connection": 1, "http_503": 1,
    }  # fmt: skip
    assert next(iter(summary.errors)) == "http_429"
    assert summary.times["ttft"].n == summary.times["e2e"].n == 1
    assert summary.unavailable == 3
    assert summary.good == 1


def test_answers_without_token_counts_leave_the_tokens_unknown() -> None:
    uncounted = answered(1, prompt_tokens=None, completion_tokens=None)
    summary = summed([answered(0), uncounted])
    assert summary.input_tokens_per_s is None
    assert summary.output_tokens_per_s is None
    assert summary.uncounted == 1
    assert summary.times["tpot"].n == 1
    assert not is_good(uncounted, named_profile("quick").objectives)


def test_nothing_measured_is_unknown_and_not_zero() -> None:
    summary = summed([])
    assert summary.requests == 0
    assert summary.answered_per_s is summary.good_per_s is summary.output_tokens_per_s is None
    assert summary.good_share is None
    assert summary.times["ttft"].percentiles == ()
    assert summary.times["ttft"].max_ms is None


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"ttft_ms": 501.0}, False),
        ({"gaps_ms": (21.0,) * 4}, False),
        ({"gaps_ms": (), "completion_tokens": 1}, True),
        ({"gaps_ms": (), "completion_tokens": 5}, False),
        ({"first_token_s": None, "gaps_ms": (), "completion_tokens": 0}, False),
    ],
)
def test_goodput_asks_every_objective_of_each_request(
    changes: dict[str, float], good: bool
) -> None:
    assert is_good(answered(0, **changes), named_profile("quick").objectives) is good


def test_time_per_token_reaches_to_the_end_because_the_last_token_has_no_words() -> None:
    first = answered(0).first_token_s
    assert first is not None
    late = answered(0, gaps_ms=(10.0, 10.0), ended_s=first + 0.032, completion_tokens=5)
    assert late.tpot_ms == pytest.approx(8.0)


def test_time_per_token_is_over_counted_tokens_and_not_over_pieces() -> None:
    assert answered(0, gaps_ms=(10.0, 10.0), completion_tokens=5).tpot_ms == pytest.approx(5.0)
    assert answered(0, gaps_ms=(), completion_tokens=5).tpot_ms is None
    assert answered(0, completion_tokens=None).tpot_ms is None


@pytest.mark.parametrize(
    ("kind", "lost"),
    [("connection", True), ("timeout", True), ("broken", True), ("http_500", True),
     ("http_503", True), ("http_429", False), ("http_400", False), ("garbage", False)],
)  # fmt: skip
def test_a_server_that_says_no_is_there(kind: str, lost: bool) -> None:
    assert is_unavailable(kind) is lost


def test_the_gate_stores_a_request_as_a_latency_sample() -> None:
    sample = latency_sample(answered(3, intended_s=1.5, started_s=1.6, ttft_ms=200.0), block=4)
    assert (sample.block, sample.case_id, sample.started_s) == (4, "c3", 1.6)
    assert sample.ttft_ms == pytest.approx(100)
    assert sample.intended_s is None
    open_loop = latency_sample(
        answered(3, intended_s=1.5, started_s=1.6, ttft_ms=200.0), block=4, begun_s=10.0,
        open_loop=True,
    )  # fmt: skip
    assert (open_loop.intended_s, open_loop.started_s) == (11.5, 11.6)
    assert open_loop.ttft_ms == sample.ttft_ms
    lost = latency_sample(failed(3, "timeout", 900, first_token_s=0.1), block=4)
    assert (lost.status, lost.error_kind) == (AnswerStatus.ERROR, "timeout")
    assert lost.ttft_ms is lost.e2e_ms is None
