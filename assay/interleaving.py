"""Times two models under the same load, turn by turn, so that both meet the same machine.

Decides which cases are asked in which block, which model goes first, and when a load has lasted
long enough; leaves sending one block to a `Sender`, having an engine up to the `Stage`, and judging
the times to the `latency` evaluator. A machine that slows down, by its own heat or its neighbours,
then slows both models alike, and their ratio stays a ratio of models.

::

    side by side   c p | p c | p c | c p …        both engines up, a coin in every block
    alternating    c c c  p p p  p p p  c c c …   one engine up at a time, as few starts as can be

An engine that has just been asked is not quiet at once: vLLM's workers poll for their next step for
a second (`SpinCondition`, vllm/distributed/device_communicators/shm_broadcast.py), on the very core
the other engine needs where cores are few. Side by side, each change of the model therefore waits
for `BlockPlan.settle_s`; `docs/latency.md` shows what that is worth.

The cases have been asked before, so an engine with a prefix cache may know their beginnings; that
holds for both models, and makes an absolute time a little kinder than a first visit.
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from assay.engine_watch import EngineWatch
from assay.errors import ConfigError, InfrastructureError
from assay.ports import AskLimits, ChatClient, EngineProbe, Progress, Question
from assay.records import AnswerStatus, Endpoint, EngineSample, LatencySample, Role

_BUSY_SHARE = 0.8
"""Share of one core above which the load generator's own work shows in the times."""

_STRETCHES = 2
"""Turns of each model between two looks, where engines take turns: enough to balance a drift."""

Sender = Callable[[Endpoint, Sequence[Question], int, float], Sequence[LatencySample]]
"""Sends one block (endpoint, questions, block, monotonic time at which the load began)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """An engine that is up. `fresh`: it has not been warmed up since it was last taken.

    `probe` makes what watches it; None where nothing does.
    """

    endpoint: Endpoint
    fresh: bool
    probe: Callable[[], EngineProbe] | None = None


class Stage(Protocol):
    """Where engines stand."""

    alternating: bool

    def take(self, role: Role) -> Seat:
        """Returns a model's engine, up and ready; where only one fits, the other is stopped."""
        ...


@dataclass(slots=True)
class SideBySide:
    """The stage on which every engine is up all the time."""

    endpoints: Mapping[Role, Endpoint]
    probes: Mapping[Role, Callable[[], EngineProbe]] = field(default_factory=dict)
    alternating: bool = field(default=False, init=False)
    _warm: set[Role] = field(default_factory=set, init=False)

    def take(self, role: Role) -> Seat:
        """Returns the engine; fresh at its first time."""
        fresh = role not in self._warm
        self._warm.add(role)
        return Seat(endpoint=self.endpoints[role], fresh=fresh, probe=self.probes.get(role))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPlan:
    """How much is asked.

    Args:
        looks: blocks of each model after which it is asked whether the load may end, ascending; the
            last ends it.
        per_block: questions a block.
        seed: decides the order of the cases and of the models.
        again: whether production is asked each block twice, for the noise floor.
        settle_s: seconds that an engine keeps a core busy after its last answer; waited for before
            another engine, up beside it, is timed.
    """

    looks: tuple[int, ...]
    per_block: int
    seed: int
    again: bool = False
    settle_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """What was timed of each model, in the order of the blocks, and what its engine said."""

    samples: Mapping[Role, tuple[LatencySample, ...]]
    again: tuple[LatencySample, ...] = ()
    engine: Mapping[Role, tuple[EngineSample, ...]] = field(default_factory=dict)


def closed_loop(client: ChatClient, limits: AskLimits, run_id: str) -> Sender:
    """Returns the sender of a closed loop: `limits.concurrency` requests in flight at any time."""

    def send(
        endpoint: Endpoint, questions: Sequence[Question], block: int, clock_zero_s: float
    ) -> Sequence[LatencySample]:
        return client.load(
            endpoint, questions, limits, block=block, run_id=run_id, clock_zero_s=clock_zero_s
        )

    return send


def interleaved_load(
    send: Sender,
    stage: Stage,
    roles: Sequence[Role],
    questions: Sequence[Question],
    plan: BlockPlan,
    progress: Progress,
    enough: Callable[[Loads], bool] = lambda loads: True,
) -> Loads:
    """Asks each model the same questions, block by block, streaming, and times every answer.

    In each block all models are asked the same `per_block` questions, one model after the other. A
    block of an engine's own, after each of its starts, warms it up and is thrown away.

    Args:
        send: sends a block.
        stage: has the engines up.
        roles: the candidate and, where there is one, production.
        questions: drawn from without repetition until all were used, then again.
        plan: how much is asked.
        progress: told after each block.
        enough: asked at each look but the last whether the load may end.

    Returns:
        Every sample of each model, in the order of the blocks.

    Raises:
        ConfigError: nothing to ask, or nobody.
        InfrastructureError: a model left a whole block unanswered.
    """
    if not plan.looks or plan.looks[0] < 1 or plan.per_block < 1 or not questions or not roles:
        raise ConfigError(
            f"a load of {plan.looks!r} blocks of {plan.per_block!r} questions, drawn from "
            f"{len(questions)} cases, for {len(roles)} models; expected at least one of each; "
            "correct evaluators.latency in policy.yaml"
        )
    run = _Run(send, stage, roles, questions, plan, progress)
    with _frozen_heap(), run.watch:
        run.prepare()
        done = 0
        for look in plan.looks:
            for turn in run.turns(done, look):
                run.take_turn(*turn)
            done = look
            if look == plan.looks[-1] or enough(run.loads()):
                break
            progress(f"not decided after {look} blocks of each model; the load goes on")
    progress(run.on_the_generator())
    return run.loads()


