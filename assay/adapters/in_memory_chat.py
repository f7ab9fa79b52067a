"""A `ChatClient` without a server: a function answers, in place of a model.

For tests of whatever asks. It passes the same contract tests as the real clients, because it is
driven by the same `chat_driver`: only the wire is missing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from assay.adapters.chat_driver import DrivenChat, Transport
from assay.adapters.chat_wire import Failure, Reply, Timing
from assay.ports import AskLimits
from assay.records import Endpoint

Answer = Callable[[Mapping[str, Any]], str | Failure]
"""Takes a request's body (`model`, `messages`, …) and returns the model's words, or a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InMemoryChat(DrivenChat):
    """Answers each request with `answer`, after `delay_ms` to the first token and `delay_ms` more.

    `constrains` tells whether it honours `structured_outputs`: words that are not one of the
    choices then become the first choice.
    """

    answer: Answer
    delay_ms: float = 0.0
    constrains: bool = True

    @asynccontextmanager
    async def open(self, endpoint: Endpoint, limits: AskLimits) -> AsyncIterator[Transport]:
        """Yields the transport; there is nothing to open."""
        yield _Session(self, limits.request_timeout_s)


class _Session:
    """The in-memory `Transport`."""

    def __init__(self, chat: InMemoryChat, timeout_s: float) -> None:
        self._chat = chat
        self._timeout_s = timeout_s

    async def complete(self, body: dict[str, Any], request_id: str) -> Reply | Failure:
        words, e2e_ms = await self._answer(body)
        if isinstance(words, Failure):
            return words
        prompt, completion = _tokens(body, words)
        return Reply(words=words, prompt_tokens=prompt, completion_tokens=completion, e2e_ms=e2e_ms)

    async def stream(self, body: dict[str, Any], request_id: str) -> Timing | Failure:
        words, e2e_ms = await self._answer(body)
        if isinstance(words, Failure):
            return words
        prompt, completion = _tokens(body, words)
        return Timing(
            ttft_ms=e2e_ms / 2 if words else None,
            e2e_ms=e2e_ms,
            prompt_tokens=prompt,
            completion_tokens=completion,
        )

    async def _answer(self, body: dict[str, Any]) -> tuple[str | Failure, float]:
        e2e_ms = 2 * self._chat.delay_ms
        await asyncio.sleep(min(e2e_ms / 1e3, self._timeout_s))
        if e2e_ms / 1e3 > self._timeout_s:
            return Failure(kind="timeout"), e2e_ms
        words = self._chat.answer(body)
        choices = body.get("structured_outputs", {}).get("choice")
        if choices and isinstance(words, str) and words not in choices and self._chat.constrains:
            words = str(choices[0])
        return words, e2e_ms


def _tokens(body: Mapping[str, Any], words: str) -> tuple[int, int]:
    """Counts whitespace-separated words, which stand for tokens here."""
    prompt = sum(len(str(message["content"]).split()) for message in body["messages"])
    return prompt, len(words.split())
