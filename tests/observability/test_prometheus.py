"""A real Prometheus scrapes what gates export, and answers the dashboard and the alerts."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from assay.adapters.metrics_ledger import MetricsLedger
from assay.adapters.watch_prometheus import PrometheusWatch, TextFile
from assay.gate_events import GateBegun, GateEvent, GateOutcome, StepOutcome
from tests.metrics_server import MetricsServer
from tests.observability.queries import ALERTS, alert_rules, dashboard_queries
from tests.observability.tools import PROMETHEUS, needs_prometheus
from tests.telemetry_rig import a_gate

pytestmark = needs_prometheus

CONFIG = """
global: {{scrape_interval: 100ms, scrape_timeout: 100ms, evaluation_interval: 100ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: gates
    static_configs: [{{targets: ["{target}"]}}]
"""
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus, asked over its HTTP API."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        with urlopen(f"{self.url}{path}?{urlencode(parameters)}", timeout=5) as reply:  # noqa: S310
            return json.load(reply)["data"]

    def query(self, expr: str) -> list[Any]:
        found = self.ask("/api/v1/query", query=expr)["result"]
        assert isinstance(found, list)
        return found

    def await_result(self, expr: str) -> list[Any]:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                if found := self.query(expr):
                    return found
            except OSError:  # it has not begun to listen
                pass
            time.sleep(0.1)
        pytest.fail(f"Prometheus never answered {expr!r}")


def exposition(folder: Path, *gates: list[GateEvent]) -> str:
    """Returns the metrics after these gates, on top of what the folder's earlier ones counted."""
    text = folder / "assay.prom"
    watch = PrometheusWatch(MetricsLedger(folder / "ledger.prom"), [TextFile(text)])
    for events in gates:
        for event in events:
            watch.told(event)
    return text.read_text()


def killed() -> list[GateEvent]:
    """A gate that has begun, long ago, and told nothing since."""
    begun = a_gate()[0]
    assert isinstance(begun, GateBegun)
    return [replace(begun, model="killed")]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that has seen some gates, and then some more."""
    folder = tmp_path_factory.mktemp("prometheus")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    broken = a_gate(outcome=GateOutcome.ERROR, step=StepOutcome.ERROR)
    with MetricsServer(text=exposition(folder, a_gate(), broken)) as exported:
        config = folder / "prometheus.yml"
        config.write_text(CONFIG.format(target=f"127.0.0.1:{exported.port}", rules=ALERTS))
        process = subprocess.Popen(
            [
                str(PROMETHEUS), f"--config.file={config}", f"--web.listen-address={address}",
                f"--storage.tsdb.path={folder / 'data'}", "--log.level=error",
            ],
        )  # fmt: skip
        try:
            found = Prometheus(f"http://{address}")
            found.await_result('count_over_time(assay_gate_runs_total{outcome="error"}[1m]) > 2')
            exported.text = exposition(folder, a_gate(), broken, killed())
            found.await_result('increase(assay_gate_runs_total{outcome="error"}[1m]) > 0')
            yield found
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.parametrize("query", dashboard_queries(), ids=lambda query: query.where)
def test_every_panel_shows_something(prometheus: Prometheus, query: Any) -> None:
    assert prometheus.await_result(query.expr)


def test_every_label_of_a_legend_is_on_what_is_shown(prometheus: Prometheus) -> None:
    for query in dashboard_queries():
        for series in prometheus.await_result(query.expr):
            assert query.shown <= set(series["metric"]), query.where


def test_the_alerts_fire_that_should_and_no_others(prometheus: Prometheus) -> None:
    wanted = {
        ("AssayGateCrashed", "emotion"),
        ("AssayGateGoneQuiet", "killed"),
    }
    prometheus.await_result('ALERTS{alertname="AssayGateGoneQuiet", alertstate="firing"}')
    prometheus.await_result('ALERTS{alertname="AssayGateCrashed", alertstate="firing"}')
    firing = prometheus.query('ALERTS{alertstate="firing"}')
    said = {(one["metric"]["alertname"], one["metric"].get("model", "")) for one in firing}
    assert wanted <= said
    assert {name for name, _ in said} - {name for name, _ in wanted} <= {
        "AssayGateStepKeepsFailing"
    }
    groups = prometheus.ask("/api/v1/rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    assert len(rules) == len(alert_rules())
