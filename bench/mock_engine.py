"""An OpenAI-compatible chat server that keeps the truth: when each request came, when it answered.

    python -m bench.mock_engine [--uds PATH]        # prints its port, then serves until SIGTERM

A process of its own, so that it shares no loop with the client under test. A bare protocol on
uvloop reads just enough of a request to know where it ends. `POST /mode` takes a `Script` and
clears the log; `GET /truth` returns the log. All times are `time.monotonic_ns()`, the clock that
every process of one Linux machine shares, so a client's figures can be held against them.

With `first_ms` unset the engine is *instant*: an answer is one write of constants, which leaves
only the client's own cost. Otherwise it is *scripted*: the n-th request to arrive gets delays
drawn from the seed and n alone. A stall stops the engine's clock as a hung device would:
connections are accepted, nothing is answered, and all that was due comes that much later.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, cast

import uvloop

_ID = b'"id":"chatcmpl-1","created":1,"model":"mock"'
_TOKEN = (
    b'data: {%b,"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"joy"},'
    b'"finish_reason":null}]}\n\n'
) % _ID
_USAGE = b'"usage":{"prompt_tokens":40,"completion_tokens":%d,"total_tokens":%d}'
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_MODELS = {"object": "list", "data": [{"id": "mock", "object": "model", "owned_by": "mock"}]}
INSTANT_TOKENS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How the engine behaves.

    Args:
        seed: draws every delay and error, together with a request's number.
        first_ms: median delay of the first token; None makes the engine instant.
        first_sigma: spread of that delay (standard deviation of its logarithm); 0 is constant.
        gap_ms, gap_sigma: the same for the time between tokens.
        tokens: tokens in an answer.
        errors: share of requests that fail: half of them with 503, half cut off mid-stream.
        stall_at_s, stall_s: when, after the first request, the engine freezes, and for how long.
    """

    seed: int = 0
    first_ms: float | None = None
    first_sigma: float = 0.0
    gap_ms: float = 5.0
    gap_sigma: float = 0.0
    tokens: int = 4
    errors: float = 0.0
    stall_at_s: float = 0.0
    stall_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What the script holds for one request: delays in seconds, and `ok`, `http_503` or `cut`."""

    first_s: float
    gaps_s: tuple[float, ...]
    outcome: str


def planned(script: Script, number: int) -> Planned:
    """Returns what the `number`-th request to arrive will get; the same in any process."""
    draw = random.Random(f"{script.seed}/{number}")  # noqa: S311 - a script, not a secret
    fails = draw.random() < script.errors
    kind = draw.choice(("http_503", "cut"))
    median_s = (script.first_ms or 0.0) / 1e3
    return Planned(
        first_s=median_s * draw.lognormvariate(0.0, script.first_sigma),
        gaps_s=tuple(
            script.gap_ms / 1e3 * draw.lognormvariate(0.0, script.gap_sigma)
            for _ in range(script.tokens - 1)
        ),
        outcome=kind if fails else "ok",
    )


class FrozenClock:
    """The engine's clock, which stands still during the stall; in seconds of the loop's clock."""

    def __init__(self, begins_s: float, lasts_s: float) -> None:
        self._begins_s = begins_s
        self._lasts_s = lasts_s

    def engine_s(self, wall_s: float) -> float:
        """Returns the engine's time at a wall time."""
        if wall_s < self._begins_s:
            return wall_s
        return max(self._begins_s, wall_s - self._lasts_s)

    def wall_s(self, engine_s: float) -> float:
        """Returns the wall time at which the engine's clock shows a time."""
        return engine_s if engine_s < self._begins_s else engine_s + self._lasts_s


class Engine:
    """The behaviour in force and the log of it.

    A row of the log: request id, arrival, times of the token writes, last byte, outcome.
    """

    def __init__(self) -> None:
        self.set(Script())

    def set(self, script: Script) -> None:
        """Takes a script and forgets the log."""
        self.script = script
        self.rows: list[list[Any]] = []
        self.clock: FrozenClock | None = None
        tokens = script.tokens if script.first_ms is not None else INSTANT_TOKENS
        counts = _USAGE % (tokens, 40 + tokens)
        self.end = _chunk(b'data: {%b,"choices":[],%b}\n\n' % (_ID, counts))
        self.end += _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
        self.stream = _HEAD + _chunk(_TOKEN) * tokens + self.end
        whole = (
            b'{%b,"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",'
            b'"content":"joy"},"finish_reason":"stop"}],%b}'
        ) % (_ID, counts)
        self.whole = _response(whole)

    def truth(self) -> dict[str, Any]:
        """Returns the script and the log."""
        return {"script": asdict(self.script), "rows": self.rows}