@contextmanager
def _frozen_heap() -> Iterator[None]:
    """Sets aside what was made before the load, for its time.

    A client collects garbage between blocks, so that it never does within one; with all that a gate
    has imported that would take half a second each time.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Run:
    """One load that is under way."""

    def __init__(
        self,
        send: Sender,
        stage: Stage,
        roles: Sequence[Role],
        questions: Sequence[Question],
        plan: BlockPlan,
        progress: Progress,
    ) -> None:
        self._send, self._stage, self._plan, self._progress = send, stage, plan, progress
        self._rng = np.random.default_rng(plan.seed)
        self._draws = _draw(questions, plan.looks[-1] + 1, plan.per_block, self._rng)
        self._roles = list(roles)
        self._lanes = [(role, False) for role in roles]
        if plan.again and Role.PRODUCTION in roles:
            self._lanes.append((Role.PRODUCTION, True))
        self._samples: dict[tuple[Role, bool], list[LatencySample]] = {
            lane: [] for lane in self._lanes
        }
        self._seats: dict[Role, Seat] = {}
        self._last: Role | None = None
        self._zero_s, self._cpu_zero_s = time.monotonic(), time.process_time()
        self.watch = EngineWatch(clock_zero_s=self._zero_s)

    def prepare(self) -> None:
        """Warms up whatever can be up now; the clock of the load starts after it."""
        if self._stage.alternating:
            self._rng.shuffle(self._roles)  # who is up first
        for role in self._roles[: 1 if self._stage.alternating else None]:
            self._seat(role)
        self._zero_s, self._cpu_zero_s = time.monotonic(), time.process_time()
        self.watch.clock_zero_s = self._zero_s

    def turns(self, start: int, end: int) -> Iterator[tuple[int, Role, bool]]:
        """Yields block, model, and whether it is the model's second time, in the order asked."""
        if not self._stage.alternating:
            for block in range(start, end):
                self._rng.shuffle(self._lanes)
                for role, again in self._lanes:
                    yield block, role, again
            return
        for stretch in np.array_split(np.arange(start, end), _STRETCHES):
            if self._last is not None and self._roles[0] != self._last:
                self._roles.reverse()  # whoever is up goes on: every start costs a minute
            for role in self._roles:
                for block in stretch:
                    lanes = [lane for lane in self._lanes if lane[0] is role]
                    self._rng.shuffle(lanes)
                    for _, again in lanes:
                        yield int(block), role, again

    def take_turn(self, block: int, role: Role, again: bool) -> None:
        """Asks one model one block."""
        if self._stage.alternating and role is not self._last and self._last is not None:
            self.watch.end(self._last)
            self._seats.pop(self._last, None)
        seat = self._seats.get(role) or self._seat(role)
        if seat.probe is not None and not self.watch.is_watched(role):
            self.watch.begin(role, seat.probe())
        if not self._stage.alternating and len(self._roles) > 1 and role is not self._last:
            time.sleep(self._plan.settle_s)
        self._last = role
        taken = self._send(seat.endpoint, self._draws[block], block, self._zero_s)
        _check(role, seat.endpoint, taken)
        lane = self._samples[role, again]
        lane.extend(taken)
        if role is self._roles[-1] and not again:
            self._progress(f"timed block {block + 1}")

    def loads(self) -> Loads:
        """Returns what was timed so far; blocks in their order, whatever order they ran in."""
        ordered = {
            lane: tuple(sorted(taken, key=lambda sample: (sample.block, sample.started_s)))
            for lane, taken in self._samples.items()
        }
        return Loads(
            samples={role: ordered[role, False] for role in sorted(self._roles)},
            again=ordered.get((Role.PRODUCTION, True), ()),
            engine=self.watch.samples,
        )

    def on_the_generator(self) -> str:
        """Says how busy this process was."""
        busy = (time.process_time() - self._cpu_zero_s) / (time.monotonic() - self._zero_s)
        sentence = f"the load generator used {busy:.0%} of one core"
        if busy > _BUSY_SHARE:
            sentence += ", so the times include its own work; lower the load or use a faster core"
        return sentence

    def _seat(self, role: Role) -> Seat:
        seat = self._stage.take(role)
        if seat.fresh:
            warm_up = self._send(seat.endpoint, self._draws[-1], 0, time.monotonic())
            _check(role, seat.endpoint, warm_up)
        self._seats[role] = seat
        return seat


def _draw(
    questions: Sequence[Question], blocks: int, per_block: int, rng: np.random.Generator
) -> list[list[Question]]:
    """Deals the questions out to the blocks, reshuffled each time they have run out."""
    rounds = -(-blocks * per_block // len(questions))
    order = np.concatenate([rng.permutation(len(questions)) for _ in range(rounds)])
    return [
        [questions[int(i)] for i in order[block * per_block : (block + 1) * per_block]]
        for block in range(blocks)
    ]


def _check(role: Role, endpoint: Endpoint, samples: Sequence[LatencySample]) -> None:
    if any(sample.status is AnswerStatus.OK for sample in samples):
        return
    kinds = ", ".join(sorted({str(sample.error_kind) for sample in samples}))
    raise InfrastructureError(
        f"{role.value} at {endpoint.uds or endpoint.base_url}: none of {len(samples)} timed "
        f"questions was answered ({kinds}); expected answers; look at the end of the engine's log "
        "and run the same command again: the answers already stored are kept"
    )
