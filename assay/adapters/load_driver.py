"""Drives a load over any transport: sends the bytes on time, notices a server that is gone.

Decides when a load is not worth going on with, and that Ctrl-C keeps what was measured; leaves
times to `load_loop` and sockets to the transports (`load_aiohttp`, `in_memory_load`).
"""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from assay.adapters.chat_wire import MAX_ANSWER_BYTES, Failure, Timing, request_body
from assay.adapters.event_loop import no_garbage_collection, run
from assay.adapters.load_loop import LoadLoop
from assay.errors import ConfigError, InfrastructureError
from assay.load.samples import TIMEOUT, GeneratorRun, TimedRequest
from assay.ports import AskLimits, LoadPlan
from assay.records import Endpoint

GONE_AFTER_S = 60.0
"""Seconds without any answer, while requests fail unheard, after which a server is gone."""

_UNREACHABLE_AFTER = 8
_REFUSED = frozenset({"http_401", "http_403", "http_404"})
_UNHEARD = frozenset({"connection", TIMEOUT})
_BYTES_A_TOKEN = 1024


class LoadTransport(Protocol):
    """One open session with one server."""

    async def send(self, body: bytes, request_id: str) -> Timing | Failure:
        """Asks for a streamed answer, once. Never raises for what a server or network does."""
        ...


class DrivenLoad(ABC):
    """A `LoadGenerator` over any transport. Callers are synchronous; the loop runs inside."""

    gone_after_s: float = GONE_AFTER_S

    @abstractmethod
    def open(
        self, endpoint: Endpoint, limits: AskLimits
    ) -> AbstractAsyncContextManager[LoadTransport]:
        """Returns the context in which one session with the server is open."""

    def run(
        self,
        endpoint: Endpoint,
        plan: LoadPlan,
        on_request: Callable[[TimedRequest], str | None],
        *,
        run_id: str,
    ) -> GeneratorRun:
        """Runs a load to its end; see `assay.ports.LoadGenerator.run`."""
        _check(plan)
        with no_garbage_collection():
            return run(self._run(endpoint, plan, on_request, run_id))

    async def _run(
        self,
        endpoint: Endpoint,
        plan: LoadPlan,
        on_request: Callable[[TimedRequest], str | None],
        run_id: str,
    ) -> GeneratorRun:
        watch = _Watch(endpoint, plan, self.gone_after_s)
        bodies = _bodies(plan, endpoint.model)

        def take(request: TimedRequest) -> str | None:
            return on_request(request) or watch.saw(request)

        async with self.open(endpoint, _limits(plan)) as transport:

            def send(index: int, identity: str) -> Awaitable[Timing | Failure]:
                return transport.send(bodies[index], identity)

            loop = LoadLoop(plan, send, take, run_id=run_id)
            try:
                await loop.run()
            except asyncio.CancelledError:  # Ctrl-C, and nothing else, cancels the main task
                return loop.report(interrupted=True)
            return loop.report()


def _check(plan: LoadPlan) -> None:
    empty = not plan.questions or (plan.starts_s is not None and not len(plan.starts_s))
    endless = plan.starts_s is None and plan.requests is None and plan.duration_s is None
    if empty or endless or plan.most_in_flight < 1:
        starts = "a closed loop" if plan.starts_s is None else f"{len(plan.starts_s)} starts"
        raise ConfigError(
            f"a load of {starts} over {len(plan.questions)} questions, {plan.most_in_flight} in "
            f"flight, {plan.requests!r} requests, {plan.duration_s!r} s; expected at least one of "
            "each, and an end; correct the load profile"
        )


def _limits(plan: LoadPlan) -> AskLimits:
    longest = max(question.decoding.max_tokens for question in plan.questions)
    return AskLimits(
        concurrency=plan.most_in_flight,
        request_timeout_s=plan.request_timeout_s,
        max_attempts=1,
        max_answer_bytes=max(MAX_ANSWER_BYTES, _BYTES_A_TOKEN * longest),
    )


def _bodies(plan: LoadPlan, model: str) -> list[bytes]:
    """Encodes every question once, before the clock starts."""
    return [
        json.dumps(
            request_body(question, model, stream=True) | dict(plan.body),
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()
        for question in plan.questions
    ]


class _Watch:
    """Tells a server that is gone, or was never there, from one that fails now and then."""

    def __init__(self, endpoint: Endpoint, plan: LoadPlan, gone_after_s: float) -> None:
        self._where = f"{endpoint.uds or endpoint.base_url} (model {endpoint.model!r})"
        self._patience_s = max(gone_after_s, 2 * plan.request_timeout_s)
        self._unreachable_after = min(_UNREACHABLE_AFTER, _size(plan))
        self._heard_s = time.monotonic()
        self._heard = False
        self._unheard = 0

    def saw(self, request: TimedRequest) -> str | None:
        """Notes how one request ended; returns a sentence when it is no use to go on.

        Raises:
            InfrastructureError: nothing listens there, or the caller is refused.
        """
        kind = request.error_kind
        if kind not in _UNHEARD:
            if kind in _REFUSED and not self._heard:
                raise InfrastructureError(
                    f"{self._where}: refuses every request with HTTP {kind.removeprefix('http_')};"
                    " expected 200; check the address, the API key and the model's name"
                )
            self._heard, self._heard_s, self._unheard = True, time.monotonic(), 0
            return None
        self._unheard += 1
        if kind != TIMEOUT and not self._heard and self._unheard >= self._unreachable_after:
            raise InfrastructureError(
                f"{self._where}: no connection, {self._unheard} times; expected a server of the "
                "OpenAI protocol; start it, or correct the address"
            )
        silent_s = time.monotonic() - self._heard_s
        if silent_s < self._patience_s:
            return None
        return (
            f"ended early: the server was not heard for {silent_s:.0f} s ({self._unheard:,} "
            f"requests in a row, the last one: {kind}); look at the end of the engine's log"
        )


def _size(plan: LoadPlan) -> int:
    if plan.starts_s is not None:
        return len(plan.starts_s)
    return plan.requests or _UNREACHABLE_AFTER
