"""A server that answers chat completions at once, so that only the client's own cost is left.

A bare protocol on uvloop: it reads just enough of a request to know where it ends and whether it
streams, and answers from constants. Run as `python -m bench.instant_server`; prints its port.
"""

import asyncio
import sys
from typing import cast

import uvloop

_WHOLE = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"tiny","choices":[{"index":'
    b'0,"message":{"role":"assistant","content":"joy"},"finish_reason":"stop"}],"usage":'
    b'{"prompt_tokens":40,"completion_tokens":4,"total_tokens":44}}'
)
_EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"tiny",'
    b'"choices":[{"index":0,"delta":{"content":"joy"},"finish_reason":null}]}\n\n'
)
_USAGE = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"tiny",'
    b'"choices":[],"usage":{"prompt_tokens":40,"completion_tokens":4,"total_tokens":44}}\n\n'
)
_STREAM = b"".join(
    b"%x\r\n%b\r\n" % (len(part), part)
    for part in [*[_EVENT] * 4, _USAGE, b"data: [DONE]\n\n", b""]
)
_WHOLE_RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    % (len(_WHOLE), _WHOLE)
)
_STREAM_RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    + _STREAM
)


class InstantServer(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes a connection."""
        # uvloop's transports are not of asyncio's class.
        self._transport = cast(asyncio.Transport, transport)
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answers every request that has wholly arrived."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            start = head.find(b"content-length:") + len(b"content-length:")
            size = int(head[start:].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            streams = b'"stream":true' in body or b'"stream": true' in body
            self._transport.write(_STREAM_RESPONSE if streams else _WHOLE_RESPONSE)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(InstantServer, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
