"""Metrics of gates: named as Prometheus wants them, added up over processes, pushed and written."""

import logging
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from assay.adapters.metrics_ledger import MetricsLedger
from assay.adapters.watch_prometheus import PrometheusWatch, Pushgateway, TextFile
from assay.errors import ConfigError
from assay.gate_events import GateOutcome
from flows.settings import from_environment
from flows.watch_wiring import watch_for
from tests.gate_rig import make_rig
from tests.observability.tools import PROMTOOL, needs_promtool
from tests.telemetry_rig import Receiver, a_gate


def samples(text: str) -> list[Sample]:
    return [s for family in text_string_to_metric_families(text) for s in family.samples]


def value(text: str, name: str, **labels: str) -> float:
    """The one sample of that name and those labels; others may be there."""
    found = [
        s.value for s in samples(text) if s.name == name and labels.items() <= s.labels.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def counted(folder: Path, *outcomes: GateOutcome) -> str:
    """Watches gates as processes do, each with a watch of its own; returns the last text file."""
    text = folder / "out" / "assay.prom"
    for outcome in outcomes:
        watch = PrometheusWatch(MetricsLedger(folder / "ledger.prom"), [TextFile(text)])
        for event in a_gate(outcome=outcome):
            watch.told(event)
    return text.read_text()


def test_counters_and_durations_add_up_over_processes(tmp_path: Path) -> None:
    text = counted(tmp_path, GateOutcome.BLOCK, GateOutcome.PROMOTE, GateOutcome.BLOCK)
    total = "assay_gate_runs_total"
    assert value(text, total, outcome="block", model="emotion") == 2
    assert value(text, total, outcome="promote", model="emotion") == 1
    assert value(text, total, outcome="invalid", model="emotion") == 0
    step = "pull and verify candidate"
    assert value(text, "assay_gate_step_duration_seconds_count", step=step, outcome="ok") == 3
    assert value(text, "assay_gate_step_duration_seconds_sum", step=step, outcome="ok") == 3.0
    assert value(text, "assay_gate_step_retries_total", step=step) == 3
    assert value(text, "assay_gate_duration_seconds_bucket", outcome="block", le="5.0") == 2


def test_gauges_say_what_is_true_now(tmp_path: Path) -> None:
    text = counted(tmp_path, GateOutcome.BLOCK, GateOutcome.PROMOTE)
    assert value(text, "assay_gate_last_outcome", outcome="promote") == 1
    assert value(text, "assay_gate_last_outcome", outcome="block") == 0
    assert value(text, "assay_gate_last_start_timestamp_seconds") == 1_700_000_000
    assert value(text, "assay_gate_last_completion_timestamp_seconds") == 1_700_000_002
    assert value(text, "assay_gate_last_findings", evaluator="emotion_f1", status="passed") == 4
    assert value(text, "assay_gate_last_findings", evaluator="emotion_f1", status="failed") == 0


def test_a_gate_that_is_killed_is_seen_to_have_begun_and_not_to_have_ended(tmp_path: Path) -> None:
    text = tmp_path / "assay.prom"
    watch = PrometheusWatch(MetricsLedger(tmp_path / "ledger.prom"), [TextFile(text)])
    watch.told(a_gate()[0])
    names = {sample.name for sample in samples(text.read_text())}
    assert "assay_gate_last_start_timestamp_seconds" in names
    assert "assay_gate_last_completion_timestamp_seconds" not in names


def test_a_ledger_that_cannot_be_read_is_said_and_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ledger.prom").write_text('assay_gate_runs_total{model="emotion" 12\n')
    with caplog.at_level(logging.WARNING):
        text = counted(tmp_path, GateOutcome.BLOCK)
    assert value(text, "assay_gate_runs_total", outcome="block") == 1
    assert "the counters begin anew" in caplog.text


def test_a_gateway_gets_every_model_of_the_home_under_one_instance(tmp_path: Path) -> None:
    with Receiver() as gateway:
        name = gateway.url.replace("http://", "http://ada:a%40b@")
        watch = PrometheusWatch(
            MetricsLedger(tmp_path / "ledger.prom"), [Pushgateway(name, "build host/7")]
        )
        for event in a_gate(outcome=GateOutcome.PROMOTE):
            watch.told(event)
        first, last = gateway.received
    assert (last.method, last.path) == (
        "PUT",
        "/metrics/job/assay_gate/instance@base64/YnVpbGQgaG9zdC83",
    )
    assert last.headers["authorization"] == f"Basic {b64encode(b'ada:a@b').decode()}"
    assert value(first.body.decode(), "assay_gate_runs_total", outcome="promote") == 0
    assert value(last.body.decode(), "assay_gate_runs_total", outcome="promote") == 1


def test_a_gateway_that_refuses_is_said_without_its_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = tmp_path / "assay.prom"
    with Receiver(status=503) as gateway, caplog.at_level(logging.WARNING):
        sinks = [Pushgateway(gateway.url.replace("//", "//ada:hunter2@"), "host"), TextFile(text)]
        watch = PrometheusWatch(MetricsLedger(tmp_path / "ledger.prom"), sinks)
        for event in a_gate():
            watch.told(event)
    assert "503" in caplog.text
    assert "hunter2" not in caplog.text
    assert value(text.read_text(), "assay_gate_runs_total", outcome="promote") == 1


def test_a_real_gate_is_counted_where_the_environment_says(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    with Receiver() as gateway:
        environment = {
            "ASSAY_METRICS_PUSHGATEWAY": gateway.url,
            "ASSAY_METRICS_TEXTFILE": str(tmp_path / "node" / "assay.prom"),
            "ASSAY_METRICS_INSTANCE": "gpu-7",
        }
        rig.watch = watch_for(rig.settings, environment, linger_s=30)
        rig.gate("1.0.0")
        rig.watch.close()
        pushed = gateway.received[-1]
    assert pushed.path == "/metrics/job/assay_gate/instance/gpu-7"
    assert pushed.body.decode() == (tmp_path / "node" / "assay.prom").read_text()
    assert value(pushed.body.decode(), "assay_gate_runs_total", outcome="promote") == 1
    assert (rig.settings.home / "metrics" / "assay.prom").read_text() == pushed.body.decode()


def test_nobody_watches_unless_asked_and_a_wrong_variable_is_named(tmp_path: Path) -> None:
    settings = from_environment({"ASSAY_HOME": str(tmp_path)})
    watch = watch_for(settings, {})
    for event in a_gate():
        watch.told(event)
    watch.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="ASSAY_METRICS_PUSHGATEWAY"):
        watch_for(settings, {"ASSAY_METRICS_PUSHGATEWAY": "localhost:9091"})
    with pytest.raises(ConfigError, match=r"\.prom"):
        watch_for(settings, {"ASSAY_METRICS_TEXTFILE": "metrics.txt"})
    with pytest.raises(ConfigError, match="http/protobuf"):
        watch_for(
            settings,
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            },
        )


@needs_promtool
def test_promtool_finds_nothing_wrong_with_the_names(tmp_path: Path) -> None:
    text = counted(tmp_path, GateOutcome.BLOCK)
    checked = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
