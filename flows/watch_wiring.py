"""From the environment to the watches of a gate: nobody watches unless somebody asks for it.

==================================  ===============================================================
variable                            what it switches on
==================================  ===============================================================
``ASSAY_LOG_FORMAT=json``           a line of JSON for each event (`assay --log-format json`, too)
``OTEL_EXPORTER_OTLP_ENDPOINT``     a trace of each gate, with OpenTelemetry's own variables (also
                                    ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``); switched off again by
                                    ``OTEL_SDK_DISABLED=true`` or ``OTEL_TRACES_EXPORTER=none``
``TRACEPARENT``, ``TRACESTATE``     nothing: the trace that the gate becomes a part of
``ASSAY_METRICS_PUSHGATEWAY``       metrics, pushed to this URL as a gate begins and ends
``ASSAY_METRICS_TEXTFILE``          metrics, written to this file for node_exporter
``ASSAY_METRICS_INSTANCE``          nothing: the label `instance` of what is pushed; the host's name
==================================  ===============================================================
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from assay.adapters import log_json
from assay.adapters.in_memory_watch import Watches
from assay.adapters.watch_background import LINGER_S, BackgroundWatch
from assay.adapters.watch_log import LogWatch
from assay.errors import ConfigError
from assay.ports import GateWatch
from flows.settings import Settings

if TYPE_CHECKING:
    from assay.adapters.watch_prometheus import Sink

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PUSHGATEWAY = "ASSAY_METRICS_PUSHGATEWAY"
TEXTFILE = "ASSAY_METRICS_TEXTFILE"
INSTANCE = "ASSAY_METRICS_INSTANCE"
LEDGER = Path("metrics") / "assay.prom"


def watch_for(
    settings: Settings,
    environment: Mapping[str, str] | None = None,
    *,
    linger_s: float = LINGER_S,
) -> GateWatch:
    """Returns whoever the environment (the process's own if None) lets watch a gate.

    Args:
        settings: where things are.
        environment: the variables.
        linger_s: how long the end of the process waits for what is still being sent.

    Raises:
        ConfigError: a variable's value is wrong; nothing was started.
    """
    env = os.environ if environment is None else environment
    watches: list[GateWatch] = [LogWatch()] if log_json.is_on() else []
    if wants_traces(env):
        watches.append(BackgroundWatch("traces", lambda: _traces(env), linger_s=linger_s))
    if env.get(PUSHGATEWAY) or env.get(TEXTFILE):
        _check(env)
        watches.append(
            BackgroundWatch("metrics", lambda: _metrics(settings, env), linger_s=linger_s)
        )
    return Watches(watches)


def wants_traces(env: Mapping[str, str]) -> bool:
    """Says whether traces are switched on.

    Raises:
        ConfigError: they are, by a protocol that is not spoken here.
    """
    if not any(env.get(name) for name in ENDPOINTS):
        return False
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if env.get("OTEL_TRACES_EXPORTER", "otlp").strip() == "none":
        return False
    for name in PROTOCOLS:
        if (spoken := env.get(name)) and spoken != "http/protobuf":
            raise ConfigError(
                f"{name}: found {spoken!r}, expected 'http/protobuf' or nothing; name the "
                "collector's HTTP port (4318 by default) and leave the variable out"
            )
    return True


def _traces(env: Mapping[str, str]) -> GateWatch:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    from assay.adapters.watch_otel import OtelWatch

    return OtelWatch(OTLPSpanExporter(), parent=env)


def _metrics(settings: Settings, env: Mapping[str, str]) -> GateWatch:
    from assay.adapters.metrics_ledger import MetricsLedger
    from assay.adapters.watch_prometheus import PrometheusWatch, Pushgateway, TextFile

    sinks: list[Sink] = []
    if path := env.get(TEXTFILE):
        sinks.append(TextFile(Path(path).absolute()))
    if url := env.get(PUSHGATEWAY):
        sinks.append(Pushgateway(url, env.get(INSTANCE) or socket.gethostname()))
    return PrometheusWatch(MetricsLedger(settings.home / LEDGER), sinks)


def _check(env: Mapping[str, str]) -> None:
    url, path = env.get(PUSHGATEWAY, ""), env.get(TEXTFILE, "")
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        raise ConfigError(
            f"{PUSHGATEWAY}: found no http or https URL; expected one such as "
            "'http://pushgateway.example.org:9091'; correct the variable"
        )
    if path and not path.endswith(".prom"):
        raise ConfigError(
            f"{TEXTFILE}: found {path!r}; expected a name ending in '.prom', because "
            "node_exporter reads no other; correct the variable"
        )
