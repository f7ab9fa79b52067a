"""What became of gates, and how long they took, as Prometheus metrics.

Decides the names, labels and buckets (the one place; the dashboard and the alerts are held to it by
a test) and where the numbers go: to a Pushgateway, to a text file for node_exporter, or both. How
counters live longer than a process is `metrics_ledger`'s.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    push_to_gateway,
    write_to_textfile,
)
from prometheus_client.exposition import basic_auth_handler, default_handler
from prometheus_client.registry import Collector

from assay.adapters.metrics_ledger import MetricsLedger
from assay.gate_events import (
    GateBegun,
    GateEnded,
    GateEvent,
    GateOutcome,
    StepEnded,
    step_kind,
)
from assay.records import FindingStatus

JOB = "assay_gate"
PUSH_TIMEOUT_S = 10.0
GATE_BUCKETS_S = (5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
STEP_BUCKETS_S = (0.05, 0.25, 1, 5, 15, 60, 300, 900, 1800, 3600)

_log = logging.getLogger(__name__)


class GateMetrics:
    """The metrics of what has happened since they were made."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.runs = self._counter("runs", "Gates by what became of them.", ("model", "outcome"))
        self.reused = self._counter(
            "reused_verdicts", "Gates answered by an earlier run's verdict.", ("model",)
        )
        self.durations = Histogram(
            f"{JOB}_duration_seconds",
            "How long gates took, from the request to a moved or unmoved alias.",
            ("model", "outcome"),
            registry=self.registry,
            buckets=GATE_BUCKETS_S,
        )
        self.step_durations = Histogram(
            f"{JOB}_step_duration_seconds",
            "How long the steps of gates took, with their retries.",
            ("step", "outcome"),
            registry=self.registry,
            buckets=STEP_BUCKETS_S,
        )
        self.retries = self._counter("step_retries", "Times a step was tried again.", ("step",))
        self.started = self._gauge(
            "last_start_timestamp_seconds", "When the last gate began.", ("model",)
        )
        self.completed = self._gauge(
            "last_completion_timestamp_seconds", "When the last gate ended.", ("model",)
        )
        self.last = self._gauge(
            "last_outcome", "1 for what became of the last gate, else 0.", ("model", "outcome")
        )
        self.findings = self._gauge(
            "last_findings",
            "Findings of the last verdict, by evaluator and status.",
            ("model", "evaluator", "status"),
        )

    def observe(self, event: GateEvent) -> None:
        """Counts one event."""
        match event:
            case GateBegun():
                self._begun(event)
            case StepEnded():
                step = step_kind(event.name)
                self.step_durations.labels(step, event.outcome.value).observe(event.duration_s)
                self.retries.labels(step).inc(max(0, event.attempts - 1))
            case GateEnded():
                self._ended(event)

    def _begun(self, event: GateBegun) -> None:
        """Shows every series from the first gate on: a counter born as 1 has not increased."""
        self.started.labels(event.model).set(event.at_ns / 1e9)
        self.reused.labels(event.model)
        for outcome in GateOutcome:
            self.runs.labels(event.model, outcome.value)
            self.durations.labels(event.model, outcome.value)

    def _ended(self, event: GateEnded) -> None:
        self.runs.labels(event.model, event.outcome.value).inc()
        self.durations.labels(event.model, event.outcome.value).observe(event.duration_s)
        if event.reused:
            self.reused.labels(event.model).inc()
        self.completed.labels(event.model).set(event.at_ns / 1e9)
        for outcome in GateOutcome:
            self.last.labels(event.model, outcome.value).set(float(outcome is event.outcome))
        for evaluator in {name for name, _ in event.findings}:
            for status in FindingStatus:  # what the verdict before found may be gone
                count = event.findings.get((evaluator, status.value), 0)
                self.findings.labels(event.model, evaluator, status.value).set(count)

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> Counter:
        return Counter(f"{JOB}_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Sequence[str]) -> Gauge:
        return Gauge(f"{JOB}_{name}", text, labels, registry=self.registry)


class PrometheusWatch:
    """Keeps the metrics of gates, and exports them as each begins and ends.

    Args:
        ledger: what earlier gates of this home have counted.
        sinks: where the sum goes; one that fails is tried again at the next export.
    """

    def __init__(self, ledger: MetricsLedger, sinks: Sequence["Sink"]) -> None:
        self._ledger, self._sinks = ledger, sinks
        self._metrics = GateMetrics()

    def told(self, event: GateEvent) -> None:
        """Counts the event; the first and the last are exported at once."""
        self._metrics.observe(event)
        if isinstance(event, GateBegun | GateEnded):
            self._export()

    def close(self) -> None:
        """Holds nothing."""

    def _export(self) -> None:
        found, self._metrics = self._metrics, GateMetrics()
        summed = self._ledger.add(found.registry)
        for sink in self._sinks:
            try:
                sink.export(summed)
            except OSError as error:  # urllib's errors are of this kind, too
                _log.warning("%s: %s; the gate goes on without it", sink, error)


class Sink(Protocol):
    """Somewhere that metrics go."""

    def export(self, metrics: Collector) -> None:
        """Sends or writes them.

        Raises:
            OSError: they could not be.
        """
        ...


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file in the folder that node_exporter's textfile collector reads; replaced as a whole."""

    path: Path

    def export(self, metrics: Collector) -> None:
        """Writes the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_to_textfile(str(self.path), metrics)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Pushgateway:
    """A Pushgateway; what this machine pushed before is replaced.

    Args:
        url: its address; may hold a name and a password, which are sent as basic authentication.
        instance: tells the homes apart that push to it.
    """

    url: str
    instance: str

    def export(self, metrics: Collector) -> None:
        """Pushes the metrics."""
        parts = urlsplit(self.url)
        push_to_gateway(
            self._address,
            JOB,
            metrics,
            grouping_key={"instance": self.instance},
            timeout=PUSH_TIMEOUT_S,
            handler=default_handler
            if parts.username is None
            else partial(_authenticated, unquote(parts.username), unquote(parts.password or "")),
        )

    @property
    def _address(self) -> str:
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def __str__(self) -> str:
        return self._address


def _authenticated(
    name: str,
    password: str,
    url: str,
    method: str,
    timeout: float | None,
    headers: list[tuple[str, str]],
    data: bytes,
) -> Callable[[], None]:
    return basic_auth_handler(url, method, timeout, headers, data, name, password)
