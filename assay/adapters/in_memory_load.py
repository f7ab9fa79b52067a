"""A `LoadGenerator` without a server: a function says how each request is answered, and how fast.

For tests of whatever runs a load. It passes the same contract tests as the real generator, because
it is driven by the same `load_driver`: only the wire is missing.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from assay.adapters.chat_wire import Failure, Timing
from assay.adapters.load_driver import GONE_AFTER_S, DrivenLoad, LoadTransport
from assay.ports import AskLimits
from assay.records import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """One answer: `tokens` words, the first after `first_token_s`, each further after `token_s`.

    `counted` tells whether the engine reports its token counts.
    """

    first_token_s: float = 0.0
    token_s: float = 0.0
    tokens: int = 2
    counted: bool = True


Script = Callable[[Mapping[str, Any]], Scripted | Failure]
"""Takes a request's body (`model`, `messages`, …)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InMemoryLoad(DrivenLoad):
    """Answers each request as `script` says; a failure comes at once, a `timeout` in its time."""

    script: Script
    gone_after_s: float = GONE_AFTER_S

    @asynccontextmanager
    async def open(self, endpoint: Endpoint, limits: AskLimits) -> AsyncIterator[LoadTransport]:
        """Yields the transport; there is nothing to open."""
        yield _Session(self.script, limits.request_timeout_s)


class _Session:
    """The in-memory `LoadTransport`; its times are measured, as a real one's are."""

    def __init__(self, script: Script, timeout_s: float) -> None:
        self._script = script
        self._timeout_s = timeout_s

    async def send(self, body: bytes, request_id: str) -> Timing | Failure:
        question = json.loads(body)
        answer = self._script(question)
        if isinstance(answer, Failure):
            await asyncio.sleep(self._timeout_s if answer.kind == "timeout" else 0)
            return answer
        heard: list[float] = []
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                for index in range(answer.tokens):
                    await asyncio.sleep(answer.token_s if index else answer.first_token_s)
                    heard.append(time.monotonic())
        except TimeoutError:
            first_ms = (heard[0] - started_s) * 1e3 if heard else None
            return Failure(kind="timeout", ttft_ms=first_ms)
        words = sum(len(str(message["content"]).split()) for message in question["messages"])
        return Timing(
            ttft_ms=(heard[0] - started_s) * 1e3 if heard else None,
            e2e_ms=(time.monotonic() - started_s) * 1e3,
            prompt_tokens=words if answer.counted else None,
            completion_tokens=answer.tokens if answer.counted else None,
            gaps_ms=tuple((after - before) * 1e3 for before, after in pairwise(heard)),
        )
