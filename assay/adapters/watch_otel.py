"""A gate as an OpenTelemetry trace: one span for the gate, one for each step within it.

Decides names, attributes and which outcomes are errors; leaves batching, sampling and sending to
the SDK, which reads the standard `OTEL_*` variables. The provider is private: a gate's libraries
have spans of their own, which nobody asked for. A block is what a gate is for, and no error of it.
"""

from collections.abc import Mapping
from importlib.metadata import version as installed_version
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from assay.gate_events import (
    GateBegun,
    GateEnded,
    GateEvent,
    StepBegun,
    StepEnded,
    StepOutcome,
    step_kind,
)

SERVICE = "assay"
GATE_SPAN = "gate"


class OtelWatch:
    """Makes spans of events and gives them to an exporter.

    Args:
        exporter: sends finished spans.
        parent: the environment's `TRACEPARENT` and `TRACESTATE`, by which a pipeline makes the
            gate a part of its own trace.
    """

    def __init__(self, exporter: SpanExporter, *, parent: Mapping[str, str] | None = None) -> None:
        self._provider = TracerProvider(resource=resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(SERVICE, installed_version("assay-gate"))
        self._parent = parent_context(parent or {})
        self._open: list[Span] = []

    def told(self, event: GateEvent) -> None:
        """Begins or ends a span; the end of the gate sends all that is left."""
        match event:
            case GateBegun():
                self._begin(GATE_SPAN, event.at_ns, _begun(event))
            case StepBegun():
                names = {"assay.run_id": event.run_id, "assay.step.name": event.name}
                self._begin(step_kind(event.name), event.at_ns, names)
            case StepEnded():
                is_error = event.outcome in (StepOutcome.ERROR, StepOutcome.INTERRUPTED)
                self._end(event, _step_ended(event), is_error=is_error)
            case GateEnded():
                self._end(event, _gate_ended(event), is_error=event.outcome.is_trouble)
                self._provider.force_flush()

    def close(self) -> None:
        """Sends what is left, spans of a gate that did not end included, and lets go."""
        for span in reversed(self._open):
            span.set_status(Status(StatusCode.ERROR, "the process ended first"))
            span.end()
        self._open.clear()
        self._provider.shutdown()

    def _begin(self, name: str, at_ns: int, attributes: Mapping[str, Any]) -> None:
        within = set_span_in_context(self._open[-1]) if self._open else self._parent
        self._open.append(
            self._tracer.start_span(
                name, context=within, start_time=at_ns, attributes=dict(attributes)
            )
        )

    def _end(
        self, event: StepEnded | GateEnded, attributes: Mapping[str, Any], *, is_error: bool
    ) -> None:
        span = self._open.pop()
        span.set_attributes(dict(attributes))
        if event.error_kind is not None:
            span.set_attribute("error.type", event.error_kind)
        if is_error:
            said = event.error or event.error_kind or event.outcome.value
            span.set_status(Status(StatusCode.ERROR, said))
        else:
            span.set_status(Status(StatusCode.OK))
        span.end(event.at_ns)


def resource() -> Resource:
    """Returns who sends the spans: what the environment says, and else `assay`."""
    found = Resource.create()
    if not str(found.attributes.get("service.name", "")).startswith("unknown_service"):
        return found
    own = {"service.name": SERVICE, "service.version": installed_version("assay-gate")}
    return found.merge(Resource(own))


def parent_context(environment: Mapping[str, str]) -> Context:
    """Returns the trace that the environment says this process belongs to, or none."""
    names = ("TRACEPARENT", "TRACESTATE")
    carrier = {name.lower(): environment[name] for name in names if environment.get(name)}
    return TraceContextTextMapPropagator().extract(carrier, context=Context())


def _begun(event: GateBegun) -> dict[str, Any]:
    return {
        "assay.run_id": event.run_id,
        "assay.model": event.model,
        "assay.version": event.version,
        "assay.profile": event.profile,
        "assay.backend": event.backend,
        "assay.resumed": event.resumed,
    }


def _step_ended(event: StepEnded) -> dict[str, Any]:
    return {"assay.step.outcome": event.outcome.value, "assay.step.attempts": event.attempts}


def _gate_ended(event: GateEnded) -> dict[str, Any]:
    named: dict[str, Any] = {"assay.outcome": event.outcome.value, "assay.reused": event.reused}
    return named if event.verdict is None else named | {"assay.verdict": event.verdict}
