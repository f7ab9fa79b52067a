"""A real local server of the OpenAI chat protocol whose every answer, good or bad, a test scripts.

It listens on TCP or a unix socket in a thread of its own, and keeps what it was asked. It honours
`structured_outputs.choice` as vLLM does, unless told to ignore it.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from assay.records import Endpoint


@dataclass(frozen=True, kw_only=True)
class Say:
    """Answers with words, one token each, the first after `first_token_s`.

    `counted` tells whether it states its token counts.
    """

    words: str
    first_token_s: float = 0.0
    token_s: float = 0.0
    top_logprobs: dict[str, float] | None = None
    counted: bool = True


@dataclass(frozen=True, kw_only=True)
class Fail:
    """Does not answer properly.

    `how`: `status` (an HTTP status that echoes the question, as real servers do), `garbage`,
    `not_http`, `huge`, `stall`, `drop` (closes at once), `half` (closes in the middle), `no_done`
    (a stream that ends early but tidily), `error_event` (an error in the stream) or `bad_event` (an
    event that is no JSON). `retry_after` is the header of a `status`.
    """

    how: str
    status: int = 500
    retry_after: str | None = None


Reply = Say | Fail
Script = Callable[[dict[str, Any]], Reply]


@dataclass(kw_only=True)
class OpenAIServer:
    """The server; a context manager. `script` decides each answer from the request's body."""

    script: Script
    uds: Path | None = None
    api_key: str | None = None
    constrains: bool = True
    version: str | None = "0.32.0"
    models: tuple[str, ...] = ("tiny",)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    port: int = 0

    def __enter__(self) -> Self:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the server, as if the engine had died; may be called more than once."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        base = "http://localhost" if self.uds else f"http://127.0.0.1:{self.port}"
        return Endpoint(base_url=base, model="tiny", uds=self.uds, api_key=self.api_key)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._list)
        if self.version is not None:
            app.router.add_get("/version", self._state_version)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        site: web.BaseSite
        if self.uds is not None:
            site = web.UnixSite(runner, str(self.uds))
        else:
            site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        if self.uds is None:
            self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stopping.wait()
        await runner.cleanup()

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _state_version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": self.version})

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": name} for name in self.models]})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            body = await request.json()
            self.bodies.append(body)
            self.request_ids.append(request.headers.get("X-Request-Id", ""))
            if self.api_key and request.headers.get("Authorization") != f"Bearer {self.api_key}":
                return web.json_response({"error": {"message": "no"}}, status=401)
            reply = self.script(body)
            if isinstance(reply, Fail):
                return await _misbehave(request, body, reply)
            return await self._say(request, body, reply)
        except ConnectionResetError:  # the client has gone, which is no error of a server's
            return web.Response()
        finally:
            self.in_flight -= 1

    async def _say(
        self, request: web.Request, body: dict[str, Any], reply: Say
    ) -> web.StreamResponse:
        words = reply.words
        choices = body.get("structured_outputs", {}).get("choice")
        if choices and self.constrains and words not in choices:
            words = choices[0]
        usage = {"prompt_tokens": 7, "completion_tokens": len(words.split())}
        usage["total_tokens"] = sum(usage.values())
        await asyncio.sleep(reply.first_token_s)
        if not body.get("stream"):
            await asyncio.sleep(reply.token_s * max(0, len(words.split()) - 1))
            return web.json_response(_completion(words, usage, body, reply))
        response = await _open_stream(request)
        await response.write(_event({"role": "assistant", "content": ""}))
        for index, token in enumerate(words.split(" ") if words else []):
            if index:
                await asyncio.sleep(reply.token_s)
            await response.write(_event({"content": token if index == 0 else f" {token}"}))
        await response.write(_event({"content": ""}, finish="stop"))
        if reply.counted and body.get("stream_options", {}).get("include_usage"):
            closing = {"choices": [], "usage": usage}
            await response.write(b"data: " + json.dumps(closing).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


async def _misbehave(request: web.Request, body: dict[str, Any], fail: Fail) -> web.StreamResponse:
    assert request.transport is not None
    if fail.how == "status":
        message = f"on {body['messages']}"
        headers = {"Retry-After": fail.retry_after} if fail.retry_after else {}
        return web.json_response(
            {"error": {"message": message}}, status=fail.status, headers=headers
        )
    if fail.how == "garbage":
        return web.Response(text="<html>busy</html>", content_type="text/html")
    if fail.how == "huge":
        return web.Response(body=b"x" * (3 << 20))
    if fail.how == "stall":
        await asyncio.sleep(60)
    if fail.how == "not_http":
        request.transport.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await asyncio.sleep(0.05)
    if fail.how in ("half", "no_done", "error_event", "bad_event"):
        response = await _open_stream(request)
        await response.write(_event({"content": "jo"})[: None if body.get("stream") else 20])
        if fail.how == "error_event":
            await response.write(b'data: {"error": {"message": "engine died", "code": 500}}\n\n')
        if fail.how == "bad_event":
            await response.write(b'data: {"choices": [{"delta": \n\n')
        if fail.how in ("no_done", "error_event", "bad_event"):
            await response.write_eof()
            return response
        await asyncio.sleep(0.02)
    request.transport.abort()
    return web.Response()


async def _open_stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    return response


def _event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    chunk = {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "tiny",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }  # fmt: skip
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _completion(
    words: str, usage: dict[str, int], body: dict[str, Any], reply: Say
) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": words},
        "finish_reason": "stop",
    }
    if body.get("logprobs") and reply.top_logprobs is not None:
        top = [{"token": t, "logprob": v, "bytes": None} for t, v in reply.top_logprobs.items()]
        choice["logprobs"] = {"content": [{"token": words, "logprob": -0.1, "top_logprobs": top}]}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "tiny",
        "choices": [choice], "usage": usage,
    }  # fmt: skip
