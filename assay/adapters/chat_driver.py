"""Drives a transport through many questions: bounded concurrency, retries, and giving up in time.

Decides what is asked again, when a server counts as gone, and what an answer record holds; leaves
sockets to the transports (`chat_aiohttp`, `chat_openai`), and reading a label to the task.
"""

import asyncio
import logging
import random
import secrets
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from assay.adapters.chat_pulse import Pulse
from assay.adapters.chat_wire import (
    Failure,
    Reply,
    Timing,
    label_logprobs,
    logprobs_body,
    request_body,
    request_id,
)
from assay.adapters.event_loop import no_garbage_collection, run
from assay.adapters.load_loop import LoadLoop
from assay.load.samples import TimedRequest, latency_sample
from assay.ports import AskLimits, LoadPlan, Question
from assay.records import AnswerStatus, Endpoint, LatencySample, Prediction

T = TypeVar("T")
_log = logging.getLogger(__name__)

_IDS_TOLD = 20
"""How many request ids one line names; at the level `debug`, every request has a line."""


class Transport(Protocol):
    """One open session with one server: a request in, an answer or a reason for none out."""

    async def complete(self, body: dict[str, Any], request_id: str) -> Reply | Failure:
        """Asks for a whole answer, once. Never raises for what a server or network does."""
        ...

    async def stream(self, body: dict[str, Any], request_id: str) -> Timing | Failure:
        """Asks for a streamed answer, once, and times it."""
        ...


class DrivenChat(ABC):
    """A `ChatClient` over any transport. Callers are synchronous; the loop runs inside.

    Ctrl-C cancels what is in flight, closes the session and comes out as `KeyboardInterrupt`.
    """

    @abstractmethod
    def open(self, endpoint: Endpoint, limits: AskLimits) -> AbstractAsyncContextManager[Transport]:
        """Returns the context in which one session with the server is open."""

    def ask(
        self,
        endpoint: Endpoint,
        questions: Sequence[Question],
        limits: AskLimits,
        on_answer: Callable[[Prediction], None],
        *,
        run_id: str,
    ) -> None:
        """Asks every question once; see `assay.ports.ChatClient.ask`."""
        run(self._ask(endpoint, questions, limits, on_answer, run_id))

    def load(
        self,
        endpoint: Endpoint,
        questions: Sequence[Question],
        limits: AskLimits,
        *,
        block: int,
        run_id: str,
        clock_zero_s: float,
    ) -> Sequence[LatencySample]:
        """Times every question once, streaming; see `assay.ports.ChatClient.load`.

        Opening a connection is part of the time of the request that needs it, as it is for a user.
        """
        with no_garbage_collection():
            return run(self._load(endpoint, questions, limits, block, run_id, clock_zero_s))

    async def _ask(
        self,
        endpoint: Endpoint,
        questions: Sequence[Question],
        limits: AskLimits,
        on_answer: Callable[[Prediction], None],
        run_id: str,
    ) -> None:
        async with self.open(endpoint, limits) as transport:
            asker = _Asker(transport, endpoint, limits, run_id, len(questions))

            async def one(question: Question) -> None:
                on_answer(await asker.ask(question))

            await for_each(questions, limits.concurrency, one)
        if asker.unanswered:
            kinds = ", ".join(f"{kind} × {n}" for kind, n in asker.failures.most_common())
            _log.warning(
                "%s: %d of %d questions got no answer (%s)",
                endpoint.model, asker.failures.total(), len(questions), kinds,
                extra={"run_id": run_id, "request_ids": asker.unanswered[:_IDS_TOLD]},
            )  # fmt: skip

    async def _load(
        self,
        endpoint: Endpoint,
        questions: Sequence[Question],
        limits: AskLimits,
        block: int,
        run_id: str,
        clock_zero_s: float,
    ) -> tuple[LatencySample, ...]:
        samples: list[LatencySample] = []
        plan = LoadPlan(
            questions=questions,
            starts_s=None,
            most_in_flight=limits.concurrency,
            request_timeout_s=limits.request_timeout_s,
            requests=len(questions),
        )
        bodies = [request_body(question, endpoint.model, stream=True) for question in questions]

        def keep(request: TimedRequest) -> None:
            samples.append(latency_sample(request, block=block))

        async with self.open(endpoint, limits) as transport:

            def send(index: int, identity: str) -> Awaitable[Timing | Failure]:
                return transport.stream(bodies[index], identity)

            await LoadLoop(plan, send, keep, run_id=run_id, zero_s=clock_zero_s).run()
        return tuple(sorted(samples, key=lambda sample: sample.started_s))


class _Asker:
    """Asks single questions of one server, and keeps the pulse of it."""

    def __init__(
        self, transport: Transport, endpoint: Endpoint, limits: AskLimits, run_id: str, total: int
    ) -> None:
        self.failures: Counter[str] = Counter()
        self.unanswered: list[str] = []
        self._transport = transport
        self._model = endpoint.model
        self._limits = limits
        self._run_id = run_id
        self._call = secrets.token_hex(3)
        self._pulse = Pulse(endpoint, limits, total)

    async def ask(self, question: Question) -> Prediction:
        body = request_body(question, self._model, stream=False)
        attempt = 1
        while True:
            identity = request_id(self._run_id, self._call, question.case_id, attempt)
            outcome = await self._transport.complete(body, identity)
            self._pulse.beat(outcome)
            if isinstance(outcome, Reply):
                return await self._answered(question, outcome, attempt, identity)
            _log.debug(
                "a request got no answer",
                extra={
                    "run_id": self._run_id,
                    "request_id": identity,
                    "attempt": attempt,
                    "failure": outcome.kind,
                },
            )
            if not outcome.retried or attempt >= self._limits.max_attempts:
                break
            await asyncio.sleep(self._pause_s(attempt))
            attempt += 1
        self.failures[outcome.kind] += 1
        self.unanswered.append(identity)
        self._pulse.gave_up(outcome)
        return Prediction(
            case_id=question.case_id, label=None, status=AnswerStatus.ERROR, raw=None,
            attempts=attempt, request_id=identity, error_kind=outcome.kind,
        )  # fmt: skip

    async def _answered(
        self, question: Question, reply: Reply, attempts: int, identity: str
    ) -> Prediction:
        logprobs = None
        if question.want_logprobs and question.choices is not None:
            body = logprobs_body(question, self._model)
            second = await self._transport.complete(body, f"{identity}-logprobs")
            if isinstance(second, Reply):
                logprobs = label_logprobs(second.first_token, question.choices)
        return Prediction(
            case_id=question.case_id, label=None, status=AnswerStatus.OK, raw=reply.words,
            label_logprobs=logprobs, e2e_ms=reply.e2e_ms, prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens, attempts=attempts, request_id=identity,
        )  # fmt: skip

    def _pause_s(self, attempt: int) -> float:
        # Half to one and a half times: questions that failed together do not come back together.
        jitter = random.uniform(0.5, 1.5)  # noqa: S311 - spreads retries, guards nothing
        return self._limits.backoff_s * float(2 ** (attempt - 1)) * jitter


async def for_each(
    items: Iterable[T], concurrency: int, work: Callable[[T], Awaitable[None]]
) -> None:
    """Does `work` for every item, `concurrency` at a time; the first error cancels the rest."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        first = errors.exceptions[0]
        raise first from first.__cause__
