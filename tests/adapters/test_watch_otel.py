"""Traces of real gates, as a real OTLP receiver gets them."""

from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from assay.adapters.watch_otel import OtelWatch
from assay.gate_events import GateOutcome, StepOutcome
from flows.watch_wiring import watch_for
from tests.gate_rig import make_rig
from tests.telemetry_rig import Receiver, a_gate, attributes

OK, ERROR = Status.STATUS_CODE_OK, Status.STATUS_CODE_ERROR


def one(spans: list[Span], name: str) -> Span:
    found = [span for span in spans if span.name == name]
    assert len(found) == 1, [span.name for span in spans]
    return found[0]


def spans_of(**changes: object) -> list[Span]:
    """Sends one gate by hand and returns its spans."""
    with Receiver() as collector:
        watch = OtelWatch(OTLPSpanExporter(endpoint=f"{collector.url}/v1/traces"))
        for event in a_gate(**changes):  # type: ignore[arg-type]
            watch.told(event)
        watch.close()
        return collector.spans()


def test_a_real_gate_arrives_as_one_trace_with_a_span_for_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(tmp_path)
    with Receiver() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=release")
        rig.watch = watch_for(rig.settings, linger_s=30)
        result = rig.gate("1.0.0")
        rig.watch.close()
        spans = collector.spans()
        request = collector.received[0]
    assert request.path == "/v1/traces"
    assert request.headers["x-team"] == "release"
    resource = ExportTraceServiceRequest.FromString(request.body).resource_spans[0].resource
    assert attributes(resource.attributes)["service.name"] == "assay"

    gate = one(spans, "gate")
    assert {span.trace_id for span in spans} == {gate.trace_id}
    assert gate.parent_span_id == b""
    said = attributes(gate.attributes)
    assert said["assay.run_id"] == result.verdict.context.run_id
    assert said["assay.verdict"] == said["assay.outcome"] == "promote"
    assert (said["assay.model"], said["assay.version"]) == ("emotion", "1.0.0")
    assert gate.status.code == OK

    pulled = one(spans, "pull and verify candidate")
    assert attributes(pulled.attributes)["assay.step.name"] == "pull and verify candidate 1.0.0"
    steps = {"ask candidate", "judge", "write the evidence", "record in MLflow", "move production"}
    assert steps <= {span.name for span in spans}
    for span in spans:
        assert gate.start_time_unix_nano <= span.start_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= gate.end_time_unix_nano
        assert attributes(span.attributes)["assay.run_id"] == result.verdict.context.run_id


def test_no_case_is_quoted_in_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make_rig(tmp_path)
    with Receiver() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        rig.watch = watch_for(rig.settings, linger_s=30)
        rig.gate("1.0.0")
        rig.watch.close()
        bodies = b"".join(request.body for request in collector.received)
    assert b"judge" in bodies
    assert b"secret text" not in bodies


@pytest.mark.parametrize("outcome", list(GateOutcome))
def test_only_trouble_of_the_gate_is_an_error_of_its_span(outcome: GateOutcome) -> None:
    gate = one(spans_of(outcome=outcome), "gate")
    assert gate.status.code == (ERROR if outcome.is_trouble else OK)
    assert attributes(gate.attributes)["assay.outcome"] == outcome.value


def test_a_blocked_candidate_is_no_error() -> None:
    assert one(spans_of(outcome=GateOutcome.BLOCK), "gate").status.code == OK


def test_a_failed_step_carries_its_error_and_a_rejection_does_not_count_as_one() -> None:
    broken = one(
        spans_of(step=StepOutcome.ERROR, error=("InfrastructureError", "the store is away")),
        "pull and verify candidate",
    )
    assert (broken.status.code, broken.status.message) == (ERROR, "the store is away")
    assert attributes(broken.attributes)["error.type"] == "InfrastructureError"
    assert attributes(broken.attributes)["assay.step.attempts"] == 2
    refused = one(
        spans_of(step=StepOutcome.REJECTED, error=("ArtifactError", "not what was signed")),
        "pull and verify candidate",
    )
    assert refused.status.code == OK
    assert attributes(refused.attributes)["assay.step.outcome"] == "rejected"


def test_a_step_is_within_its_gate() -> None:
    spans = spans_of()
    assert one(spans, "pull and verify candidate").parent_span_id == one(spans, "gate").span_id


def test_a_pipeline_makes_the_gate_a_part_of_its_own_trace() -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with Receiver() as collector:
        watch = OtelWatch(
            OTLPSpanExporter(endpoint=f"{collector.url}/v1/traces"),
            parent={"TRACEPARENT": f"00-{trace}-{parent}-01"},
        )
        for event in a_gate():
            watch.told(event)
        watch.close()
        gate = one(collector.spans(), "gate")
    assert (gate.trace_id.hex(), gate.parent_span_id.hex()) == (trace, parent)


def test_a_gate_whose_process_ended_first_leaves_its_open_spans_as_errors() -> None:
    with Receiver() as collector:
        watch = OtelWatch(OTLPSpanExporter(endpoint=f"{collector.url}/v1/traces"))
        for event in a_gate()[:2]:
            watch.told(event)
        watch.close()
        spans = collector.spans()
    assert {span.name for span in spans} == {"gate", "pull and verify candidate"}
    assert {span.status.code for span in spans} == {ERROR}
