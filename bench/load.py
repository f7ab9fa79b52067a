"""How fast, how punctual and how unobtrusive the load generator is, beside its peers, in one run.

    python -m bench.load [--rounds 3] [--preferred] [--only NAME ...] [--out FILE]

Client and engine have a core each; clients take turns, round by round, and the medians of the
rounds count. Every figure but one comes from the engine's own log (`bench.mock_engine`), so that
no client is believed about itself:

`rate`      answers of a closed loop against an instant engine, at 16 and 64 connections: a second,
            and a second of the client's processor time, with all its processes. The latter is what
            one core does, and holds on a machine that is busy with other work as well
`schedule`  an open loop of even arrivals at half of its own rate above: how late requests come
`added`     16 connections against an engine that takes 20 ms to the first token: the client's
            percentiles of that time less the engine's. This is the one figure clients report.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.load_rig import ROOT, MockEngine, mock_engine, watched
from bench.mock_engine import Script
from bench.peers import AIOHTTP, ASSAY, ELSEWHERE, SERVING, Peer, Run, peers

CONNECTIONS = (16, 64)
PACED = Script(first_ms=20.0, gap_ms=5.0, tokens=4)
SCHEDULE_S = 4.0
PROMPTS = 2000
TIMEOUT_S = 240.0

Row = dict[str, Any]


class Bench:
    """The engine, the clients that are there, and the rows so far."""

    def __init__(self, engine: MockEngine, folder: Path, *, preferred: bool) -> None:
        self.engine = engine
        self._preferred = preferred
        self.rows: list[Row] = []
        self.failures: dict[str, str] = dict(ELSEWHERE)
        self._folder = folder
        self._prompts = folder / "prompts.jsonl"
        with self._prompts.open("w") as sink:
            for number in range(PROMPTS):
                words = f"Which emotion? One word. I got the job and cannot stop smiling! {number}"
                sink.write(json.dumps({"prompt": words}) + "\n")
        self._tokenizer = folder / "model"
        tiny = [SERVING / "bin/python", ROOT / "serving/tiny_model.py", self._tokenizer]
        subprocess.run(tiny, check=True, timeout=120)

    def run(self, peer: Peer, measure: Callable[["Bench", Peer], Row]) -> None:
        """Adds a row; what fails is told, and is in the results."""
        if peer.name in self.failures:
            return
        try:
            row = {"client": peer.name} | measure(self, peer)
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            self.failures[peer.name] = str(error)
            sys.stderr.write(f"{peer.name}: {error}\n")
            return
        self.rows.append(row)
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()

    def load(
        self, peer: Peer, script: Script, requests: int, *,
        concurrency: int | None = None, rate_per_s: float | None = None,
    ) -> tuple[Run, Row]:  # fmt: skip
        """Runs one load; returns it with what the engine's log says of its rate."""
        run = Run(
            url=self.engine.url, model="mock", requests=requests, concurrency=concurrency,
            rate_per_s=rate_per_s, prompts=self._prompts, tokenizer=self._tokenizer,
            folder=Path(tempfile.mkdtemp(dir=self._folder)),
        )  # fmt: skip
        # A rate is judged by processor time, which needs no preference.
        timed = rate_per_s is not None or script.first_ms is not None
        command = peer.command(run)
        self.engine.set(script)
        watch, _ = watched(
            command, peer.environment(), run.folder, TIMEOUT_S, preferred=self._preferred and timed
        )
        self.truth = self.engine.truth()
        rate, begin, end = self.truth.rate()
        used = watch.between(begin, end)
        answered = (end - begin) * rate
        if len(self.truth.ids) < 0.98 * requests:
            raise RuntimeError(f"{len(self.truth.ids)} of {requests} requests came")
        per_core = None if not used else round(answered / used, 1)
        return run, {"requests": requests, "per_s": round(rate, 1), "per_core_s": per_core}


def closed_rate(connections: int) -> Callable[[Bench, Peer], Row]:
    """Returns the measurement of a closed loop's rate."""

    def measure(bench: Bench, peer: Peer) -> Row:
        _, row = bench.load(peer, Script(), peer.requests, concurrency=connections)
        return {"figure": "rate", "connections": connections} | row

    return measure


