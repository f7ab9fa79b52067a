"""Interleaved load: the same cases for both models, in turn, in an order nobody chose."""

import time
from collections import Counter
from collections.abc import Sequence

import pytest

from assay.adapters.chat_aiohttp import AiohttpChat
from assay.adapters.chat_wire import Failure
from assay.adapters.in_memory_chat import InMemoryChat
from assay.errors import ConfigError, InfrastructureError
from assay.interleaving import interleaved_load
from assay.ports import AskLimits, Question
from assay.records import AnswerStatus, Endpoint, GoldenCase, LatencySample, Role
from assay.task import Decoding, Message, Task
from tests.openai_server import OpenAIServer, Say

LIMITS = AskLimits(concurrency=4, request_timeout_s=5.0)
TASK = Task(
    schema_version=1,
    name="emotion",
    labels=("joy", "anger"),
    messages=(Message(role="user", content="{text}"),),
    decoding=Decoding(mode="constrained"),
    readiness_text="hello",
)
ENDPOINTS = {
    Role.CANDIDATE: Endpoint(base_url="http://localhost", model="candidate"),
    Role.PRODUCTION: Endpoint(base_url="http://localhost", model="production"),
}


def cases(count: int) -> list[GoldenCase]:
    return [
        GoldenCase(
            id=f"c{i}", text=f"text {i}", text_sha256="0" * 64, label="joy", lang="en",
            source="test", stratum="core", slices=(), added_in="1",
        )
        for i in range(count)
    ]  # fmt: skip


class Recorder(InMemoryChat):
    """An in-memory client that also remembers the order of the blocks."""

    def load(
        self, endpoint: Endpoint, questions: Sequence[Question], limits: AskLimits, *,
        block: int, run_id: str, clock_zero_s: float,
    ) -> Sequence[LatencySample]:  # fmt: skip
        BLOCKS.append((block, endpoint.model))
        return super().load(
            endpoint, questions, limits, block=block, run_id=run_id, clock_zero_s=clock_zero_s
        )


BLOCKS: list[tuple[int, str]] = []


def load(
    seed: int = 1, roles: Sequence[Role] = tuple(Role), per_block: int = 5, count: int = 20
) -> dict[Role, tuple[LatencySample, ...]]:
    BLOCKS.clear()
    return interleaved_load(
        Recorder(answer=lambda body: "joy", delay_ms=0.2), {r: ENDPOINTS[r] for r in roles}, TASK,
        cases(count), blocks=12, per_block=per_block, limits=LIMITS, seed=seed, run_id="run-1",
        progress=lambda line: None,
    )  # fmt: skip


def test_both_models_are_asked_the_same_cases_in_each_block() -> None:
    samples = load()
    for block in range(12):
        asked = [sorted(s.case_id for s in samples[role] if s.block == block) for role in ENDPOINTS]
        assert asked[0] == asked[1]
        assert len(asked[0]) == 5
    assert {len(taken) for taken in samples.values()} == {60}


def test_cases_come_round_equally_often() -> None:
    uses = Counter(sample.case_id for sample in load(count=15)[Role.CANDIDATE])
    assert set(uses.values()) <= {3, 4, 5}
    assert len(uses) == 15


def test_a_coin_decides_who_goes_first_and_the_seed_decides_the_coin() -> None:
    load(seed=1)
    first = [model for _, model in BLOCKS[2::2]]
    assert {"candidate", "production"} == set(first)
    order = list(BLOCKS)
    load(seed=1)
    assert order == BLOCKS
    load(seed=2)
    assert order != BLOCKS


def test_the_warm_up_is_thrown_away() -> None:
    samples = load()
    assert len(BLOCKS) == 2 + 24
    assert {s.block for s in samples[Role.CANDIDATE]} == set(range(12))


def test_a_candidate_without_production_is_timed_alone() -> None:
    samples = load(roles=[Role.CANDIDATE])
    assert list(samples) == [Role.CANDIDATE]
    assert len(samples[Role.CANDIDATE]) == 60


def test_a_model_that_answers_nothing_ends_the_load() -> None:
    def answer(body: dict[str, object]) -> str | Failure:
        return "joy" if body["model"] == "candidate" else Failure(kind="timeout")

    with pytest.raises(InfrastructureError, match=r"production at .*none of 5 .*timeout"):
        interleaved_load(
            InMemoryChat(answer=answer), ENDPOINTS, TASK, cases(5), 3, 5, LIMITS, 1, "r", print
        )


@pytest.mark.parametrize(("blocks", "per_block", "count"), [(0, 5, 5), (5, 0, 5), (5, 5, 0)])
def test_an_empty_load_is_refused(blocks: int, per_block: int, count: int) -> None:
    with pytest.raises(ConfigError, match="at least one of each"):
        interleaved_load(
            InMemoryChat(answer=lambda body: "joy"), ENDPOINTS, TASK, cases(count), blocks,
            per_block, LIMITS, 1, "r", print,
        )  # fmt: skip


def test_a_slower_model_is_measured_slower_over_a_real_server() -> None:
    quick = OpenAIServer(script=lambda body: Say(words="joy", first_token_s=0.01))
    slow = OpenAIServer(script=lambda body: Say(words="joy", first_token_s=0.05))
    with quick, slow:
        samples = interleaved_load(
            AiohttpChat(), {Role.CANDIDATE: slow.endpoint, Role.PRODUCTION: quick.endpoint}, TASK,
            cases(12), 4, 8, LIMITS, 7, "run-1", lambda line: None,
        )  # fmt: skip
    medians = {
        role: sorted(s.ttft_ms for s in taken if s.ttft_ms is not None)[len(taken) // 2]
        for role, taken in samples.items()
    }
    assert medians[Role.PRODUCTION] >= 10
    assert medians[Role.CANDIDATE] >= 50
    assert medians[Role.CANDIDATE] > 1.3 * medians[Role.PRODUCTION]
    everything = [s for taken in samples.values() for s in taken]
    assert all(s.status is AnswerStatus.OK for s in everything)
    assert all(0 <= s.started_s < time.monotonic() for s in everything)
    assert len({s.request_id for s in everything}) == len(everything)
