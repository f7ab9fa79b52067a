"""Counters that live longer than the process that counts: what was exported is what is added to.

A gate is a batch job: each begins with zeroes, and a counter that restarts with every process
counts nothing. Decides that the last exposition, kept in Prometheus' own text format, is the state:
counters and histograms are added to it, gauges replace it. Leaves the format to prometheus_client.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock
from prometheus_client import CollectorRegistry, Metric, write_to_textfile
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

LOCK_TIMEOUT_S = 10.0
_ADDED = ("counter", "histogram")
_log = logging.getLogger(__name__)

SeriesKey = tuple[str, frozenset[tuple[str, str]]]


class MetricsLedger:
    """The metrics of all gates of one home, in one file.

    Args:
        path: of the file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, found: CollectorRegistry) -> Collector:
        """Adds what one process found, keeps the sum, and returns it.

        Raises:
            OSError: the file cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock", timeout=LOCK_TIMEOUT_S):
            kept = self._kept()
            summed = _Exposition([_sum(one, kept) for one in found.collect()])
            write_to_textfile(str(self.path), summed)
        return summed

    def _kept(self) -> dict[SeriesKey, Sample]:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        try:
            families = list(text_string_to_metric_families(text))
        except ValueError as error:
            _log.warning(
                "%s: is no exposition of metrics (%s); the counters begin anew", self.path, error
            )
            return {}
        return {_key(sample): sample for family in families for sample in family.samples}


class _Exposition(Collector):
    """Metrics as they are."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _sum(found: Metric, kept: dict[SeriesKey, Sample]) -> Metric:
    """Returns one family with what was kept of it, in the order of the older samples."""
    # When a series was created is not kept: it would be when this process began.
    new = {_key(s): s for s in found.samples if not s.name.endswith("_created")}
    names = {sample.name for sample in new.values()} | _names(found)
    samples = {key: sample for key, sample in kept.items() if sample.name in names}
    for key, sample in new.items():
        before = samples.get(key) if found.type in _ADDED else None
        value = sample.value + (before.value if before else 0.0)
        samples[key] = Sample(sample.name, sample.labels, value)
    summed = Metric(found.name, found.documentation, found.type)
    summed.samples = list(samples.values())
    return summed


def _names(family: Metric) -> set[str]:
    """Returns the names of a family's samples, also of one that has none yet."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    return {family.name + suffix for suffix in suffixes.get(family.type, ("",))}


def _key(sample: Sample) -> SeriesKey:
    return sample.name, frozenset(sample.labels.items())
