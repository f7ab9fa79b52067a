"""A server of a test's own: in a thread, on a port that was free, ready when it is entered."""

import asyncio
import threading
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(kw_only=True)
class ThreadedServer:
    """A context manager; `port` is known within."""

    port: int = 0

    def __enter__(self) -> Self:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
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

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with self._listening():
            self._ready.set()
            await self._stopping.wait()

    def _listening(self) -> AbstractAsyncContextManager[None]:
        """Listens on `port`, which it sets."""
        raise NotImplementedError
