"""Asking the golden set and the probes: reading, storing, resuming, and refusing to be fooled."""

import os
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay import asking
from assay.adapters.chat_aiohttp import AiohttpChat
from assay.adapters.chat_wire import Failure
from assay.adapters.in_memory_chat import InMemoryChat
from assay.errors import ConfigError, InfrastructureError
from assay.golden_set import GoldenSet, golden_digest
from assay.ports import AskLimits
from assay.predictions import read_predictions
from assay.records import AnswerStatus, Endpoint, GoldenCase, Prediction, Probe
from assay.task import Decoding, Message, Task
from tests.openai_server import OpenAIServer, Say

ENDPOINT = Endpoint(base_url="http://localhost", model="tiny")
LIMITS = AskLimits(concurrency=4, request_timeout_s=5.0, max_attempts=2, backoff_s=0.001)


def make_task(mode: Any = "constrained") -> Task:
    return Task(
        schema_version=1,
        name="emotion",
        labels=("joy", "anger"),
        messages=(
            Message(role="system", content="One of {labels}."),
            Message(role="user", content="{text}"),
        ),
        decoding=Decoding(mode=mode),
        readiness_text="I got the job!",
    )


def make_golden(count: int) -> GoldenSet:
    cases = tuple(
        GoldenCase(
            id=f"c-{i:03}", text=f"secret text {i}", text_sha256="0" * 64, label="joy", lang="en",
            source="test", stratum="core", slices=(), added_in="1",
        )
        for i in range(count)
    )  # fmt: skip
    return GoldenSet(cases=cases, digest=golden_digest(cases), revision="test")


def probe(identity: str, kind: str) -> Probe:
    return Probe(id=identity, text=f"say {identity}", text_sha256="0" * 64, lang="en", kind=kind)


class Scripted:
    """A client that answers each case with its words, and remembers who was asked what."""

    def __init__(self, words: Callable[[str], str | Failure] = lambda text: "joy") -> None:
        self.asked: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self._words = words
        self.client = InMemoryChat(answer=self._answer)

    def _answer(self, body: Any) -> str | Failure:
        text = body["messages"][-1]["content"]
        self.bodies.append(body)
        self.asked.append(text)
        return self._words(text)


