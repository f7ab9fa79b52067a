"""A load test from profile to report: same questions for two models, known truth, a search."""

import time
from collections.abc import Mapping
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
from assay.load.samples import TimedRequest
from assay.load_testing import LoadTest, load_plan, load_questions, run_load_test
from assay.records import Endpoint, GoldenCase
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
        "generator": {"max_lag_p99_ms": 250.0, "max_cpu_share": 1.0},
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
        assert found.value == pytest.approx(exact, rel=0.05, abs=15)
    assert report.verdict.outcome is LoadOutcome.MISSED
    assert len(requests) == 300


def test_a_closed_loop_hides_that_stall_and_the_report_says_so() -> None:
    closed = profile(arrivals={"kind": "closed", "concurrency": 4}, duration_s=1.5, warm_up_s=0.0)
    report = run(closed, Stalling(0.5, 0.5))
    found = report.summary.times["ttft"].at(0.95)
    assert found is not None
    assert found.value < 100
    assert any("hides queueing" in note for note in report.verdict.notes)


def test_a_report_reads_back_and_fits_its_schema() -> None:
    report = run(profile(duration_s=0.5), lambda body: Scripted(tokens=3, token_s=0.001))
    document = report.as_json()
    Draft202012Validator(LoadReport.model_json_schema()).validate(document)
    assert LoadReport.model_validate(document) == report
    assert LoadReport.model_validate_json(report.model_dump_json()) == report


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
    """A server that serves one request at a time: so many a second, and no more."""

    def __init__(self, per_s: float) -> None:
        self._service_s = 1 / per_s
        self._free_s = 0.0

    def __call__(self, body: Mapping[str, Any]) -> Scripted:
        now = time.monotonic()
        self._free_s = max(self._free_s, now) + self._service_s
        return Scripted(first_token_s=self._free_s - now, tokens=1)


def test_the_search_finds_the_rate_at_which_a_queue_begins_to_grow() -> None:
    chosen = profile(
        arrivals={"kind": "constant", "rate_per_s": 1.0}, warm_up_s=0.0, duration_s=1.0,
        objectives={
            "ttft_p99_ms": 60.0, "tokens_per_s": None, "max_error_rate": 0.01,
            "min_availability": None,
        },
        search={"start_per_s": 100.0, "step_s": 0.6, "step_requests": 60, "precision": 0.2},
        request_timeout_s=5.0,
    )  # fmt: skip
    report = run(chosen, Queue(300.0))
    assert report.search is not None
    found = report.search.rate_per_s
    assert found is not None, report.search
    assert 200 <= found <= 330
    assert report.verdict.outcome is LoadOutcome.MET
    assert report.verdict.notes[0] == report.search.reason
    assert report.summary.requests >= 299
    stopped = [step for step in report.search.steps if not step.met]
    assert stopped


def test_a_search_that_no_rate_satisfies_is_a_miss() -> None:
    chosen = profile(
        arrivals={"kind": "poisson", "rate_per_s": 1.0}, warm_up_s=0.0,
        search={
            "start_per_s": 200.0, "growth": 4.0, "min_per_s": 20.0, "step_s": 0.1,
            "step_requests": 10,
        },
        objectives={"ttft_p99_ms": 1.0},
    )  # fmt: skip
    report = run(chosen, lambda body: Scripted(first_token_s=0.02, tokens=1))
    assert report.search is not None
    assert report.search.rate_per_s is None
    assert report.verdict.outcome is LoadOutcome.MISSED
