"""A real local server of `/metrics` whose text a test writes, over TCP or a unix socket."""

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from assay.records import Endpoint


@dataclass(kw_only=True)
class MetricsServer:
    """The server; a context manager. `answer` is given in place of `text` where there is one."""

    text: str
    uds: Path | None = None
    answer: web.Response | None = None
    port: int = 0

    def __enter__(self) -> Self:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        base = "http://localhost" if self.uds else f"http://127.0.0.1:{self.port}"
        return Endpoint(base_url=base, model="m", uds=self.uds)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return self.answer or web.Response(text=self.text)

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
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
