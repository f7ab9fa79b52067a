"""The clients against a real vLLM: constraints hold, both get the same answers, times are times."""

from pathlib import Path

import pytest

from assay import asking
from assay.adapters.chat_aiohttp import AiohttpChat
from assay.adapters.chat_openai import OpenAIChat
from assay.errors import InfrastructureError
from assay.golden_set import GoldenSet
from assay.interleaving import BlockPlan, SideBySide, closed_loop, interleaved_load
from assay.ports import AskLimits, ChatClient, RunningServer
from assay.records import AnswerStatus, Endpoint, GoldenCase, Prediction, Role
from assay.task import Decoding, Message, Task
from tests import serving_rig

pytestmark = [
    pytest.mark.vllm, pytest.mark.paired, pytest.mark.slow, pytest.mark.timeout(900),
    serving_rig.needs_vllm,
]  # fmt: skip

LIMITS = AskLimits(concurrency=8, request_timeout_s=60.0)
TASK = Task(
    schema_version=1,
    name="emotion",
    labels=("joy", "anger", "fear", "neutral"),
    messages=(Message(role="user", content="{text}"),),
    decoding=Decoding(mode="constrained"),
    readiness_text="I got the job!",
)
CASES = tuple(
    GoldenCase(
        id=f"c{i:02}", text=f"case number {i} is about {'xyz' * (i % 3)} something",
        text_sha256="0" * 64, label="joy", lang="en", source="test", stratum="core", slices=(),
        added_in="1",
    )
    for i in range(24)
)  # fmt: skip
GOLDEN = GoldenSet(cases=CASES, digest="sha256:" + "0" * 64, revision="test")


@pytest.fixture
def endpoint(tiny_engine: RunningServer) -> Endpoint:
    return tiny_engine.endpoint


def ask(
    client: ChatClient, endpoint: Endpoint, path: Path, *, task: Task = TASK, logprobs: bool = False
) -> tuple[Prediction, ...]:
    return asking.ask_golden(
        client, endpoint, task, GOLDEN, path, LIMITS, "run-1", print, want_logprobs=logprobs
    )


def test_both_clients_get_the_same_labels_and_every_answer_is_one(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    lean = ask(AiohttpChat(), endpoint, tmp_path / "a.jsonl")
    other = ask(OpenAIChat(), endpoint, tmp_path / "b.jsonl")
    assert [(p.case_id, p.raw) for p in lean] == [(p.case_id, p.raw) for p in other]
    assert {p.status for p in lean} == {AnswerStatus.OK}
    assert all(p.completion_tokens and p.prompt_tokens and p.e2e_ms for p in lean)


def test_free_answers_of_a_model_without_training_are_kept_as_they_are(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    free = TASK.model_copy(update={"decoding": Decoding(mode="free", max_tokens=4)})
    answers = ask(AiohttpChat(), endpoint, tmp_path / "a.jsonl", task=free)
    assert len(answers) == len(CASES)
    assert AnswerStatus.ERROR not in {p.status for p in answers}
    assert all(p.raw is not None for p in answers)


def test_log_probabilities_are_those_of_the_unconstrained_model(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    for answer in ask(AiohttpChat(), endpoint, tmp_path / "a.jsonl", logprobs=True):
        if answer.label_logprobs is not None:
            assert set(answer.label_logprobs) == set(TASK.labels)
            assert all(value <= 0 for value in answer.label_logprobs.values())


def test_an_interleaved_load_times_first_and_later_tokens(endpoint: Endpoint) -> None:
    free = TASK.model_copy(update={"decoding": Decoding(mode="free", max_tokens=6)})
    loads = interleaved_load(
        closed_loop(AiohttpChat(), LIMITS, "run-1"),
        SideBySide({Role.CANDIDATE: endpoint, Role.PRODUCTION: endpoint}),
        list(Role),
        asking.golden_questions(free, CASES),
        BlockPlan(looks=(3,), per_block=8, seed=1),
        print,
    )
    taken = [sample for role in loads.samples.values() for sample in role]
    assert len(taken) == 48
    assert {sample.status for sample in taken} == {AnswerStatus.OK}
    timed = [sample for sample in taken if sample.ttft_ms is not None]
    assert timed
    for sample in timed:
        assert sample.ttft_ms is not None
        assert sample.e2e_ms is not None
        assert 0 < sample.ttft_ms <= sample.e2e_ms
        assert sample.completion_tokens


def test_a_wrong_name_or_key_is_refused_at_once(endpoint: Endpoint, tmp_path: Path) -> None:
    wrong = {"model": "other", "api_key": endpoint.api_key}, {"model": "tiny", "api_key": "wrong"}
    for changes in wrong:
        elsewhere = Endpoint(base_url=endpoint.base_url, uds=endpoint.uds, **changes)  # type: ignore[arg-type]
        with pytest.raises(InfrastructureError, match=r"HTTP 40[14]"):
            ask(AiohttpChat(), elsewhere, tmp_path / "a.jsonl")
