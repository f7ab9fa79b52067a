"""The generator of load that users run: aiohttp on uvloop, one keep-alive session, lines by hand.

Decides that the wire is the gate's own (`chat_aiohttp`), so that what is measured is what decides,
and that the process may open as many sockets as the plan has requests in flight.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from assay.adapters.chat_aiohttp import AiohttpChat
from assay.adapters.load_driver import GONE_AFTER_S, DrivenLoad, LoadTransport
from assay.errors import ConfigError
from assay.ports import AskLimits
from assay.records import Endpoint

_OTHER_FILES = 256
"""Files and sockets of the process besides the connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AiohttpLoad(DrivenLoad):
    """A `LoadGenerator` over TCP or a unix socket; `gone_after_s` as in `load_driver`."""

    gone_after_s: float = GONE_AFTER_S

    @asynccontextmanager
    async def open(self, endpoint: Endpoint, limits: AskLimits) -> AsyncIterator[LoadTransport]:
        """Opens a session with as many connections as requests may be in flight."""
        _allow_files(limits.concurrency + _OTHER_FILES)
        async with AiohttpChat().open_session(endpoint, limits) as session:
            yield session


def _allow_files(count: int) -> None:
    """Raises the process's own limit of open files: running out would look like a server's fault.

    Raises:
        ConfigError: the system does not allow so many.
    """
    if sys.platform == "win32":  # has no such limit
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY in (soft, hard) or soft >= count:
        return
    if hard < count:
        raise ConfigError(
            f"the load needs {count:,} open files, this system allows {hard:,}; lower "
            "max_in_flight in the load profile, or raise `ulimit -Hn`"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
