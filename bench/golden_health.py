"""How long, and in how much memory, the health of a large golden set is computed.

Run `python -m bench.golden_health [--rows 1000000] [--out FILE]`. The set is made up: texts of 5 to
25 words drawn by Zipf's law from 30,000, with 1 % near-copies planted, so that the search for
near-duplicates has something to find. Reading, the structural checks, every check of
`assay.golden_health` and a sample of traffic as large as the set's are timed in one process, apart.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from assay.adapters.validator_gx import GxValidator
from assay.golden_health.assess import Known, assess
from assay.golden_health.rules import HealthRules
from assay.golden_health.traffic import read_traffic
from assay.golden_set import load_golden
from assay.policy import load_policy
from assay.task import load_task
from flows.golden_health import demand_of

T = TypeVar("T")
VOCABULARY = 30_000
TRAFFIC = 20_000


def make(path: Path, rows: int, labels: tuple[str, ...], *, traffic: bool = False) -> int:
    """Writes a made-up set (or traffic); returns how many near-copies were planted."""
    random = np.random.default_rng(rows)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(random.choice(letters, n)) for n in random.integers(2, 10, VOCABULARY)]
    weights = 1 / np.arange(1, VOCABULARY + 1)
    planted, before = 0, ""
    with path.open("w", encoding="utf-8") as stream:
        for start in range(0, rows, 10_000):
            sizes = random.integers(5, 26, 10_000)
            drawn = random.choice(VOCABULARY, sizes.sum(), p=weights / weights.sum())
            ends = np.cumsum(sizes)
            for number in range(start, min(start + 10_000, rows)):
                end = ends[number - start]
                text = " ".join(words[w] for w in drawn[end - sizes[number - start] : end])
                if number % 100 == 99 and len(before) >= 60:
                    text, planted = before + "!", planted + 1
                before = text
                row: dict[str, Any] = {"text": text, "label": labels[number % len(labels)]}
                row |= {"lang": "en" if number % 2 else "vi"}
                if not traffic:
                    row |= {"id": f"case-{number:08}", "source": "made-up", "stratum": "core"}
                    row |= {"slices": [], "added_in": "1.0.0"}
                stream.write(json.dumps(row) + "\n")
    return planted


def timed(what: str, steps: dict[str, float], work: Callable[[], T]) -> T:
    """Runs one step and notes its seconds."""
    begun = time.monotonic()
    value = work()
    steps[what] = round(time.monotonic() - begun, 1)
    print(f"{what}: {steps[what]} s, {peak_mib()} MiB at most", file=sys.stderr, flush=True)
    return value


def peak_mib() -> int:
    """Returns the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """Measures, and prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    task, policy = load_task(Path("task.yaml")), load_policy(Path("policy.yaml"))
    steps: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        golden_file, traffic_file = Path(folder) / "golden.jsonl", Path(folder) / "traffic.jsonl"
        planted = make(golden_file, given.rows, task.labels)
        make(traffic_file, TRAFFIC, task.labels, traffic=True)
        golden = timed("reading", steps, lambda: load_golden(golden_file, task.labels))
        found = timed("structure", steps, lambda: GxValidator().check(golden, task.labels))
        traffic = read_traffic(traffic_file)
        known = Known(
            structure=found,
            today=time_today(),
            demand=demand_of(policy, task),
            traffic=traffic,
        )
        health = timed("health", steps, lambda: assess(golden, task.labels, known, HealthRules()))
    copies = next(c for c in health.checks if c.name == "structure/near_duplicates")
    result = {
        "rows": given.rows,
        "seconds": steps,
        "total_s": round(sum(steps.values()), 1),
        "processor_s": round(time.process_time(), 1),
        "peak_mib": peak_mib(),
        "planted": planted,
        "repeating": round((copies.value or 0) * given.rows),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }
    text = json.dumps(result, indent=2) + "\n"
    print(text, end="")
    if given.out:
        given.out.write_text(text)


def time_today() -> Any:
    """Returns today; no check here depends on it."""
    from datetime import UTC, datetime

    return datetime.now(UTC).date()


if __name__ == "__main__":
    main()
