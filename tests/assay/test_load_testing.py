"""A load test from profile to report: same questions for two models, known truth, a search."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from assay.adapters.chat_wire import Failure
from assay.adapters.in_memory_load import InMemoryLoad, Scripted
from assay.errors import ConfigError
from assay.load.named_profiles import named_profile
from assay.load.objectives import LoadOutcome
from assay.load.profile import LoadProfile
from assay.load.report import LoadReport
from assay.load.samples import GeneratorRun, TimedRequest
from assay.load_testing import LoadTest, load_plan, load_questions, run_load_test
from assay.ports import LoadPlan
from assay.records import AnswerStatus, Endpoint, GoldenCase
from assay.task import Decoding, Message, Task

ENDPOINT = Endpoint(base_url="http://localhost", model="tiny")
TASK = Task(
    schema_version=1,
    name="emotion",
    labels=("joy", "anger"),
    messages=(Message(role="user", content="{text}"),),
    decoding=Decoding(mode="constrained"),
    readiness_text="hello",
)


def cases(count: int) -> list[GoldenCase]:
    return [
        GoldenCase(
            id=f"c{i}", text=f"text {i}", text_sha256="0" * 64, label="joy", lang="en",
            source="test", stratum="core", slices=(), added_in="1",
        )
        for i in range(count)
    ]  # fmt: skip


def profile(**fields: Any) -> LoadProfile:
    base: dict[str, Any] = {
        "name": "test", "arrivals": {"kind": "constant", "rate_per_s": 200.0}, "duration_s": 1.0,
        "warm_up_s": 0.1, "prompts": {"kind": "lengths", "prompts": 20},
        "objectives": {"max_error_rate": 0.01, "min_availability": 0.99},
        "generator": {"max_lag_p99_ms": 5000.0, "max_cpu_share": 1.0},
    }  # fmt: skip
    return LoadProfile.model_validate(base | fields)


def run(chosen: LoadProfile, script: Any, requests: list[TimedRequest] | None = None) -> LoadReport:
    test = LoadTest(
        generator=InMemoryLoad(script=script),
        endpoint=ENDPOINT,
        questions=load_questions(chosen, None, ()),
        run_id="run-1",
        sink=(lambda request: None) if requests is None else requests.append,
    )
    return run_load_test(chosen, test)


def test_a_profile_and_a_seed_ask_two_models_the_same_in_the_same_order() -> None:
    chosen = named_profile("quick")
    first, second = (load_questions(chosen, TASK, cases(50)) for _ in range(2))
    assert first == second
    assert [q.case_id for q in first] != [c.id for c in cases(50)]
    assert {q.case_id for q in first} == {c.id for c in cases(50)}
    assert first[0].choices == ("joy", "anger")
    plans = [load_plan(chosen, first) for _ in range(2)]
    assert np.array_equal(plans[0].starts_s, plans[1].starts_s)  # type: ignore[arg-type]
    other = load_questions(chosen.model_copy(update={"seed": 1}), TASK, cases(50))
    assert [q.case_id for q in other] != [q.case_id for q in first]


def test_golden_prompts_may_be_limited_and_need_cases() -> None:
    few = named_profile("quick", {"quick": {"prompts": {"limit": 7}}})
    assert len(load_questions(few, TASK, cases(50))) == 7
    with pytest.raises(ConfigError, match="there is none"):
        load_questions(few, TASK, [])


def test_drawn_prompts_have_the_lengths_asked_for_and_beginnings_of_their_own() -> None:
    lengths = {
        "kind": "lengths", "prompts": 2000, "words_median": 40, "words_sigma": 0.5,
        "words_max": 150, "max_tokens": 9,
    }  # fmt: skip
    chosen = profile(prompts=lengths)
    questions = load_questions(chosen, None, ())
    texts = [str(q.messages[0]["content"]).split() for q in questions]
    counts = np.asarray([len(words) for words in texts])
    assert np.median(counts) == pytest.approx(40, rel=0.06)
    assert np.std(np.log(counts)) == pytest.approx(0.5, rel=0.1)
    assert counts.max() == 150
    assert len({words[0] for words in texts}) == 2000
    assert {q.decoding.max_tokens for q in questions} == {9}
    assert load_plan(chosen, questions).body == {"ignore_eos": True}


class Stalling:
    """Answers after 20 ms, except while it stands still; knows when each answer was due."""

    def __init__(self, at_s: float, for_s: float) -> None:
        self._from, self._to = at_s, at_s + for_s
        self._zero: float | None = None

    def __call__(self, body: Mapping[str, Any]) -> Scripted:
        self._zero = time.monotonic() if self._zero is None else self._zero
        now = time.monotonic() - self._zero
        wait = self._to - now if self._from <= now < self._to else 0.0
        return Scripted(first_token_s=wait + 0.02, tokens=1)


def test_a_stall_is_owed_to_everybody_who_came_meanwhile() -> None:
    requests: list[TimedRequest] = []
    report = run(
        profile(duration_s=1.5, warm_up_s=0.0, objectives={"ttft_p99_ms": 300.0}),
        Stalling(0.5, 0.5),
        requests,
    )
    # Everybody meant to start at t within the stall waits until its end.
    starts = np.arange(300) / 200
    truth = np.where((starts >= 0.5) & (starts < 1.0), 1.0 - starts, 0.0) * 1e3 + 20
    ttft = report.summary.times["ttft"]
    for share in (0.5, 0.9, 0.95, 0.99):
        found = ttft.at(share)
        assert found is not None
        exact = float(np.sort(truth)[int(np.ceil(share * 300)) - 1])
        assert found.value == pytest.approx(exact, rel=0.1, abs=100)
    assert report.verdict.outcome is LoadOutcome.MISSED
    assert len(requests) == 300


def test_a_closed_loop_hides_that_stall_and_the_report_says_so() -> None:
    closed = profile(arrivals={"kind": "closed", "concurrency": 4}, duration_s=1.5, warm_up_s=0.0)
    report = run(closed, Stalling(0.5, 0.5))
    found = report.summary.times["ttft"].at(0.95)
    assert found is not None
    assert found.value < 250
    assert any("hides queueing" in note for note in report.verdict.notes)


def test_a_report_reads_back_and_fits_its_schema() -> None:
    report = run(profile(duration_s=0.5), lambda body: Scripted(tokens=3, token_s=0.001))
    document = report.as_json()
    Draft202012Validator(LoadReport.model_json_schema()).validate(document)
    assert LoadReport.model_validate(document) == report
    assert LoadReport.model_validate_json(report.model_dump_json()) == report


def test_prompts_asked_more_than_once_are_noted_for_the_prefix_cache() -> None:
    report = run(profile(duration_s=0.2), lambda body: Scripted(tokens=1))
    [note] = report.verdict.notes
    assert "each of 20 prompts was asked up to 3 times" in note
    few = profile(duration_s=0.2, prompts={"kind": "lengths", "prompts": 100})
    assert run(few, lambda body: Scripted(tokens=1)).verdict.notes == ()


def test_errors_are_counted_by_kind_and_missed() -> None:
    count = [0]

    def script(body: Mapping[str, Any]) -> Scripted | Failure:
        count[0] += 1
        return Failure(kind="http_500", status=500) if count[0] % 5 == 0 else Scripted(tokens=1)

    report = run(profile(), script)
    assert report.verdict.outcome is LoadOutcome.MISSED
    assert set(report.summary.errors) == {"http_500"}
    assert report.summary.errors["http_500"] == pytest.approx(40, abs=5)


class Queue:
    """A generator in virtual time, before a server that serves one request at a time."""

    def __init__(self, per_s: float) -> None:
        self._service_s = 1 / per_s

    def run(
        self,
        endpoint: Endpoint,
        plan: LoadPlan,
        on_request: Callable[[TimedRequest], str | None],
        *,
        run_id: str,
    ) -> GeneratorRun:
        assert plan.starts_s is not None
        free_s, stopped, sent = 0.0, None, 0
        for start_s in plan.starts_s.tolist():
            free_s = max(free_s, start_s) + self._service_s
            stopped = on_request(
                TimedRequest(
                    index=sent, case_id="c", request_id=f"{run_id}-{sent}", intended_s=start_s,
                    started_s=start_s, first_token_s=free_s, ended_s=free_s, prompt_tokens=1,
                    completion_tokens=1, status=AnswerStatus.OK,
                    warm_up=start_s < plan.warm_up_s,
                )
            )  # fmt: skip
            sent += 1
            if stopped is not None:
                break
        return GeneratorRun(
            planned=len(plan.starts_s), sent=sent, wall_s=free_s, cpu_s=0.0, most_in_flight=1,
            stopped=stopped,
        )  # fmt: skip


def search_profile(**limits: Any) -> LoadProfile:
    objectives = {"ttft_p99_ms": 200.0, "tokens_per_s": None, "max_error_rate": 0.01} | limits
    return profile(
        arrivals={"kind": "poisson", "rate_per_s": 1.0}, duration_s=30.0, warm_up_s=1.0,
        objectives=objectives | {"min_availability": None}, search={"start_per_s": 20.0},
    )  # fmt: skip


def found_by(chosen: LoadProfile, server: Queue) -> LoadReport:
    test = LoadTest(
        generator=server, endpoint=ENDPOINT, questions=load_questions(chosen, None, ()), run_id="r"
    )
    return run_load_test(chosen, test)


def test_the_search_finds_the_rate_at_which_a_queue_grows_too_long() -> None:
    # With 10 ms of service and Poisson arrivals, the p99 reaches 200 ms near nine tenths of 100/s.
    report = found_by(search_profile(), Queue(100.0))
    assert report.search is not None
    found = report.search.rate_per_s
    assert found is not None
    assert 70 <= found <= 97
    assert report.verdict.outcome is LoadOutcome.MET
    assert report.verdict.notes[0] == report.search.reason
    assert report.summary.requests >= 299
    missed = [step for step in report.search.steps if not step.met and not step.confirmation]
    assert missed
    # A step that cannot meet the objectives any more is not run to its end.
    overload = max(missed, key=lambda step: step.rate_per_s)
    assert overload.rate_per_s >= 120
    assert overload.requests < overload.rate_per_s * 15


def test_a_search_that_no_rate_satisfies_is_a_miss() -> None:
    report = found_by(search_profile(ttft_p99_ms=5.0), Queue(100.0))
    assert report.search is not None
    assert report.search.rate_per_s is None
    assert report.verdict.outcome is LoadOutcome.MISSED
