"""Whatever becomes of telemetry, the gate does not wait for it and comes to the same verdict."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay.adapters.in_memory_watch import InMemoryWatch
from assay.adapters.watch_background import BackgroundWatch
from assay.gate_events import GateEvent
from assay.ports import GateWatch
from assay.records import VerdictKind
from flows.watch_wiring import watch_for
from tests.gate_rig import make_rig
from tests.telemetry_rig import Receiver, a_gate

A_GATE_IN_A_PROCESS = """
import sys
import threading
import time
from flows.settings import from_environment
from flows.watch_wiring import watch_for
from tests.telemetry_rig import a_gate
watch = watch_for(from_environment(), linger_s=float(sys.argv[1]))
begun, *others = a_gate()
watch.told(begun)
while not any(thread.name.startswith("OtelBatch") for thread in threading.enumerate()):
    time.sleep(0.01)  # a gate lasts longer than it takes to import the SDK
for event in others:
    watch.told(event)
print("verdict", flush=True)
"""


def test_everything_is_told_in_order_and_the_inner_watch_is_closed() -> None:
    inner = InMemoryWatch()
    watch = BackgroundWatch("test", lambda: inner, linger_s=30)
    for run_id in ("run-1", "run-2"):
        for event in a_gate(run_id=run_id):
            watch.told(event)
        watch.close()
    assert inner.events == [*a_gate(run_id="run-1"), *a_gate(run_id="run-2")]
    assert inner.is_closed


def test_a_broken_exporter_is_said_once_and_touches_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(InMemoryWatch):
        def told(self, event: GateEvent) -> None:
            raise RuntimeError("no more room")

    watch = BackgroundWatch("metrics", Broken, linger_s=30)
    with caplog.at_level(logging.WARNING, logger="assay"):
        for event in a_gate():
            watch.told(event)
        watch.close()
    said = [record.getMessage() for record in caplog.records if "metrics" in record.getMessage()]
    assert said == ["metrics: RuntimeError: no more room; the gate goes on without it"]


def test_a_library_that_is_missing_is_said_too(caplog: pytest.LogCaptureFixture) -> None:
    def make() -> GateWatch:
        raise ModuleNotFoundError("No module named 'opentelemetry'")

    watch = BackgroundWatch("traces", make, linger_s=30)
    with caplog.at_level(logging.WARNING, logger="assay"):
        for event in a_gate():
            watch.told(event)
        watch.close()
    assert "the gate goes on without it" in caplog.text


def test_a_gate_does_not_wait_for_collectors_that_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(tmp_path)
    with Receiver(hangs=True) as collector, Receiver(hangs=True) as gateway:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
        monkeypatch.setenv("ASSAY_METRICS_PUSHGATEWAY", gateway.url)
        rig.watch = watch_for(rig.settings, linger_s=0.2)
        result = rig.gate("1.0.0")
        # Both hold a request that they have not answered, and the gate is over.
        assert gateway.got_one.wait(10)
        assert collector.got_one.wait(10)
        assert not collector.over.is_set()
        began = time.monotonic()
        rig.watch.close()
        assert time.monotonic() - began < 2 * 0.2 + 2
    assert result.verdict.verdict is VerdictKind.PROMOTE
    assert result.promotion is not None
    assert result.promotion.moved


def test_a_gate_comes_to_its_verdict_where_nobody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(tmp_path)
    with Receiver() as gone:
        nowhere = gone.url
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", nowhere)
    monkeypatch.setenv("ASSAY_METRICS_PUSHGATEWAY", nowhere)
    rig.watch = watch_for(rig.settings, linger_s=0.2)
    result = rig.gate("1.0.0")
    rig.watch.close()
    assert result.verdict.verdict is VerdictKind.PROMOTE


def run_process(tmp_path: Path, linger_s: float, **environment: str) -> float:
    """Runs a process that tells a gate and ends at once; returns how long it took to end."""
    with subprocess.Popen(
        [sys.executable, "-c", A_GATE_IN_A_PROCESS, str(linger_s)],
        env={**os.environ, "ASSAY_HOME": str(tmp_path / "home"), **environment},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "verdict\n"
        said = time.monotonic()
        assert process.wait(60) == 0
        return time.monotonic() - said


def test_the_end_of_the_process_sends_what_is_left(tmp_path: Path) -> None:
    with Receiver() as collector:
        run_process(tmp_path, 30, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        assert {span.name for span in collector.spans()} == {"gate", "pull and verify candidate"}


def test_the_end_of_the_process_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    with Receiver(hangs=True) as collector:
        took_s = run_process(
            tmp_path,
            1.0,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_TIMEOUT="60",
        )
    assert took_s < 10
