"""A real local server of `/metrics` whose text a test writes, over TCP or a unix socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from assay.records import Endpoint
from tests.threaded_server import ThreadedServer


@dataclass(kw_only=True)
class MetricsServer(ThreadedServer):
    """The server; a context manager. `answer` is given in place of `text` where there is one."""

    text: str
    uds: Path | None = None
    answer: web.Response | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        base = "http://localhost" if self.uds else f"http://127.0.0.1:{self.port}"
        return Endpoint(base_url=base, model="m", uds=self.uds)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return self.answer or web.Response(text=self.text)

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
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
        yield
        await runner.cleanup()
