"""The same questions through OpenAI's own client, for servers that somebody else runs.

Decides how the `openai` library is told to do exactly what the lean client does: its retries are
off, because attempts are counted and timed by `chat_driver`, and its errors become reasons.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai

from assay.adapters.chat_driver import DrivenChat, Transport
from assay.adapters.chat_wire import (
    MAX_ANSWER_BYTES,
    Failure,
    Reply,
    Timing,
    http_failure,
    read_completion,
)
from assay.adapters.sse import StreamedAnswer
from assay.ports import AskLimits
from assay.records import Endpoint

_NO_KEY = "none"
"""The library insists on a key; a server without keys ignores it."""


class OpenAIChat(DrivenChat):
    """A `ChatClient` on `openai.AsyncOpenAI`, over TCP or a unix socket."""

    @asynccontextmanager
    async def open(self, endpoint: Endpoint, limits: AskLimits) -> AsyncIterator[Transport]:
        """Opens a client with as many connections as questions may be in flight."""
        pool = httpx2.Limits(
            max_connections=limits.concurrency, max_keepalive_connections=limits.concurrency
        )
        uds = None if endpoint.uds is None else str(endpoint.uds)
        transport = httpx2.AsyncHTTPTransport(limits=pool, uds=uds)
        # trust_env=False: a proxy of the environment must not see the questions.
        http_client = httpx2.AsyncClient(transport=transport, trust_env=False)
        async with openai.AsyncOpenAI(
            base_url=f"{endpoint.base_url}/v1",
            api_key=endpoint.api_key or _NO_KEY,
            max_retries=0,
            timeout=limits.request_timeout_s,
            http_client=http_client,
        ) as client:
            yield _Session(client, limits.request_timeout_s)


class _Session:
    """One open OpenAI client, as a `Transport`."""

    def __init__(self, client: openai.AsyncOpenAI, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s

    async def complete(self, body: dict[str, Any], request_id: str) -> Reply | Failure:
        parts: list[bytes] = []
        size = 0
        started_s = time.monotonic()
        try:
            async with self._post(body, request_id) as response:
                async for part in response.iter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > MAX_ANSWER_BYTES:
                        return Failure(kind="garbage")
        except (TimeoutError, openai.OpenAIError, httpx2.HTTPError) as error:
            return _failure(error)
        return read_completion(b"".join(parts), (time.monotonic() - started_s) * 1e3)

    async def stream(self, body: dict[str, Any], request_id: str) -> Timing | Failure:
        answer = StreamedAnswer()
        started_s = time.monotonic()
        try:
            async with self._post(body, request_id) as response:
                async for part in response.iter_bytes():
                    answer.feed(part, time.monotonic())
                    if answer.failure is not None:
                        return answer.failure
        except (TimeoutError, openai.OpenAIError, httpx2.HTTPError) as error:
            return _failure(error)
        return answer.finish(started_s, time.monotonic())

    @asynccontextmanager
    async def _post(
        self, body: dict[str, Any], request_id: str
    ) -> AsyncIterator[openai.AsyncAPIResponse[Any]]:
        """Opens an answer, to be read as bytes.

        The library types the fields it knows; vLLM's own go through `extra_body`, and so do the
        rest, so that both clients send the same question. Its timeout is for each read, ours for
        the whole answer.
        """
        rest = {name: value for name, value in body.items() if name not in ("model", "messages")}
        create = self._client.chat.completions.with_streaming_response.create
        async with (
            asyncio.timeout(self._timeout_s),
            create(
                model=body["model"],
                messages=body["messages"],
                extra_body=rest,
                extra_headers={"X-Request-Id": request_id},
            ) as response,
        ):
            yield response


def _failure(error: Exception) -> Failure:
    """Names what went wrong; the error's own text stays out, since it may quote the answer."""
    if isinstance(error, openai.APIStatusError):
        return http_failure(error.status_code)
    if isinstance(error, TimeoutError | openai.APITimeoutError | httpx2.TimeoutException):
        return Failure(kind="timeout")
    if isinstance(error, openai.APIConnectionError):
        return Failure(kind="connection")
    if isinstance(error, httpx2.TransportError):
        return Failure(kind="broken")
    return Failure(kind="garbage")
