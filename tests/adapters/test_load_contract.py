"""One contract for every generator of load: the real one (TCP and unix socket) and in memory.

The real one talks to a real local server; the in-memory one is given the same script.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.adapters.chat_wire import Failure
from assay.adapters.in_memory_load import InMemoryLoad, Scripted
from assay.adapters.load_aiohttp import AiohttpLoad
from assay.errors import ConfigError, InfrastructureError
from assay.load.samples import GeneratorRun, TimedRequest
from assay.ports import LoadGenerator, LoadPlan, Question
from assay.records import AnswerStatus, Endpoint
from assay.task import Decoding
from tests.openai_server import Fail, OpenAIServer, Say, Script

pytestmark = pytest.mark.alone

KINDS = {"drop": "connection", "half": "broken", "bad_event": "garbage", "stall": "timeout"}


def questions(count: int) -> list[Question]:
    return [
        Question(
            case_id=f"c{i}",
            messages=[{"role": "user", "content": f"text of c{i}"}],
            choices=None,
            decoding=Decoding(mode="free"),
        )
        for i in range(count)
    ]


def case_of(body: Any) -> str:
    return str(body["messages"][-1]["content"]).removeprefix("text of ")


def even(rate: float, count: int, *, warm_up_s: float = 0.0, **more: Any) -> LoadPlan:
    return LoadPlan(
        questions=more.pop("questions", questions(5)),
        starts_s=np.arange(count) / rate,
        most_in_flight=more.pop("most_in_flight", 64),
        request_timeout_s=more.pop("request_timeout_s", 5.0),
        warm_up_s=warm_up_s,
        **more,
    )


@dataclass
class Stage:
    """A generator, and whatever answers it."""

    generator: LoadGenerator
    endpoint: Endpoint
    requests: list[TimedRequest] = field(default_factory=list)

    def run(self, plan: LoadPlan) -> GeneratorRun:
        self.requests.clear()
        run = self.generator.run(self.endpoint, plan, self.requests.append, run_id="run-1")
        assert len({r.index for r in self.requests}) == len(self.requests)
        assert len({r.request_id for r in self.requests}) == len(self.requests)
        self.requests.sort(key=lambda request: request.index)
        return run


Build = Callable[..., Stage]


@pytest.fixture
def socket_path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="assay-"))  # a unix socket's path must be short
    yield folder / "v.sock"
    shutil.rmtree(folder)


@pytest.fixture(params=["aiohttp-tcp", "aiohttp-uds", "in-memory"])
def build(request: pytest.FixtureRequest, socket_path: Path) -> Iterator[Build]:
    servers: list[OpenAIServer] = []

    def make(script: Script, gone_after_s: float = 60.0) -> Stage:
        if request.param == "in-memory":
            endpoint = Endpoint(base_url="http://localhost", model="tiny")
            return Stage(
                InMemoryLoad(script=in_memory(script), gone_after_s=gone_after_s), endpoint
            )
        uds = socket_path if request.param.endswith("uds") else None
        servers.append(OpenAIServer(script=script, uds=uds).__enter__())
        return Stage(AiohttpLoad(gone_after_s=gone_after_s), servers[-1].endpoint)

    yield make
    for server in servers:
        server.stop()


def in_memory(script: Script) -> Callable[[Any], Scripted | Failure]:
    def answer(body: Any) -> Scripted | Failure:
        reply = script(body)
        if isinstance(reply, Say):
            return Scripted(
                first_token_s=reply.first_token_s, token_s=reply.token_s,
                tokens=len(reply.words.split()), counted=reply.counted,
            )  # fmt: skip
        if reply.how == "status":
            after = None if reply.retry_after is None else float(reply.retry_after)
            return Failure(kind=f"http_{reply.status}", status=reply.status, retry_after_s=after)
        return Failure(kind=KINDS[reply.how])

    return answer


SAY = Say(words="joy and more", first_token_s=0.03, token_s=0.02)


def test_an_open_loop_starts_every_request_when_it_was_meant_to(build: Build) -> None:
    stage = build(lambda body: SAY)
    plan = even(50.0, 30)
    run = stage.run(plan)
    assert plan.starts_s is not None
    assert [r.intended_s for r in stage.requests] == plan.starts_s.tolist()
    assert [r.case_id for r in stage.requests] == [f"c{i % 5}" for i in range(30)]
    assert all(r.started_s >= r.intended_s for r in stage.requests)
    assert np.median([r.lag_ms for r in stage.requests]) < 50
    assert (run.planned, run.sent, run.unsent) == (30, 30, 0)
    assert not run.interrupted
    assert run.stopped is None
    assert 0.58 < run.wall_s < 10
    assert 0 < run.cpu_s < run.wall_s


def test_times_are_those_of_the_answer(build: Build) -> None:
    stage = build(lambda body: SAY)
    stage.run(even(20.0, 8))
    for request in stage.requests:
        assert request.ok
        assert request.completion_tokens == 3
        assert request.prompt_tokens is not None
        assert request.ttft_ms is not None
        assert request.ttft_ms > 29
        assert len(request.gaps_ms) == 2
        assert request.ttft_ms + sum(request.gaps_ms) <= request.e2e_ms + 0.01
    # The middle one: a busy machine may deliver two words at once, now and then.
    assert 15 < np.median([gap for r in stage.requests for gap in r.gaps_ms]) < 100


def test_a_slow_server_does_not_slow_the_arrivals(build: Build) -> None:
    stage = build(lambda body: Say(words="joy", first_token_s=0.5))
    run = stage.run(even(100.0, 40))
    assert run.most_in_flight >= 35
    assert run.wall_s < 8
    assert np.median([r.started_s for r in stage.requests]) < 0.45


def test_a_request_that_waits_for_a_place_counts_the_wait_and_not_as_lag(build: Build) -> None:
    stage = build(lambda body: Say(words="joy", first_token_s=0.2))
    run = stage.run(even(100.0, 6, most_in_flight=2))
    assert run.most_in_flight == 2
    last = stage.requests[-1]
    assert last.held_s > 0.25
    assert last.ttft_ms is not None
    assert last.ttft_ms > 450
    assert last.lag_ms < 200
    assert stage.requests[0].held_s == stage.requests[1].held_s == 0


def test_a_closed_loop_keeps_so_many_in_flight_and_ends_by_count(build: Build) -> None:
    stage = build(lambda body: Say(words="joy", first_token_s=0.02))
    plan = LoadPlan(
        questions=questions(3), starts_s=None, most_in_flight=4, request_timeout_s=5.0, requests=20
    )
    run = stage.run(plan)
    assert (run.sent, run.most_in_flight, len(stage.requests)) == (20, 4, 20)
    assert all(r.intended_s == r.started_s for r in stage.requests)


def test_a_closed_loop_ends_by_time(build: Build) -> None:
    stage = build(lambda body: Say(words="joy", first_token_s=0.02))
    run = stage.run(
        LoadPlan(
            questions=questions(3), starts_s=None, most_in_flight=2, request_timeout_s=5.0,
            duration_s=0.4, warm_up_s=0.2,
        )
    )  # fmt: skip
    assert 0.4 <= run.wall_s < 2
    warm = [r.warm_up for r in stage.requests]
    assert warm == sorted(warm, reverse=True)
    assert 0 < sum(warm) < len(warm)


def test_the_warm_up_is_marked(build: Build) -> None:
    stage = build(lambda body: SAY)
    stage.run(even(50.0, 20, warm_up_s=0.2))
    assert [r.warm_up for r in stage.requests] == [i < 10 for i in range(20)]


@pytest.mark.parametrize(
    ("fail", "kind"),
    [
        (Fail(how="status", status=503), "http_503"),
        (Fail(how="half"), "broken"),
        (Fail(how="drop"), "connection"),
        (Fail(how="bad_event"), "garbage"),
    ],
)
def test_what_fails_is_named_and_never_asked_again(build: Build, fail: Fail, kind: str) -> None:
    asked: list[str] = []

    def script(body: Any) -> Any:
        asked.append(case_of(body))
        return fail if case_of(body) == "c1" else SAY

    stage = build(script)
    run = stage.run(even(50.0, 20))
    assert (run.sent, len(asked)) == (20, 20)
    for request in stage.requests:
        bad = request.case_id == "c1"
        assert request.status is (AnswerStatus.ERROR if bad else AnswerStatus.OK)
        assert request.error_kind == (kind if bad else None)
        assert request.completion_tokens == (None if bad else 3)


def test_429_is_an_error_with_the_wait_that_was_asked_for(build: Build) -> None:
    stage = build(lambda body: Fail(how="status", status=429, retry_after="7"))
    run = stage.run(even(200.0, 12))
    assert {(r.error_kind, r.retry_after_s) for r in stage.requests} == {("http_429", 7.0)}
    assert run.sent == 12
    assert run.wall_s < 3


def test_a_server_that_never_answers_times_out_each_request(build: Build) -> None:
    stage = build(lambda body: Fail(how="stall"))
    run = stage.run(even(50.0, 10, request_timeout_s=0.3))
    assert {r.error_kind for r in stage.requests} == {"timeout"}
    assert all(299 < r.e2e_ms < 2000 for r in stage.requests)
    assert all(r.ttft_ms is None for r in stage.requests)
    assert run.stopped is None


def test_a_slow_trickle_times_out_and_its_first_word_is_known(build: Build) -> None:
    stage = build(lambda body: Say(words="a b c d e f g h", first_token_s=0.05, token_s=0.1))
    stage.run(even(50.0, 3, request_timeout_s=0.3))
    for request in stage.requests:
        assert request.error_kind == "timeout"
        assert request.ttft_ms is not None
        assert 45 < request.ttft_ms < 1000


def test_answers_without_token_counts_have_none(build: Build) -> None:
    stage = build(lambda body: Say(words="joy and more", counted=False))
    stage.run(even(50.0, 5))
    assert {(r.ok, r.prompt_tokens, r.completion_tokens) for r in stage.requests} == {
        (True, None, None)
    }
    assert all(r.tpot_ms is None for r in stage.requests)


def test_whoever_takes_the_requests_can_end_the_load(build: Build) -> None:
    stage = build(lambda body: SAY)
    seen: list[TimedRequest] = []

    def take(request: TimedRequest) -> str | None:
        seen.append(request)
        return "enough" if len(seen) == 5 else None

    run = stage.generator.run(stage.endpoint, even(50.0, 500), take, run_id="r")
    assert run.stopped == "enough"
    assert run.wall_s < 3
    assert len(seen) == 5


def test_an_error_of_whoever_takes_the_requests_comes_out_as_it_is(build: Build) -> None:
    stage = build(lambda body: SAY)

    def full(request: TimedRequest) -> str | None:
        raise InfrastructureError("disk full")

    started = time.monotonic()
    with pytest.raises(InfrastructureError, match="disk full"):
        stage.generator.run(stage.endpoint, even(50.0, 500), full, run_id="r")
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("status", [401, 404])
def test_a_server_that_refuses_the_caller_ends_the_load_at_once(build: Build, status: int) -> None:
    stage = build(lambda body: Fail(how="status", status=status))
    with pytest.raises(InfrastructureError, match=f"HTTP {status}"):
        stage.run(even(50.0, 500))


def test_a_server_that_goes_away_for_long_ends_the_load_with_what_there_is(build: Build) -> None:
    asked: list[str] = []

    def script(body: Any) -> Any:
        asked.append(case_of(body))
        return SAY if len(asked) <= 25 else Fail(how="drop")

    stage = build(script, gone_after_s=0.5)
    run = stage.run(even(50.0, 5000, request_timeout_s=0.25))
    assert run.stopped is not None
    assert "was not heard for" in run.stopped
    assert run.wall_s < 5
    assert sum(r.ok for r in stage.requests) >= 15


@pytest.mark.parametrize(
    "changes",
    [{"questions": []}, {"starts_s": np.empty(0)}, {"starts_s": None}, {"most_in_flight": 0}],
)
def test_a_plan_that_asks_for_nothing_is_refused(build: Build, changes: dict[str, Any]) -> None:
    stage = build(lambda body: SAY)
    fields = {
        "questions": questions(2), "starts_s": np.zeros(3), "most_in_flight": 2,
        "request_timeout_s": 1.0,
    } | changes  # fmt: skip
    with pytest.raises(ConfigError, match="expected at least one"):
        stage.run(LoadPlan(**fields))


def test_a_load_has_bodies_of_its_own(build: Build) -> None:
    bodies: list[Any] = []

    def script(body: Any) -> Say:
        bodies.append(body)
        return SAY

    build(script).run(even(100.0, 2, body={"ignore_eos": True}))
    assert [body["ignore_eos"] for body in bodies] == [True, True]
    assert all(body["stream"] and body["stream_options"]["include_usage"] for body in bodies)
