"""vLLM's `/metrics` text, read into the figures of one moment.

Decides which of vLLM's names mean what (0.32; `tests/adapters/test_probe_vllm.py` holds every name
against a running server); leaves fetching the text to the probe. An engine of several workers
says each figure several times: requests and counts are added up, and the fullest cache counts.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

GAUGES: Mapping[str, str] = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "kv_cache_share",
}
"""Name → field. vLLM's `perc` is a share from 0 to 1."""

COUNTERS: Mapping[str, str] = {
    "vllm:num_preemptions_total": "preemptions",
    "vllm:prefix_cache_hits_total": "prefix_hits",
    "vllm:prefix_cache_queries_total": "prefix_queries",
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:generation_tokens_total": "generation_tokens",
}

TTFT = "vllm:time_to_first_token_seconds"

_WANTED = (*GAUGES, *COUNTERS, TTFT)


def read_metrics(text: str) -> dict[str, Any]:
    """Returns field of `EngineSample` → value; what the text does not hold is absent.

    Only the lines that are wanted are parsed: the text has hundreds more, and parsing them would
    take time from the load that is being measured.

    Raises:
        ValueError: a wanted line is not in the Prometheus text format.
    """
    lines = [line for line in text.splitlines() if line.startswith(_WANTED)]
    values: dict[str, list[float]] = defaultdict(list)
    buckets: dict[float, float] = defaultdict(float)
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            if not math.isfinite(sample.value):
                continue
            if sample.name == f"{TTFT}_bucket":
                buckets[float(sample.labels["le"])] += sample.value
            else:
                values[sample.name].append(sample.value)
    found: dict[str, Any] = {
        field: max(values[name]) if field == "kv_cache_share" else sum(values[name])
        for name, field in {**GAUGES, **COUNTERS, **_TTFT_TOTALS}.items()
        if values.get(name)
    }
    if buckets:
        # The last bound is infinite, which JSON has no word for, and its count is the total.
        bounds = sorted(bound for bound in buckets if math.isfinite(bound))
        found["ttft_buckets"] = tuple((bound, buckets[bound]) for bound in bounds)
    return found


_TTFT_TOTALS: Mapping[str, str] = {f"{TTFT}_count": "ttft_count", f"{TTFT}_sum": "ttft_sum_s"}
