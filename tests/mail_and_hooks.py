"""Real local servers that a notice can be sent to: HTTP and SMTP, well, refusing or hanging.

Each runs in a thread of its own on 127.0.0.1 and keeps what it was sent.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from tests.threaded_server import ThreadedServer

Manner = Literal["well", "refuse", "hang", "drip"]
SECRET = "a secret of more than 24 bytes"
WEBHOOK = "{kind: webhook, name: ci, url_env: HOOK, secret_env: SIGNING}"


@dataclass(frozen=True, kw_only=True)
class Posted:
    """One request, as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(kw_only=True)
class _Server(ThreadedServer):
    manner: Manner = "well"
    connections: int = 0

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._met, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield
        server.close()

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self.manner == "hang":
                await self._stopping.wait()
            else:
                await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


@dataclass(kw_only=True)
class HookServer(_Server):
    """Receives webhooks. `refuse` answers 403, `drip` sends its answer a byte every 0.2 s."""

    posted: list[Posted] = field(default_factory=list)
    location: str | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hooks/T0-secret-path"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.posted.append(Posted(path=head[0].split()[1], headers=headers, body=body))
        status = "403 Forbidden" if self.manner == "refuse" else "200 OK"
        moved = ""
        if self.location is not None:
            status, moved = "307 Temporary Redirect", f"Location: {self.location}\r\n"
        answer = f"HTTP/1.1 {status}\r\n{moved}Content-Length: 2\r\nConnection: close\r\n\r\nok"
        if self.manner == "drip":
            for sign in answer.encode():
                writer.write(bytes([sign]))
                await writer.drain()
                await asyncio.sleep(0.2)
        writer.write(answer.encode())
        await writer.drain()


@dataclass(kw_only=True)
class MailServer(_Server):
    """Receives mail. `refuse` takes no recipient."""

    mails: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(line: str) -> None:
            writer.write(line.encode() + b"\r\n")
            await writer.drain()

        await say("220 mail.test ready")
        while line := await reader.readline():
            words = line.decode().strip()
            verb = words[:4].upper()
            if verb == "RCPT":
                if self.manner == "refuse":
                    await say("550 no such user")
                    continue
                self.recipients.append(words)
            if verb == "DATA":
                await say("354 go on")
                self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
            if verb == "QUIT":
                await say("221 bye")
                return
            await say("250 ok")
