"""A bare aiohttp loop on uvloop that times streamed answers, for comparison.

    python -m bench.peer_aiohttp run.json

It keeps no record, follows no policy and reports no failure: what a load generator costs above it
is the price of what it checks and keeps. With `reads` true it does what every client must, which
is to find the first event with words in it and to read the token count; with
`reads` false it only counts bytes, and is the bound that aiohttp itself sets. Reads a
`bench.peers.Run` and that switch, and writes `times.json` beside it.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

Ask = Callable[[], Awaitable[None]]


async def _closed(ask: Ask, requests: int, concurrency: int) -> None:
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            await ask()

    await asyncio.gather(*(worker() for _ in range(concurrency)))


async def _open(ask: Ask, requests: int, rate_per_s: float) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time() + 0.1
    async with asyncio.TaskGroup() as group:
        for number in range(requests):
            pause = began + number / rate_per_s - loop.time()
            if pause > 0:
                await asyncio.sleep(pause)
            group.create_task(ask())  # type: ignore[arg-type]


class _Loop:
    """One session, and the times of its answers."""

    def __init__(self, session: aiohttp.ClientSession, run: dict[str, Any]) -> None:
        self.times: list[float] = []
        self.tokens = 0
        self._session = session
        self._url = f"{run['url']}/v1/chat/completions"
        self._model = run["model"]
        lines = Path(run["prompts"]).read_text().splitlines()
        self._bodies = cycle([self._body(json.loads(line)["prompt"]) for line in lines])

    def _body(self, prompt: str) -> bytes:
        message = {"role": "user", "content": prompt}
        options = {"stream": True, "stream_options": {"include_usage": True}}
        return json.dumps({"model": self._model, "messages": [message], **options}).encode()

    async def bytes_only(self) -> None:
        """Takes the first bytes for the first token."""
        began = time.monotonic()
        first = None
        async with self._session.post(self._url, data=next(self._bodies)) as response:
            async for _ in response.content.iter_any():
                first = first or time.monotonic()
        if first is not None:
            self.times.append((first - began) * 1e3)

    async def reading(self) -> None:
        """Finds the first token and the count of tokens."""
        began = time.monotonic()
        first, rest = None, b""
        async with self._session.post(self._url, data=next(self._bodies)) as response:
            async for part in response.content.iter_any():
                now = time.monotonic()
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    if first is None and line.startswith(b"data: {"):
                        choices = json.loads(line[6:])["choices"]
                        first = now if choices and choices[0]["delta"].get("content") else None
                    elif b'"usage"' in line:
                        self.tokens += json.loads(line[6:])["usage"]["completion_tokens"]
        if first is not None:
            self.times.append((first - began) * 1e3)


async def _run(run: dict[str, Any]) -> list[float]:
    connector = aiohttp.TCPConnector(limit=run["concurrency"] or 0)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        loop = _Loop(session, run)
        ask = loop.reading if run["reads"] else loop.bytes_only
        if run["rate_per_s"] is None:
            await _closed(ask, run["requests"], run["concurrency"])
        else:
            await _open(ask, run["requests"], run["rate_per_s"])
    return loop.times


if __name__ == "__main__":
    plan = Path(sys.argv[1])
    found = uvloop.run(_run(json.loads(plan.read_text())))
    plan.with_name("times.json").write_text(json.dumps({"ttft_ms": found}))
