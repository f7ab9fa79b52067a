"""Interleaved load: the same cases for both models, in turn, in an order nobody chose."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from assay.adapters.chat_aiohttp import AiohttpChat
from assay.adapters.chat_wire import Failure
from assay.adapters.in_memory_chat import InMemoryChat
from assay.adapters.in_memory_probe import InMemoryProbes
from assay.adapters.in_memory_server import IDENTITY
from assay.asking import golden_questions
from assay.errors import ConfigError, InfrastructureError
from assay.interleaving import (
    BlockPlan,
    Loads,
    Seat,
    SideBySide,
    Stage,
    closed_loop,
    interleaved_load,
)
from assay.looks import looks
from assay.ports import AskLimits, EngineProbe, Question, RunningServer
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
    chat = Recorder(answer=lambda body: "joy", delay_ms=0.2)
    plan = BlockPlan(looks=(12,), per_block=per_block, seed=seed)
    return dict(timed(chat, plan, roles=roles, count=count).samples)


def timed(
    chat: InMemoryChat,
    plan: BlockPlan,
    *,
    stage: Stage | None = None,
    roles: Sequence[Role] = tuple(Role),
    count: int = 20,
    enough: Callable[[Loads], bool] = lambda loads: True,
) -> Loads:
    return interleaved_load(
        closed_loop(chat, LIMITS, "run-1"),
        stage or SideBySide({role: ENDPOINTS[role] for role in roles}),
        roles,
        golden_questions(TASK, cases(count)),
        plan,
        lambda line: None,
        enough,
    )


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
        timed(InMemoryChat(answer=answer), BlockPlan(looks=(3,), per_block=5, seed=1), count=5)


@pytest.mark.parametrize(("blocks", "per_block", "count"), [(0, 5, 5), (5, 0, 5), (5, 5, 0)])
def test_an_empty_load_is_refused(blocks: int, per_block: int, count: int) -> None:
    with pytest.raises(ConfigError, match="at least one of each"):
        timed(
            InMemoryChat(answer=lambda body: "joy"),
            BlockPlan(looks=(blocks,), per_block=per_block, seed=1),
            count=count,
        )


@pytest.mark.alone
def test_a_slower_model_is_measured_slower_over_a_real_server() -> None:
    quick = OpenAIServer(script=lambda body: Say(words="joy", first_token_s=0.01))
    slow = OpenAIServer(script=lambda body: Say(words="joy", first_token_s=0.05))
    with quick, slow:
        samples = interleaved_load(
            closed_loop(AiohttpChat(), LIMITS, "run-1"),
            SideBySide({Role.CANDIDATE: slow.endpoint, Role.PRODUCTION: quick.endpoint}),
            list(Role),
            golden_questions(TASK, cases(12)),
            BlockPlan(looks=(4,), per_block=8, seed=7),
            lambda line: None,
        ).samples
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


class OneAtATime:
    """A stage on which one engine stands at a time, and which remembers who was started."""

    alternating = True

    def __init__(self, probes: InMemoryProbes | None = None) -> None:
        self.starts: list[Role] = []
        self.probes = probes

    def take(self, role: Role) -> Seat:
        fresh = not self.starts or self.starts[-1] is not role
        if fresh:
            assert not (self.probes and self.probes.open_now), "an engine that is watched was ended"
            self.starts.append(role)
        return Seat(endpoint=ENDPOINTS[role], fresh=fresh, probe=self._probe(role))

    def _probe(self, role: Role) -> Callable[[], EngineProbe] | None:
        if self.probes is None:
            return None
        server = RunningServer(
            endpoint=ENDPOINTS[role], identity=IDENTITY, started_in_s=0.0, log_tail=str,
            is_alive=lambda: True,
        )  # fmt: skip
        return lambda: self.probes.open(server)  # type: ignore[union-attr]


QUICK = InMemoryChat(answer=lambda body: "joy")


def test_where_one_engine_fits_they_take_turns_with_as_few_starts_as_can_be() -> None:
    first = set()
    for seed in range(4):
        stage = OneAtATime()
        loads = timed(QUICK, BlockPlan(looks=(4,), per_block=3, seed=seed), stage=stage)
        assert len(stage.starts) == 3
        assert stage.starts[0] is stage.starts[2] is not stage.starts[1]
        first.add(stage.starts[0])
        for taken in loads.samples.values():
            assert [sample.block for sample in taken] == sorted(sample.block for sample in taken)
            assert {sample.block for sample in taken} == set(range(4))
        asked = [sorted((s.block, s.case_id) for s in taken) for taken in loads.samples.values()]
        assert asked[0] == asked[1]
    assert first == set(Role)


def test_every_start_is_warmed_up_and_watched_as_a_session_of_its_own() -> None:
    probes = InMemoryProbes()
    stage = OneAtATime(probes)
    loads = timed(QUICK, BlockPlan(looks=(4,), per_block=5, seed=1), stage=stage)
    twice, once = stage.starts[0], stage.starts[1]
    assert {sample.session for sample in loads.engine[twice]} == {0, 1}
    assert {sample.session for sample in loads.engine[once]} == {0}
    assert probes.open_now == []


def test_a_load_goes_on_until_it_decides_and_ends_at_its_bound() -> None:
    seen: list[int] = []

    def after(blocks: int) -> Callable[[Loads], bool]:
        def enough(loads: Loads) -> bool:
            seen.append(len({sample.block for sample in loads.samples[Role.CANDIDATE]}))
            return seen[-1] >= blocks

        return enough

    plan = BlockPlan(looks=looks(2, 10), per_block=2, seed=1)
    assert plan.looks == (2, 4, 8, 10)
    assert len(timed(QUICK, plan, enough=after(4)).samples[Role.PRODUCTION]) == 8
    assert seen == [2, 4]
    seen.clear()
    assert len(timed(QUICK, plan, enough=after(99)).samples[Role.PRODUCTION]) == 20
    assert seen == [2, 4, 8]


def test_a_load_that_goes_on_asks_what_a_longer_one_would_have_asked() -> None:
    plan = BlockPlan(looks=(4, 8), per_block=3, seed=5)
    short = timed(QUICK, plan).samples[Role.CANDIDATE]
    long = timed(QUICK, plan, enough=lambda loads: False).samples[Role.CANDIDATE]
    cases_of = [[(s.block, s.case_id) for s in taken if s.block < 4] for taken in (short, long)]
    assert sorted(cases_of[0]) == sorted(cases_of[1])


def test_the_noise_floor_asks_production_each_block_twice() -> None:
    plan = BlockPlan(looks=(3,), per_block=5, seed=1, again=True)
    for stage in (None, OneAtATime()):
        loads = timed(QUICK, plan, stage=stage)
        asked = [
            sorted((s.block, s.case_id) for s in taken)
            for taken in (*loads.samples.values(), loads.again)
        ]
        assert asked[0] == asked[1] == asked[2]
        ids = [s.request_id for taken in (*loads.samples.values(), loads.again) for s in taken]
        assert len(set(ids)) == 45
    alone = timed(QUICK, plan, roles=[Role.CANDIDATE])
    assert alone.again == ()


def waits_between_models(plan: BlockPlan) -> list[float]:
    """Returns the seconds from the start of a model's last question to the other's first."""
    loads = timed(InMemoryChat(answer=lambda body: "joy", delay_ms=0.2), plan)
    both = sorted((s.started_s, role) for role in loads.samples for s in loads.samples[role])
    return [later[0] - sooner[0] for sooner, later in pairwise(both) if sooner[1] != later[1]]


def test_an_engine_is_timed_only_once_the_other_has_gone_quiet() -> None:
    waits = waits_between_models(BlockPlan(looks=(6,), per_block=3, seed=1, settle_s=0.02))
    assert len(waits) >= 6
    assert min(waits) >= 0.02


def test_an_engine_that_stands_alone_is_not_waited_for() -> None:
    began = time.monotonic()
    plan = BlockPlan(looks=(4,), per_block=3, seed=1, settle_s=60.0)
    timed(QUICK, plan, roles=[Role.CANDIDATE])
    assert time.monotonic() - began < 30