def schedule(bench: Bench, peer: Peer) -> Row:
    """Measures how punctual an open loop is at half the rate that the closed one reached."""
    reached = median(
        row["per_s"]
        for row in bench.rows
        if row["client"] == peer.name
        and row["figure"] == "rate"
        and row["connections"] == CONNECTIONS[0]
    )
    rate = round(reached / 2)
    run, row = bench.load(peer, Script(), int(rate * SCHEDULE_S), rate_per_s=rate)
    late = bench.truth.schedule_error_ms(rate)
    row |= {"figure": "schedule", "rate_per_s": rate} | quantiles("late", late)
    times = json.loads(file.read_text()) if (file := run.folder / "times.json").exists() else {}
    if "lag_ms" in times:
        row |= quantiles("own_lag", np.array(times["lag_ms"]))
    return row


def added(bench: Bench, peer: Peer) -> Row:
    """Measures what a client adds to the time to the first token."""
    requests = min(peer.requests, 3000)
    run, row = bench.load(peer, PACED, requests, concurrency=16)
    truth, said = bench.truth.ttft_ms, peer.times_ms(run)["ttft"]
    engine, client = np.percentile(truth, [50, 99]), np.percentile(said, [50, 99])
    figures = dict(zip(("added_p50", "added_p99"), map(float, client - engine), strict=True))
    return {"figure": "added"} | row | {name: round(v, 3) for name, v in figures.items()}


def quantiles(name: str, values_ms: np.ndarray) -> dict[str, float]:
    """Returns the median and the 99th percentile, by name."""
    p50, p99 = np.percentile(values_ms, [50, 99])
    return {f"{name}_p50": round(float(p50), 3), f"{name}_p99": round(float(p99), 3)}


def machine() -> dict[str, Any]:
    """Returns what the figures depend on and names nobody."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model or platform.machine(),
        "python": platform.python_version(),
    }


def middle(rows: list[Row], client: str, figure: str, value: str, **where: Any) -> float | None:
    """Returns the median over the rounds, or None where there is none."""
    found = [
        row[value]
        for row in rows
        if (row["client"], row["figure"]) == (client, figure)
        and row.get(value) is not None
        and all(row.get(key) == wanted for key, wanted in where.items())
    ]
    return median(found) if found else None


def targets(rows: list[Row]) -> list[Row]:
    """Returns each target with the figure that it is judged by; None where one is missing."""
    found: list[Row] = []

    def judge(what: str, value: float | None, limit: float, *, least: bool) -> None:
        met = None if value is None else (value >= limit if least else value <= limit)
        found.append({"target": what, "limit": limit, "value": value, "met": met})

    for connections in CONNECTIONS:
        at = {"connections": connections}
        own = middle(rows, ASSAY, "rate", "per_core_s", **at)
        for peer, limit in ((AIOHTTP, 0.7), ("vllm bench serve", 2.0), ("guidellm", 30.0)):
            other = middle(rows, peer, "rate", "per_core_s", **at)
            ratio = round(own / other, 2) if own and other else None
            what = f"requests per core over {peer}, {connections} connections, at least"
            judge(what, ratio, limit, least=True)
    late = middle(rows, ASSAY, "schedule", "late_p99")
    judge("schedule error p99 (ms), at most", late, 2.0, least=False)
    for name, limit in (("added_p50", 1.0), ("added_p99", 2.0)):
        value = middle(rows, ASSAY, "added", name)
        judge(f"added time to first token, {name[-3:]} (ms), at most", value, limit, least=False)
    return found


def main() -> None:
    """Measures, prints and stores."""
    parser = argparse.ArgumentParser(prog="python -m bench.load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--preferred", action="store_true", help="time ahead of the machine's other work"
    )
    parser.add_argument("--only", nargs="*", help="clients, by name")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/load.json")
    options = parser.parse_args()
    chosen = [peer for peer in peers() if not options.only or peer.name in options.only]
    with (
        tempfile.TemporaryDirectory(prefix="assay-bench-") as folder,
        mock_engine(preferred=options.preferred) as engine,
    ):
        bench = Bench(engine, Path(folder), preferred=options.preferred)
        for peer in chosen:
            if (reason := peer.missing()) is not None:
                bench.failures[peer.name] = reason
        for done in range(1, options.rounds + 1):
            for measure in (*map(closed_rate, CONNECTIONS), schedule, added):
                for peer in chosen:
                    bench.run(peer, measure)
            store(options.out, bench, chosen, rounds=done, preferred=options.preferred)
    for target in targets(bench.rows):
        sys.stdout.write(f"{target}\n")


def store(out: Path, bench: Bench, chosen: list[Peer], *, rounds: int, preferred: bool) -> None:
    """Writes what is known so far."""
    result = {
        "machine": machine(),
        "preferred": preferred,
        "rounds": rounds,
        "versions": {p.name: p.version() for p in chosen if not p.missing() and p.package},
        "missing": bench.failures,
        "targets": targets(bench.rows),
        "rows": bench.rows,
    }
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
