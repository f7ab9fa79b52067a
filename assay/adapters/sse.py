"""Splits a server-sent-events stream by hand and notes when the first word came.

A general parser costs more than the rest of a request, and the times it would be used for are the
ones being measured. Decides where events begin and end and what of them must be read; leaves the
clock and the socket to the client.
"""

from dataclasses import replace

from assay.adapters.chat_wire import MAX_ANSWER_BYTES, Failure, Timing, read_chunk

_DATA = b"data:"
_DONE = b"[DONE]"
_CONTENT = b'"content":'
_NOTHING = (b'""', b"null")
_COUNTED = (b"}}", b"}}\r")


class StreamedAnswer:
    """Times one streamed answer from the chunks of its body, in order.

    After the first word an event that adds words is only counted, unless it ends as one with token
    counts does; all others are parsed. Inside a JSON string a quote is escaped, so that no key can
    be part of the model's words.
    """

    def __init__(self, max_bytes: int = MAX_ANSWER_BYTES) -> None:
        self._max_bytes = max_bytes
        self.done = False
        self.failure: Failure | None = None
        self._rest = b""
        self._size = 0
        self._first_at_s: float | None = None
        self._last_at_s = 0.0
        self._gaps_ms: list[float] = []
        self._prompt_tokens: int | None = None
        self._completion_tokens: int | None = None

    def feed(self, data: bytes, now_s: float) -> None:
        """Takes the next bytes, which arrived at `now_s` on the caller's clock."""
        self._size += len(data)
        if self._size > self._max_bytes:
            self.failure = Failure(kind="garbage")
            return
        lines = (self._rest + data).split(b"\n") if self._rest else data.split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if not line.startswith(_DATA):
                continue
            if self._first_at_s is None or line.endswith(_COUNTED) or not _has_words(line):
                self._take(line[len(_DATA) :].strip(), now_s)
                if self.failure is not None:
                    return
            else:
                self._gaps_ms.append((now_s - self._last_at_s) * 1e3)
                self._last_at_s = now_s

    def finish(self, started_s: float, ended_s: float) -> Timing | Failure:
        """Returns the answer; a stream that never said it was done is broken."""
        if self.failure is not None:
            return self.failure
        if not self.done:
            return Failure(kind="broken")
        first = self._first_at_s
        return Timing(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            ttft_ms=None if first is None else (first - started_s) * 1e3,
            e2e_ms=(ended_s - started_s) * 1e3,
            gaps_ms=tuple(self._gaps_ms),
        )

    def failed(self, failure: Failure, started_s: float) -> Failure:
        """Returns a failure with the time of the first word, where there had been one."""
        if self._first_at_s is None:
            return failure
        return replace(failure, ttft_ms=(self._first_at_s - started_s) * 1e3)

    def _take(self, event: bytes, now_s: float) -> None:
        if event == _DONE:
            self.done = True
            return
        chunk = read_chunk(event)
        if chunk is None or chunk.error is not None:
            self.failure = Failure(kind="garbage" if chunk is None else "broken")
            return
        if chunk.words and self._first_at_s is None:
            self._first_at_s = self._last_at_s = now_s
        elif chunk.words:
            self._gaps_ms.append((now_s - self._last_at_s) * 1e3)
            self._last_at_s = now_s
        if chunk.usage is not None:
            self._prompt_tokens = chunk.usage.prompt_tokens
            self._completion_tokens = chunk.usage.completion_tokens


def _has_words(event: bytes) -> bool:
    """Tells by its bytes whether an event adds words; the opening and closing ones add none."""
    at = event.find(_CONTENT)
    if at < 0:
        return False
    value = event[at + len(_CONTENT) : at + len(_CONTENT) + 8].lstrip()
    return not value.startswith(_NOTHING)
