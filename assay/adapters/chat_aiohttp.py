"""The lean client: aiohttp on uvloop, over TCP or a unix socket, for scoring and for load.

Decides how bytes go to the server and come back; leaves retries and records to `chat_driver`. A
fast engine outruns a heavier client, which then measures itself (`bench/clients.py`).
"""

import json
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

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


class AiohttpChat(DrivenChat):
    """A `ChatClient` on aiohttp: one session a call, keep-alive, no redirects, no proxies."""

    def open(self, endpoint: Endpoint, limits: AskLimits) -> AbstractAsyncContextManager[Transport]:
        """Opens a session with as many connections as questions may be in flight."""
        return self.open_session(endpoint, limits)

    @asynccontextmanager
    async def open_session(
        self, endpoint: Endpoint, limits: AskLimits
    ) -> AsyncIterator["AiohttpSession"]:
        """Opens a session that also sends bodies which are ready, as a load does."""
        connector: aiohttp.BaseConnector
        if endpoint.uds is not None:
            connector = aiohttp.UnixConnector(path=str(endpoint.uds), limit=limits.concurrency)
        else:
            connector = aiohttp.TCPConnector(limit=limits.concurrency)
        headers = {"Content-Type": "application/json"}
        if endpoint.api_key is not None:
            headers["Authorization"] = f"Bearer {endpoint.api_key}"
        async with aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=limits.request_timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            # An answer is a line of JSON: no compression to be unpacked, hostile or not.
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding",),
        ) as session:
            url = f"{endpoint.base_url}/v1/chat/completions"
            yield AiohttpSession(session, url, limits.max_answer_bytes)


class AiohttpSession:
    """One open aiohttp session, as a `Transport` and as a `LoadTransport`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, max_answer_bytes: int) -> None:
        self._session = session
        self._url = URL(url)
        self._max_bytes = max_answer_bytes

    async def complete(self, body: dict[str, Any], request_id: str) -> Reply | Failure:
        """Asks for a whole answer, once."""
        data = _encode(body)
        started_s = time.monotonic()
        try:
            async with self._post(data, request_id) as response:
                if response.status != 200:
                    return http_failure(response.status)
                answer = await _read_bounded(response)
        except (TimeoutError, aiohttp.ClientError) as error:
            return _failure(error)
        if answer is None:
            return Failure(kind="garbage")
        return read_completion(answer, (time.monotonic() - started_s) * 1e3)

    async def stream(self, body: dict[str, Any], request_id: str) -> Timing | Failure:
        """Asks for a streamed answer, once, and times it."""
        return await self.send(_encode(body), request_id)

    async def send(self, body: bytes, request_id: str) -> Timing | Failure:
        """Asks for a streamed answer with a body that is ready to send, and times it."""
        answer = StreamedAnswer(self._max_bytes)
        started_s = time.monotonic()
        try:
            async with self._post(body, request_id) as response:
                if response.status != 200:
                    return http_failure(response.status, response.headers.get("Retry-After"))
                async for chunk in response.content.iter_any():
                    answer.feed(chunk, time.monotonic())
                    if answer.failure is not None:
                        return answer.failed(answer.failure, started_s)
        except (TimeoutError, aiohttp.ClientError) as error:
            return answer.failed(_failure(error), started_s)
        return answer.finish(started_s, time.monotonic())

    def _post(self, data: bytes, request_id: str) -> Any:
        return self._session.post(
            self._url, data=data, headers={"X-Request-Id": request_id}, allow_redirects=False
        )


def _encode(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """Reads a body, or returns None when it is larger than an answer can be."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            return None
    return b"".join(parts)


def _failure(error: Exception) -> Failure:
    """Names what went wrong; the error's own text stays out, since it may quote the answer."""
    if isinstance(error, TimeoutError):
        return Failure(kind="timeout")
    if isinstance(error, aiohttp.ClientPayloadError):
        return Failure(kind="broken")
    if isinstance(error, aiohttp.ClientConnectionError):
        return Failure(kind="connection")
    return Failure(kind="garbage")
