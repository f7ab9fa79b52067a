"""Splits a server-sent-events stream by hand and notes when the first word came.

A general parser costs more than the rest of a request, and the times it would be used for are the
ones being measured. Decides where events begin and end and what of them must be read; leaves the
clock and the socket to the client.
"""

from assay.adapters.chat_wire import MAX_ANSWER_BYTES, Failure, Timing, read_chunk

_DATA = b"data:"
_DONE = b"[DONE]"


class StreamedAnswer:
    """Times one streamed answer from the chunks of its body, in order.

    After the first word only events that name their usage or an error are parsed: inside a JSON
    string a quote is escaped, so neither key can be part of the model's words.
    """

    def __init__(self) -> None:
        self.done = False
        self.failure: Failure | None = None
        self._rest = b""
        self._size = 0
        self._first_at_s: float | None = None
        self._prompt_tokens: int | None = None
        self._completion_tokens: int | None = None

    def feed(self, data: bytes, now_s: float) -> None:
        """Takes the next bytes, which arrived at `now_s` on the caller's clock."""
        self._size += len(data)
        if self._size > MAX_ANSWER_BYTES:
            self.failure = Failure(kind="garbage")
            return
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line.startswith(_DATA):
                self._take(line[len(_DATA) :].strip(), now_s)
                if self.failure is not None:
                    return

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
        )

    def _take(self, event: bytes, now_s: float) -> None:
        if event == _DONE:
            self.done = True
            return
        if self._first_at_s is not None and not (b'"usage"' in event or b'"error"' in event):
            return
        chunk = read_chunk(event)
        if chunk is None or chunk.error is not None:
            self.failure = Failure(kind="garbage" if chunk is None else "broken")
            return
        if self._first_at_s is None and chunk.words:
            self._first_at_s = now_s
        if chunk.usage is not None:
            self._prompt_tokens = chunk.usage.prompt_tokens
            self._completion_tokens = chunk.usage.completion_tokens