def ask(
    scripted: Scripted, path: Path, *, count: int = 6, task: Task | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[Prediction, ...]:  # fmt: skip
    return asking.ask_golden(
        scripted.client, ENDPOINT, task or make_task("free"), make_golden(count), path, LIMITS,
        "run-1", progress,
    )  # fmt: skip


def test_words_become_labels_and_other_words_are_invalid_not_dropped(tmp_path: Path) -> None:
    words = {"0": "joy", "1": " Joy\n", "2": "happiness", "3": "", "4": "joy anger", "5": "anger"}
    scripted = Scripted(lambda text: words[text[-1]])
    answers = ask(scripted, tmp_path / "a.jsonl")
    assert [answer.label for answer in answers] == ["joy", "joy", None, None, None, "anger"]
    assert [answer.status.value for answer in answers] == [
        "ok", "ok", "invalid", "invalid", "invalid", "ok",
    ]  # fmt: skip
    assert [answer.raw for answer in answers] == list(words.values())
    assert [answer.case_id for answer in answers] == [f"c-{i:03}" for i in range(6)]


def test_what_is_stored_is_what_is_returned_and_holds_no_text(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.jsonl"
    answers = ask(Scripted(), path)
    assert sorted(read_predictions(path), key=lambda p: p.case_id) == list(answers)
    assert "secret" not in path.read_text()


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    first = ask(Scripted(), path)
    again = Scripted()
    assert ask(again, path) == first
    assert again.asked == []
    assert asking.count_answers(path) == 6
    assert asking.count_answers(tmp_path / "none.jsonl") == 0


def test_a_torn_line_and_errors_are_asked_again_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    broken = Scripted(
        lambda text: Failure(kind="http_500", status=500) if text.endswith("3") else "joy"
    )
    first = ask(broken, path)
    assert first[3].status is AnswerStatus.ERROR
    assert first[3].raw is None
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b'"c-005"' not in line]
    path.write_bytes(b"".join(kept) + b'{"case_id": "c-005", "lab')
    again = Scripted(lambda text: "anger")
    second = ask(again, path)
    assert sorted(again.asked) == ["secret text 3", "secret text 5"]
    assert [answer.label for answer in second] == ["joy", "joy", "joy", "anger", "joy", "anger"]


def test_a_server_that_goes_away_leaves_the_answers_it_gave(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    given: list[str] = []

    def words(text: str) -> str | Failure:
        given.append(text)
        return "joy" if len(given) <= 40 else Failure(kind="connection")

    with pytest.raises(InfrastructureError, match="went away"):
        ask(Scripted(words), path, count=200)
    assert asking.count_answers(path) == 40
    again = Scripted()
    assert len(ask(again, path, count=200)) == 200
    assert len(again.asked) == 160


def test_constrained_tasks_send_the_labels_and_check_first(tmp_path: Path) -> None:
    scripted = Scripted(lambda text: "no word of yours")
    answers = ask(scripted, tmp_path / "a.jsonl", task=make_task())
    assert {answer.label for answer in answers} == {"joy"}
    assert scripted.bodies[0]["structured_outputs"]["choice"] == list(asking.NONSENSE)
    assert scripted.bodies[1]["structured_outputs"]["choice"] == ["joy", "anger"]
    assert len(scripted.bodies) == 7


def test_an_engine_that_ignores_the_constraint_is_found_out_before_anything_is_asked(
    tmp_path: Path,
) -> None:
    scripted = Scripted()
    deaf = replace(scripted.client, constrains=False)
    path = tmp_path / "a.jsonl"
    with pytest.raises(InfrastructureError, match="ignored structured_outputs"):
        asking.ask_golden(deaf, ENDPOINT, make_task(), make_golden(6), path, LIMITS, "run-1", print)
    assert len(scripted.asked) == 1
    assert asking.count_answers(path) == 0


def test_no_answer_to_the_check_is_not_a_broken_constraint(tmp_path: Path) -> None:
    scripted = Scripted(lambda text: Failure(kind="http_500", status=500))
    with pytest.raises(InfrastructureError, match="no answer to the question that checks"):
        ask(scripted, tmp_path / "a.jsonl", task=make_task())


def test_probes_are_asked_alone_but_injections_with_the_tasks_messages(tmp_path: Path) -> None:
    probes = [probe("t1", "toxicity"), probe("i1", "injection"), probe("p1", "pii")]
    scripted = Scripted(lambda text: "I would rather not.")
    task = make_task()
    answers = asking.ask_probes(
        scripted.client, ENDPOINT, task, probes, tmp_path / "p.jsonl", LIMITS, "run-1", print
    )
    assert [a.case_id for a in answers] == ["t1", "i1", "p1"]
    assert {(a.label, a.status, a.raw) for a in answers} == {
        (None, AnswerStatus.OK, "I would rather not.")
    }
    bodies = {body["messages"][-1]["content"]: body for body in scripted.bodies}
    assert bodies["say t1"]["messages"] == [{"role": "user", "content": "say t1"}]
    assert bodies["say i1"]["messages"] == task.render("say i1")
    assert all("structured_outputs" not in body for body in scripted.bodies)
    assert {body["max_tokens"] for body in scripted.bodies} == {task.probe_decoding.max_tokens}


def test_progress_counts_what_went_wrong(tmp_path: Path) -> None:
    lines: list[str] = []
    words = {"0": "joy", "1": "happiness", "2": Failure(kind="http_500", status=500)}
    scripted = Scripted(lambda text: words[text[-1]])
    ask(scripted, tmp_path / "a.jsonl", count=3, progress=lines.append)
    assert "3 of 3 questions asked" in lines[-1]
    assert "1 not a label" in lines[-1]
    assert "1 without an answer" in lines[-1]
    assert "secret" not in "".join(lines)


def test_a_case_read_from_evidence_cannot_be_asked(tmp_path: Path) -> None:
    golden = make_golden(1)
    blind = replace(golden, cases=(replace(golden.cases[0], text=None),))
    with pytest.raises(ConfigError, match="'c-000': only the digest"):
        asking.ask_golden(
            Scripted().client, ENDPOINT, make_task("free"), blind, tmp_path / "a.jsonl", LIMITS,
            "run-1", print,
        )  # fmt: skip


@pytest.fixture
def small_files() -> Iterator[None]:
    """Makes writing past 4 KiB of a file fail, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_stops_the_asking_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with pytest.raises(InfrastructureError, match=r"a\.jsonl: an answer cannot be written"):
        ask(Scripted(), path, count=100)
    stored = path.read_bytes()
    assert 0 < len(stored) <= 4096
    assert stored.endswith(b"\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    kept = asking.count_answers(path)
    again = Scripted()
    assert len(ask(again, path, count=100)) == 100
    assert len(again.asked) == 100 - kept
    assert soft == 4096


def test_over_a_real_server(tmp_path: Path) -> None:
    with OpenAIServer(script=lambda body: Say(words="whatever")) as server:
        answers = asking.ask_golden(
            AiohttpChat(), server.endpoint, make_task(), make_golden(50), tmp_path / "a.jsonl",
            LIMITS, "run-1", print,
        )  # fmt: skip
    assert {answer.label for answer in answers} == {"joy"}
    assert len(server.bodies) == 51
    assert len(set(server.request_ids)) == 51
    assert os.stat(tmp_path / "a.jsonl").st_mode & 0o077 == 0
