"""What an engine's figures say: counts by session, moments under load, faults, and two clocks."""

import pytest

from assay.engine_health import ClockCheck, check_clock, health, windows
from assay.records import AnswerStatus, EngineSample, GpuSample, LatencySample


def request(block: int, started_s: float, *, ttft_ms: float | None = 10.0) -> LatencySample:
    answered = ttft_ms is not None
    return LatencySample(
        block=block, case_id="c", started_s=started_s,
        status=AnswerStatus.OK if answered else AnswerStatus.ERROR,
        error_kind=None if answered else "timeout", ttft_ms=ttft_ms,
        e2e_ms=1000.0 if answered else None, prompt_tokens=9,
        completion_tokens=2 if answered else None, request_id="",
    )  # fmt: skip


LOAD = tuple(request(block, 10.0 * block) for block in range(3))
"""Three blocks of a second each, ten seconds apart."""


def told(at_s: float, **figures) -> EngineSample:
    usual = {"running": 1.0, "waiting": 0.0, "kv_cache_share": 0.2, "preemptions": 0.0}
    return EngineSample(at_s=at_s, **(usual | figures))


def test_an_engine_that_was_not_watched_has_no_health() -> None:
    assert health((), LOAD) is None


def test_only_moments_of_its_own_load_count() -> None:
    assert windows(LOAD) == ((0.0, 1.0), (10.0, 11.0), (20.0, 21.0))
    found = health(
        [told(0.5), told(5.0, waiting=99.0, kv_cache_share=0.99), told(10.5, waiting=3.0)], LOAD
    )
    assert found is not None
    assert (found.samples, found.under_load) == (3, 2)
    assert (found.queue_max, found.kv_cache_max) == (3.0, 0.2)
    assert found.faults == ()


def test_what_no_sample_said_is_none_and_no_fault_is_made_of_it() -> None:
    found = health([EngineSample(at_s=0.5, error_kind="timeout")] * 3, LOAD)
    assert found is not None
    assert found.unanswered == 3
    assert found.faults == ()
    assert {found.queue_max, found.kv_cache_max, found.preemptions, found.prefix_hit_rate} == {None}
    assert {found.cpu_cores, found.memory_max_bytes, found.gpu_busy, found.idle_share} == {None}


def test_counts_grow_within_a_session_and_begin_anew_in_the_next() -> None:
    samples = [
        told(0.0, preemptions=100.0, prompt_tokens=1000.0, cpu_s=50.0),
        told(2.0, preemptions=101.0, prompt_tokens=1300.0, cpu_s=53.0),
        told(9.0, preemptions=7.0, prompt_tokens=9000.0, cpu_s=8.0, session=1),
        told(11.0, preemptions=9.0, prompt_tokens=9200.0, cpu_s=9.0, session=1),
    ]
    found = health(samples, LOAD)
    assert found is not None
    assert (found.preemptions, found.prompt_tokens) == (3.0, 500.0)
    assert found.cpu_cores == pytest.approx(4 / 4)
    assert found.faults == ("it preempted 3 requests",)


def test_a_count_that_a_session_told_once_is_not_known() -> None:
    found = health([told(0.0, prompt_tokens=5.0), told(1.0), told(2.0)], LOAD)
    assert found is not None
    assert found.prompt_tokens is None


def test_a_full_cache_and_a_queue_that_never_drains_are_faults() -> None:
    crowded = [told(i * 0.1, waiting=4.0 + i, kv_cache_share=0.97) for i in range(6)]
    found = health(crowded, LOAD)
    assert found is not None
    assert found.faults == (
        "its KV cache was 97% full",
        "its waiting queue never drained (up to 9 requests)",
    )
    drained = health([*crowded, told(0.9, waiting=0.0)], LOAD)
    assert drained is not None
    assert not drained.queue_never_drained
    few = health(crowded[:4], LOAD)
    assert few is not None
    assert not few.queue_never_drained


def test_accelerators_are_added_up_and_absent_ones_are_not_zero() -> None:
    def gpu(index: int, busy: float | None) -> GpuSample:
        return GpuSample(
            index=index, busy_share=busy, memory_bytes=5, memory_total_bytes=10, power_w=None
        )

    found = health([told(0.2, gpus=(gpu(0, 0.5), gpu(1, None))), told(0.4, gpus=())], LOAD)
    assert found is not None
    assert (found.gpu_busy, found.gpu_memory_max_bytes) == (0.5, 10)


def seen_by_engine(count: float, sum_s: float, asked: float = 0.0):
    return health([told(0.0, ttft_count=asked, ttft_sum_s=0.0),
                   told(30.0, ttft_count=asked + count, ttft_sum_s=sum_s)], LOAD)  # fmt: skip


def test_two_clocks_are_compared_over_the_same_requests() -> None:
    found = check_clock(seen_by_engine(3, 0.024, asked=50.0), LOAD)
    assert isinstance(found, ClockCheck)
    assert (found.requests, found.client_ms) == (3, 10.0)
    assert found.engine_ms == pytest.approx(8.0)
    assert found.outside_ms == pytest.approx(2.0)


def test_an_engine_that_others_ask_too_is_not_compared() -> None:
    found = check_clock(seen_by_engine(40, 0.4), LOAD)
    assert isinstance(found, str)
    assert "not of these requests alone" in found
    assert check_clock(seen_by_engine(2, 0.02), LOAD) is not None


def test_a_request_that_we_gave_up_may_have_had_a_first_token() -> None:
    load = (*LOAD, request(2, 20.5, ttft_ms=None))
    assert isinstance(check_clock(seen_by_engine(4, 0.04), load), ClockCheck)
    assert isinstance(check_clock(seen_by_engine(5, 0.05), load), str)


def test_an_engine_without_times_is_not_compared() -> None:
    assert check_clock(None, LOAD) is None
    assert check_clock(health([told(0.1), told(0.2)], LOAD), LOAD) is None