class MockConnection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._row: list[Any] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes a connection."""
        # uvloop's transports are not of asyncio's class.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops answering a client that has gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._row[4] = "client_gone"

    def data_received(self, data: bytes) -> None:
        """Answers every request that has wholly arrived."""
        arrived = time.monotonic_ns()
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            size = int(_header(head, b"content-length") or 0)
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            if head.startswith(b"POST /v1/chat/completions"):
                self._complete(head, body, arrived)
            else:
                self._control(head, body)

    def _complete(self, head: bytes, body: bytes, arrived: int) -> None:
        engine = self._engine
        identity = (_header(head, b"x-request-id") or b"").decode()
        if engine.script.first_ms is None:
            streams = b'"stream":true' in body or b'"stream": true' in body
            self._transport.write(engine.stream if streams else engine.whole)
            now = time.monotonic_ns()
            engine.rows.append([identity, arrived, [now], now, "ok"])
            return
        self._row = [identity, arrived, [], None, "open"]
        plan = planned(engine.script, len(engine.rows))
        engine.rows.append(self._row)
        if plan.outcome == "http_503":
            self._transport.write(_response(b'{"error":{"message":"busy"}}', b"503 Busy"))
            self._close_row("http_503")
            return
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if engine.clock is None:
            begins_s = now_s + engine.script.stall_at_s
            engine.clock = FrozenClock(begins_s, engine.script.stall_s)
        due_s = engine.clock.engine_s(now_s) + plan.first_s
        self._at(loop, due_s, plan, 0)

    def _at(self, loop: asyncio.AbstractEventLoop, due_s: float, plan: Planned, token: int) -> None:
        # Due times add up from the arrival: a late timer does not make the next one late.
        assert self._engine.clock is not None
        wall_s = self._engine.clock.wall_s(due_s)
        self._timer = loop.call_at(wall_s, self._token, loop, due_s, plan, token)

    def _token(
        self, loop: asyncio.AbstractEventLoop, due_s: float, plan: Planned, token: int
    ) -> None:
        self._timer = None
        last = token == len(plan.gaps_s)
        if plan.outcome == "cut" and token == (len(plan.gaps_s) + 1) // 2:
            self._close_row("cut")
            self._transport.close()
            return
        parts = (_HEAD if token == 0 else b"") + _chunk(_TOKEN)
        self._transport.write(parts + self._engine.end if last else parts)
        self._row[2].append(time.monotonic_ns())
        if last:
            self._close_row("ok")
        else:
            self._at(loop, due_s + plan.gaps_s[token], plan, token + 1)

    def _close_row(self, outcome: str) -> None:
        self._row[3] = time.monotonic_ns()
        self._row[4] = outcome

    def _control(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        answer: object = {}
        if path == b"/mode":
            self._engine.set(Script(**json.loads(body)))
        elif path == b"/truth":
            answer = self._engine.truth()
        elif path == b"/v1/models":
            answer = _MODELS
        elif path != b"/health":
            self._transport.write(_response(b"{}", b"404 Not Found"))
            return
        self._transport.write(_response(json.dumps(answer).encode()))


def _header(head: bytes, name: bytes) -> bytes | None:
    _, found, rest = head.lower().partition(b"\r\n" + name + b":")
    # An id keeps its capitals: it is read from the head as it came.
    start = len(head) - len(rest)
    return head[start:].split(b"\r\n", 1)[0].strip() if found else None


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _response(body: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


async def _serve(uds: str | None) -> None:
    engine = Engine()
    loop = asyncio.get_running_loop()
    if uds is not None:
        server: asyncio.Server = await loop.create_unix_server(lambda: MockConnection(engine), uds)
        where = uds
    else:
        server = await loop.create_server(
            lambda: MockConnection(engine), "127.0.0.1", 0, backlog=1024
        )
        where = str(server.sockets[0].getsockname()[1])
    sys.stdout.write(f"{where}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(prog="python -m bench.mock_engine")
    parser.add_argument("--uds", help="serve on this unix socket instead of a port")
    uvloop.run(_serve(parser.parse_args().uds))


if __name__ == "__main__":
    main()
