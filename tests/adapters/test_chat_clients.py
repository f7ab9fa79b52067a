"""One contract for every chat client: the lean one, OpenAI's own (TCP and unix socket), in memory.

The real clients talk to a real local server; the in-memory one is given the same script.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from assay.adapters.chat_aiohttp import AiohttpChat
from assay.adapters.chat_openai import OpenAIChat
from assay.adapters.chat_wire import Failure
from assay.adapters.in_memory_chat import InMemoryChat
from assay.errors import InfrastructureError
from assay.ports import AskLimits, ChatClient, Question
from assay.records import AnswerStatus, Endpoint, LatencySample, Prediction
from assay.task import Decoding
from tests.openai_server import Fail, OpenAIServer, Reply, Say, Script

FREE = Decoding(mode="free", temperature=0.0, max_tokens=8, seed=3)
LIMITS = AskLimits(concurrency=4, request_timeout_s=5.0, max_attempts=3, backoff_s=0.01)
LABELS = ("joy", "anger", "fear")


def question(case_id: str, *, choices: tuple[str, ...] | None = None, **more: Any) -> Question:
    messages = [{"role": "user", "content": f"text of {case_id}"}]
    return Question(case_id=case_id, messages=messages, choices=choices, decoding=FREE, **more)


def case_of(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"]).removeprefix("text of ")


@dataclass
class Stage:
    """A client, and whatever answers it."""

    client: ChatClient
    endpoint: Endpoint
    bodies: list[dict[str, Any]]
    kill: Callable[[], None]

    def ask(self, questions: list[Question], limits: AskLimits = LIMITS) -> dict[str, Prediction]:
        answers: list[Prediction] = []
        self.client.ask(self.endpoint, questions, limits, answers.append, run_id="run-1")
        assert len({answer.case_id for answer in answers}) == len(answers)
        return {answer.case_id: answer for answer in answers}

    def load(self, questions: list[Question], limits: AskLimits = LIMITS) -> list[LatencySample]:
        return list(
            self.client.load(
                self.endpoint, questions, limits,
                block=2, run_id="run-1", clock_zero_s=time.monotonic(),
            )
        )  # fmt: skip


Build = Callable[[Script], Stage]


@pytest.fixture
def socket_path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="assay-"))  # a unix socket's path must be short
    yield folder / "v.sock"
    shutil.rmtree(folder)


@pytest.fixture(params=["aiohttp-tcp", "aiohttp-uds", "openai-tcp", "openai-uds", "in-memory"])
def build(request: pytest.FixtureRequest, socket_path: Path) -> Iterator[Build]:
    kind = request.param
    servers: list[OpenAIServer] = []

    def make(script: Script) -> Stage:
        if kind == "in-memory":
            return in_memory_stage(script)
        uds = socket_path if kind.endswith("uds") else None
        server = OpenAIServer(script=script, uds=uds).__enter__()
        servers.append(server)
        client = AiohttpChat() if kind.startswith("aiohttp") else OpenAIChat()
        return Stage(client, server.endpoint, server.bodies, server.stop)

    yield make
    for server in servers:
        server.stop()


def in_memory_stage(script: Script) -> Stage:
    bodies: list[dict[str, Any]] = []
    dead: list[bool] = []
    kinds = {"drop": "connection", "half": "broken", "garbage": "garbage", "stall": "timeout"}

    def answer(body: Any) -> str | Failure:
        if dead:
            return Failure(kind="connection")
        bodies.append(body)
        reply = script(body)
        if isinstance(reply, Say):
            return reply.words
        if reply.how == "status":
            return Failure(kind=f"http_{reply.status}", status=reply.status)
        return Failure(kind=kinds[reply.how])

    endpoint = Endpoint(base_url="http://localhost", model="tiny")
    client = InMemoryChat(answer=answer, delay_ms=1.0)
    return Stage(client, endpoint, bodies, lambda: dead.append(True))


def test_every_question_is_asked_once_and_answered_in_the_models_words(build: Build) -> None:
    stage = build(lambda body: Say(words=f"joy {case_of(body)}"))
    answers = stage.ask([question(f"c{i}") for i in range(30)])
    assert {key: a.raw for key, a in answers.items()} == {f"c{i}": f"joy c{i}" for i in range(30)}
    assert len(stage.bodies) == 30
    for answer in answers.values():
        assert answer.status is AnswerStatus.OK
        assert answer.label is None
        assert answer.attempts == 1
        assert answer.completion_tokens == 2
        assert answer.prompt_tokens is not None
        assert answer.e2e_ms is not None
        assert answer.e2e_ms > 0
        assert answer.ttft_ms is None
    ids = {answer.request_id for answer in answers.values()}
    assert len(ids) == 30
    assert all(identity.startswith("run-1-") for identity in ids)


def test_the_body_holds_the_decoding_and_the_choices(build: Build) -> None:
    stage = build(lambda body: Say(words="joy"))
    stage.ask([question("a", choices=LABELS)])
    [body] = stage.bodies
    assert body["model"] == "tiny"
    assert body["structured_outputs"] == {"choice": list(LABELS)}
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.0, 8, 3)
    assert not body.get("stream")


def test_constrained_answers_are_one_of_the_choices(build: Build) -> None:
    stage = build(lambda body: Say(words="I feel great"))
    answers = stage.ask([question("a", choices=LABELS), question("b")])
    assert answers["a"].raw == "joy"
    assert answers["b"].raw == "I feel great"


def test_an_empty_answer_is_an_answer(build: Build) -> None:
    stage = build(lambda body: Say(words=""))
    answer = stage.ask([question("a")])["a"]
    assert (answer.status, answer.raw) == (AnswerStatus.OK, "")


@pytest.mark.parametrize(
    "fail",
    [Fail(how="drop"), Fail(how="half"), *(Fail(how="status", status=s) for s in (429, 503))],
)
def test_transport_errors_are_retried_and_counted(build: Build, fail: Fail) -> None:
    tries: dict[str, int] = {}

    def script(body: dict[str, Any]) -> Reply:
        case = case_of(body)
        tries[case] = tries.get(case, 0) + 1
        return fail if case == "bad" and tries[case] < 3 else Say(words="joy")

    answers = build(script).ask([question("good"), question("bad")])
    assert answers["bad"].status is AnswerStatus.OK
    assert answers["bad"].attempts == 3
    assert answers["good"].attempts == 1


@pytest.mark.parametrize("fail", [Fail(how="status", status=500), Fail(how="garbage")])
def test_other_failures_are_errors_at_once_and_never_words(build: Build, fail: Fail) -> None:
    stage = build(lambda body: fail if case_of(body) == "bad" else Say(words="joy"))
    answers = stage.ask([question("good"), question("bad")])
    bad = answers["bad"]
    assert (bad.status, bad.raw, bad.label, bad.attempts) == (AnswerStatus.ERROR, None, None, 1)
    assert answers["good"].status is AnswerStatus.OK
    assert len(stage.bodies) == 2


def test_an_engine_that_answers_500_to_everything_gives_errors_only(build: Build) -> None:
    stage = build(lambda body: Fail(how="status", status=500))
    answers = stage.ask([question(f"c{i}") for i in range(20)])
    assert len(answers) == 20
    assert {answer.status for answer in answers.values()} == {AnswerStatus.ERROR}


def test_retries_run_out(build: Build) -> None:
    stage = build(lambda body: Fail(how="status", status=503))
    answer = stage.ask([question("a")])["a"]
    assert (answer.status, answer.attempts) == (AnswerStatus.ERROR, 3)
    assert len(stage.bodies) == 3


def test_a_server_that_dies_half_way_is_gone_soon_and_what_was_answered_is_kept(
    build: Build,
) -> None:
    stage = build(lambda body: Say(words="joy"))
    answers: list[Prediction] = []

    def take(answer: Prediction) -> None:
        answers.append(answer)
        if len(answers) == 20:
            stage.kill()

    started = time.monotonic()
    with pytest.raises(InfrastructureError, match="went away") as caught:
        stage.client.ask(
            stage.endpoint, [question(f"c{i}") for i in range(400)], LIMITS, take, run_id="run-1"
        )
    assert time.monotonic() - started < 5
    assert 20 <= sum(answer.status is AnswerStatus.OK for answer in answers) < 400
    assert "run the same command" in str(caught.value)


@pytest.mark.parametrize("status", [401, 404])
def test_a_server_that_refuses_the_gate_is_said_so_at_once(build: Build, status: int) -> None:
    stage = build(lambda body: Fail(how="status", status=status))
    with pytest.raises(InfrastructureError, match=f"HTTP {status}"):
        stage.ask([question(f"c{i}") for i in range(50)])
    assert len(stage.bodies) <= LIMITS.concurrency


def test_an_error_in_on_answer_comes_out_as_it_is_and_ends_the_asking(build: Build) -> None:
    stage = build(lambda body: Say(words="joy"))

    def full(answer: Prediction) -> None:
        raise InfrastructureError("disk full")

    with pytest.raises(InfrastructureError, match="disk full"):
        stage.client.ask(
            stage.endpoint, [question(f"c{i}") for i in range(50)], LIMITS, full, run_id="run-1"
        )
    assert len(stage.bodies) < 50


def test_load_times_every_question_once(build: Build) -> None:
    stage = build(lambda body: Say(words="joy and more", first_token_s=0.03, token_s=0.01))
    samples = stage.load([question(f"c{i}", choices=None) for i in range(8)])
    assert sorted(sample.case_id for sample in samples) == [f"c{i}" for i in range(8)]
    assert all(body["stream"] for body in stage.bodies)
    assert [s.started_s for s in samples] == sorted(s.started_s for s in samples)
    for sample in samples:
        assert (sample.block, sample.status, sample.error_kind) == (2, AnswerStatus.OK, None)
        assert sample.completion_tokens == 3
        assert sample.ttft_ms is not None
        assert sample.e2e_ms is not None
        assert 0 < sample.ttft_ms < sample.e2e_ms


@pytest.mark.parametrize(
    ("fail", "kind"),
    [
        (Fail(how="status", status=503), "http_503"),
        (Fail(how="status", status=500), "http_500"),
        (Fail(how="half"), "broken"),
        (Fail(how="drop"), "connection"),
    ],
)
def test_load_never_retries_and_says_what_failed(build: Build, fail: Fail, kind: str) -> None:
    stage = build(lambda body: fail if case_of(body) == "bad" else Say(words="joy"))
    samples = {s.case_id: s for s in stage.load([question("good"), question("bad")])}
    assert samples["good"].status is AnswerStatus.OK
    bad = samples["bad"]
    assert (bad.status, bad.error_kind, bad.ttft_ms, bad.e2e_ms) == (
        AnswerStatus.ERROR, kind, None, None,
    )  # fmt: skip
    assert len(stage.bodies) == 2


def test_label_logprobs_are_asked_for_without_constraint(socket_path: Path) -> None:
    top = {"joy": -0.2, " anger": -2.0, "fe": -3.0, "Fear": -3.0, "the": -9.0}
    for client in (AiohttpChat(), OpenAIChat()):
        with OpenAIServer(script=lambda body: Say(words="joy", top_logprobs=top)) as server:
            stage = Stage(client, server.endpoint, server.bodies, server.stop)
            answer = stage.ask([question("a", choices=LABELS, want_logprobs=True)])["a"]
        assert answer.label_logprobs is not None
        assert answer.label_logprobs["joy"] == -0.2
        assert answer.label_logprobs["fear"] == pytest.approx(-3.0 + 0.693147, abs=1e-5)
        assert "structured_outputs" not in server.bodies[1]


def test_a_label_outside_the_reported_tokens_leaves_no_logprobs() -> None:
    top = {"joy": -0.2, "anger": -2.0}
    with OpenAIServer(script=lambda body: Say(words="joy", top_logprobs=top)) as server:
        stage = Stage(AiohttpChat(), server.endpoint, server.bodies, server.stop)
        answer = stage.ask([question("a", choices=LABELS, want_logprobs=True)])["a"]
    assert answer.label_logprobs is None
    assert answer.status is AnswerStatus.OK


@pytest.mark.parametrize("client", [AiohttpChat(), OpenAIChat()])
class TestOnTheWire:
    """What only a real server can show; both real clients."""

    def test_a_stalled_answer_times_out_and_is_retried(self, client: ChatClient) -> None:
        seen: list[str] = []

        def script(body: dict[str, Any]) -> Reply:
            seen.append(case_of(body))
            return Fail(how="stall") if seen.count("bad") == 1 else Say(words="joy")

        with OpenAIServer(script=script) as server:
            stage = Stage(client, server.endpoint, server.bodies, server.stop)
            answer = stage.ask([question("bad")], replace(LIMITS, request_timeout_s=0.3))["bad"]
        assert (answer.status, answer.attempts) == (AnswerStatus.OK, 2)

    def test_a_server_that_stalls_for_good_is_gone(self, client: ChatClient) -> None:
        with OpenAIServer(script=lambda body: Fail(how="stall")) as server:
            stage = Stage(client, server.endpoint, server.bodies, server.stop)
            with pytest.raises(InfrastructureError, match="went away"):
                stage.ask(
                    [question(f"c{i}") for i in range(200)], replace(LIMITS, request_timeout_s=0.2)
                )

    def test_a_slow_trickle_cannot_outlast_the_timeout(self, client: ChatClient) -> None:
        say = Say(words="a b c d e f g h", token_s=0.1)
        with OpenAIServer(script=lambda body: say) as server:
            stage = Stage(client, server.endpoint, server.bodies, server.stop)
            [sample] = stage.load([question("a")], replace(LIMITS, request_timeout_s=0.35))
        assert (sample.status, sample.error_kind) == (AnswerStatus.ERROR, "timeout")

    @pytest.mark.parametrize("how", ["huge", "not_http"])
    def test_an_answer_that_is_none_is_an_error(self, client: ChatClient, how: str) -> None:
        def script(body: dict[str, Any]) -> Reply:
            return Fail(how=how) if case_of(body) == "bad" else Say(words="joy")

        with OpenAIServer(script=script) as server:
            stage = Stage(client, server.endpoint, server.bodies, server.stop)
            answers = stage.ask([question("good"), question("bad")])
        assert answers["bad"].status is AnswerStatus.ERROR
        assert answers["bad"].raw is None
        assert answers["good"].status is AnswerStatus.OK

    @pytest.mark.parametrize("how", ["no_done", "error_event"])
    def test_a_stream_that_never_says_it_is_done_is_broken(
        self, client: ChatClient, how: str
    ) -> None:
        with OpenAIServer(script=lambda body: Fail(how=how)) as server:
            stage = Stage(client, server.endpoint, server.bodies, server.stop)
            [sample] = stage.load([question("a")])
        assert (sample.status, sample.error_kind) == (AnswerStatus.ERROR, "broken")

    def test_nobody_there(self, client: ChatClient, socket_path: Path) -> None:
        for endpoint in (
            Endpoint(base_url="http://127.0.0.1:9", model="tiny"),
            Endpoint(base_url="http://localhost", model="tiny", uds=socket_path),
        ):
            stage = Stage(client, endpoint, [], lambda: None)
            with pytest.raises(InfrastructureError, match="went away"):
                stage.ask([question("a")])

    def test_concurrency_is_reached_and_never_exceeded(self, client: ChatClient) -> None:
        say = Say(words="joy", first_token_s=0.02)
        with OpenAIServer(script=lambda body: say) as server:
            stage = Stage(client, server.endpoint, server.bodies, server.stop)
            stage.ask([question(f"c{i}") for i in range(40)])
        assert server.most_in_flight == LIMITS.concurrency

    def test_the_request_id_and_the_key_go_with_each_request(self, client: ChatClient) -> None:
        with OpenAIServer(script=lambda body: Say(words="joy"), api_key="s3cret") as server:
            stage = Stage(client, server.endpoint, server.bodies, server.stop)
            answers = stage.ask([question("a"), question("b")])
        assert {a.request_id for a in answers.values()} == set(server.request_ids)
        assert "s3cret" not in repr(server.endpoint)

    def test_times_are_those_of_the_server(self, client: ChatClient) -> None:
        say = Say(words="joy and more", first_token_s=0.1, token_s=0.1)
        with OpenAIServer(script=lambda body: say) as server:
            stage = Stage(client, server.endpoint, server.bodies, server.stop)
            [sample] = stage.load([question("a")])
        assert sample.ttft_ms is not None
        assert sample.e2e_ms is not None
        # No upper limits: a busy machine adds what it likes, but cannot make the first token as
        # late as the last one.
        assert sample.ttft_ms >= 100
        assert sample.e2e_ms >= 300
        assert sample.e2e_ms - sample.ttft_ms >= 100

    def test_no_log_and_no_error_holds_the_text_or_the_key(
        self, client: ChatClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        fail = Fail(how="status", status=500)
        with OpenAIServer(script=lambda body: fail, api_key="s3cret") as server:
            stage = Stage(client, server.endpoint, server.bodies, server.stop)
            stage.ask([question("a")])
        assert "http_500 × 1" in caplog.text
        assert "text of" not in caplog.text
        assert "s3cret" not in caplog.text


def test_both_real_clients_get_the_same_answers() -> None:
    def script(body: dict[str, Any]) -> Reply:
        case = int(case_of(body)[1:])
        if case % 5 == 0:
            return Fail(how="status", status=500)
        return Say(words=["joy", "", "không biết 🤷", "fear\n"][case % 4])

    questions = [question(f"c{i}", choices=LABELS if i % 2 else None) for i in range(40)]
    seen = []
    for client in (AiohttpChat(), OpenAIChat()):
        with OpenAIServer(script=script) as server:
            stage = Stage(client, server.endpoint, server.bodies, server.stop)
            answers = stage.ask(questions)
        drop = {"e2e_ms": None, "request_id": ""}
        seen.append(
            (
                {key: replace(answer, **drop) for key, answer in answers.items()},
                sorted(server.bodies, key=lambda body: str(body["messages"])),
            )
        )
    assert seen[0] == seen[1]


def test_it_runs_with_the_proxy_variables_of_the_machine_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(os.environ, "HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setitem(os.environ, "http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for client in (AiohttpChat(), OpenAIChat()):
        with OpenAIServer(script=lambda body: Say(words="joy")) as server:
            stage = Stage(client, server.endpoint, server.bodies, server.stop)
            assert stage.ask([question("a")])["a"].raw == "joy"
