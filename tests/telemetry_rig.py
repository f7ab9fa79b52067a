"""Servers that telemetry goes to, really listening: they keep what they get, or never answer."""

import gzip
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from assay.gate_events import (
    GateBegun,
    GateEnded,
    GateEvent,
    GateOutcome,
    StepBegun,
    StepEnded,
    StepOutcome,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(kw_only=True)
class Receiver:
    """An HTTP server; a context manager.

    Args:
        status: what it answers.
        hangs: it takes a request and says nothing, until the test is over.
    """

    status: int = 200
    hangs: bool = False
    received: list[Received] = field(default_factory=list)
    got_one: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.received.append(
                    Received(
                        method=self.command,
                        path=self.path,
                        headers={name.lower(): value for name, value in self.headers.items()},
                        body=body,
                    )
                )
                receiver.got_one.set()
                if receiver.hangs:
                    receiver.over.wait(60)
                    return
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_PUT = do_POST  # noqa: N815 - the library's name

            def log_message(self, *said: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def spans(self) -> list[Span]:
        """The spans of every OTLP request, in the order they were sent."""
        found = []
        for request in self.received:
            message = ExportTraceServiceRequest.FromString(request.body)
            for resource in message.resource_spans:
                for scope in resource.scope_spans:
                    found += list(scope.spans)
        return found


def attributes(pairs: Any) -> dict[str, object]:
    """Returns OTLP attributes as a plain mapping."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> object:
    return getattr(value, str(value.WhichOneof("value")))


def a_gate(
    *,
    run_id: str = "run-1",
    outcome: GateOutcome = GateOutcome.PROMOTE,
    step: StepOutcome = StepOutcome.OK,
    seconds: float = 2.0,
    error: tuple[str | None, str | None] = (None, None),
) -> list[GateEvent]:
    """Returns the events of a gate of one step, which took half of its time."""
    at_ns, length_ns = 1_700_000_000_000_000_000, int(seconds * 1e9)
    name = "pull and verify candidate 1.1.0"
    with_verdict = outcome not in (GateOutcome.ERROR, GateOutcome.INTERRUPTED)
    return [
        GateBegun(
            run_id=run_id, at_ns=at_ns, model="emotion", version="1.1.0", profile="cpu",
            backend="docker", resumed=False,
        ),
        StepBegun(run_id=run_id, at_ns=at_ns, name=name),
        StepEnded(
            run_id=run_id, at_ns=at_ns + length_ns // 2, name=name, duration_s=seconds / 2,
            attempts=2, outcome=step, error_kind=error[0], error=error[1],
        ),
        GateEnded(
            run_id=run_id, at_ns=at_ns + length_ns, model="emotion", duration_s=seconds,
            outcome=outcome, verdict=outcome.value if with_verdict else None,
            findings={("emotion_f1", "passed"): 4} if with_verdict else {},
        ),
    ]  # fmt: skip
