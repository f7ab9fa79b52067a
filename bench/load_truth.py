"""Are the percentiles that a load test reports true? Against an engine that knows the answer.

    python -m bench.load_truth [--rate 80] [--seconds 8] [--out bench/results/load_truth.json]

The engine's delays are scripted and logged by the engine itself (`bench.mock_engine`); in the
middle it hangs for two seconds. The truth of a request is the engine's time of each token less the
time at which the request was *meant* to start, which the profile's seed fixes beforehand: the
client's own clock readings take no part in it. Every reported percentile, of every kind of time
and every model of arrivals, is held against the same percentile of the truth.

The same hang is then looked at the naive way: by a closed loop, and by an open loop whose times
count from when a request was really sent and which has few connections.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.adapters.load_aiohttp import AiohttpLoad
from assay.load.percentiles import Times
from assay.load.profile import LoadProfile, Replay
from assay.load.samples import TimedRequest
from assay.load.summary import KINDS, SHARES, LoadSummary
from assay.load_testing import LoadTest, run_load_test
from assay.ports import Question
from assay.records import Endpoint
from assay.task import Decoding
from bench.load_rig import ROOT, Floats, MockEngine, Truth, client_core, mock_engine, prefer
from bench.mock_engine import Script

WITHIN_SHARE, WITHIN_MS = 0.02, 1.0
RATES = (100.0, 200.0, 400.0, 800.0)
ERRORS = {"http_503": "http_503", "cut": "broken"}
"""What the engine did → what the load test must call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One reported percentile and its truth, in milliseconds."""

    kind: str
    share: float
    reported_ms: float
    true_ms: float

    @property
    def error_ms(self) -> float:
        """How far the report is off."""
        return abs(self.reported_ms - self.true_ms)

    @property
    def of_allowed(self) -> float:
        """The error over what is allowed: 2 % or 1 ms, whichever is more."""
        return self.error_ms / max(WITHIN_MS, WITHIN_SHARE * self.true_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A finished load, with the engine's log of it."""

    profile: LoadProfile
    schedule_s: Floats | None
    requests: tuple[TimedRequest, ...]
    summary: LoadSummary
    truth: Truth


def arrivals(rate: float, seconds: float, trace: Path) -> dict[str, dict[str, Any]]:
    """Returns every model of arrivals, at about the same rate; the ramp passes it midway."""
    even = np.arange(0.0, 2 * seconds, 1 / rate)
    jitter = np.random.default_rng(5).uniform(0.0, 0.5 / rate, len(even))
    trace.write_text("\n".join(map(str, even + jitter)))
    return {
        "closed": {"kind": "closed", "concurrency": 8},
        "constant": {"kind": "constant", "rate_per_s": rate},
        "poisson": {"kind": "poisson", "rate_per_s": rate},
        "gamma": {"kind": "gamma", "rate_per_s": rate, "shape": 0.25},
        "ramp": {"kind": "ramp", "from_per_s": rate / 2, "to_per_s": 1.5 * rate},
        "spike": {"kind": "spike", "rate_per_s": 0.6 * rate, "times": 3.0, "share": 0.3},
        "replay": {"kind": "replay", "trace": str(trace)},
    }


def script(seconds: float, warm_up_s: float, *, stall_s: float = 2.0) -> Script:
    """Returns delays like a small model's, 2 % errors, and the hang in the middle."""
    return Script(
        seed=20, first_ms=60.0, first_sigma=0.5, gap_ms=20.0, gap_sigma=0.4, tokens=6, errors=0.02,
        stall_at_s=warm_up_s + seconds / 2 - stall_s / 2, stall_s=stall_s,
    )  # fmt: skip


def load(engine: MockEngine, profile: LoadProfile, plan: Script) -> Load:
    """Runs one load test against the scripted engine, from profile to report."""
    trace = None
    if isinstance(profile.arrivals, Replay):
        trace = np.loadtxt(profile.arrivals.trace)
    question = Question(
        case_id="c1",
        messages=[{"role": "user", "content": "I got the job!"}],
        choices=None,
        decoding=Decoding(mode="free"),
    )
    engine.set(plan)
    done: list[TimedRequest] = []
    test = LoadTest(
        generator=AiohttpLoad(),
        endpoint=Endpoint(base_url=engine.url, model="mock"),
        questions=[question],
        run_id="truth",
        trace=trace,
        sink=done.append,
    )
    report = run_load_test(profile, test)
    return Load(
        profile=profile,
        schedule_s=profile.schedule(trace),
        requests=tuple(done),
        summary=report.summary,
        truth=engine.truth(),
    )


def true_times(load: Load) -> dict[str, Floats]:
    """Returns the true times of the measured answers, from the engine's log and the schedule."""
    truth = load.truth
    places = np.array([int(identity.rsplit("-", 1)[1]) for identity in truth.ids])
    if load.schedule_s is None:  # a closed loop means a request to start when it does
        intended = truth.arrived_s
        measured = truth.arrived_s - truth.arrived_s.min() >= load.profile.warm_up_s
    else:
        meant = load.schedule_s[places]
        # The load began when its most punctual request says so.
        intended = meant + (truth.arrived_s - meant).min()
        measured = meant >= load.profile.warm_up_s
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for row in np.flatnonzero(measured):
        if truth.outcomes[row] != "ok":
            continue
        tokens = truth.tokens_s[row]
        times["ttft"].append(float(tokens[0] - intended[row]))
        times["e2e"].append(float(truth.ended_s[row] - intended[row]))
        times["itl"].extend(np.diff(tokens).tolist())
        times["tpot"].append(float(tokens[-1] - tokens[0]) / (len(tokens) - 1))
    return {kind: np.array(values) * 1e3 for kind, values in times.items()}


def compared(load: Load) -> Iterator[Compared]:
    """Yields every percentile of the report beside its truth."""
    truths = true_times(load)
    for kind in KINDS:
        for share in SHARES:
            found = load.summary.times[kind].at(share)
            assert found is not None
            true_ms = float(np.quantile(truths[kind], share, method="inverted_cdf"))
            yield Compared(kind=kind, share=share, reported_ms=found.value, true_ms=true_ms)


def errors_agree(load: Load) -> bool:
    """Tells whether every failure of the engine was reported, by its kind, and nothing else."""
    if load.schedule_s is None:
        measured = {r.request_id for r in load.requests if not r.warm_up}
    else:
        late = load.profile.warm_up_s
        measured = {i for i in load.truth.ids if load.schedule_s[int(i.rsplit("-", 1)[1])] >= late}
    happened: dict[str, int] = {}
    for identity, outcome in zip(load.truth.ids, load.truth.outcomes, strict=True):
        if outcome != "ok" and identity in measured:
            happened[ERRORS[outcome]] = happened.get(ERRORS[outcome], 0) + 1
    return dict(load.summary.errors) == happened


def naive_ms(load: Load) -> dict[str, float]:
    """Returns percentiles of the time to the first token, counted from when a request was sent."""
    times = Times()
    for request in load.requests:
        if request.ok and not request.warm_up and request.wire_ttft_ms is not None:
            times.add(request.wire_ttft_ms)
    return {f"p{100 * s:g}": round(times.percentile(s, alpha=0.05).value, 1) for s in SHARES}


def study(engine: MockEngine, rate: float, seconds: float, trace: Path) -> dict[str, Any]:
    """Runs every model of arrivals, and the naive loads."""
    warm_up_s = 1.0
    plan = script(seconds, warm_up_s)
    models: dict[str, Any] = {}
    naive: dict[str, Any] = {}
    for name, model in arrivals(rate, seconds, trace).items():
        fields = {"name": "truth", "arrivals": model, "duration_s": seconds, "warm_up_s": warm_up_s}
        done = load(engine, LoadProfile.model_validate(fields), plan)
        rows = list(compared(done))
        models[name] = {
            "requests": done.summary.requests,
            "errors_agree": errors_agree(done),
            "lag_p99_ms": round(done.summary.lag.at(0.99).value, 3),  # type: ignore[union-attr]
            "worst_of_allowed": round(max(row.of_allowed for row in rows), 3),
            "percentiles": [asdict(row) for row in rows],
        }
        sys.stdout.write(f"{name}: {models[name] | {'percentiles': len(rows)}}\n")
        if name == "closed":
            naive["closed loop, 8 connections"] = naive_ms(done)
        if name == "constant":
            naive["truth: open loop, from the intended start"] = {
                f"p{100 * row.share:g}": round(row.true_ms, 1) for row in rows if row.kind == "ttft"
            }
            capped = LoadProfile.model_validate(fields | {"max_in_flight": 8})
            few = load(engine, capped, plan)
            naive["open loop, 8 connections, from the sending"] = naive_ms(few)
    return {"rate_per_s": rate, "seconds": seconds, "script": asdict(plan)} | {
        "models": models,
        "stall": naive,
        "limits": limits(engine, seconds, warm_up_s),
    }


def limits(engine: MockEngine, seconds: float, warm_up_s: float) -> list[dict[str, Any]]:
    """Finds how fast the answers of a backlog may come at once before they are read late.

    All that a hang held back comes when it ends, and one core reads only so many pieces a second.
    """
    found = []
    for rate in RATES:
        model = {"kind": "poisson", "rate_per_s": rate}
        fields = {"name": "limit", "arrivals": model, "duration_s": seconds, "warm_up_s": warm_up_s}
        profile = LoadProfile.model_validate(fields)
        done = load(engine, profile, script(seconds, warm_up_s))
        rows = {k: [r for r in compared(done) if r.kind == k] for k in KINDS}
        pieces = np.sort(np.concatenate(done.truth.tokens_s))
        busiest = np.searchsorted(pieces, pieces + 0.1) - np.arange(len(pieces))
        found.append(
            {"rate_per_s": rate, "busiest_pieces_per_s": int(busiest.max()) * 10}
            | {
                f"{kind}_of_allowed": round(max(r.of_allowed for r in rows[kind]), 2)
                for kind in KINDS
            }
        )
        sys.stdout.write(f"{found[-1]}\n")
    return found


@contextmanager
def on_the_client_core(*, preferred: bool) -> Iterator[None]:
    """Keeps this process on the clients' core meanwhile; see `prefer`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {client_core()})
    if preferred:
        prefer(0)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def main() -> None:
    """Runs the study, prints and stores it; fails where a percentile is not true."""
    parser = argparse.ArgumentParser(prog="python -m bench.load_truth")
    parser.add_argument("--rate", type=float, default=80.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--preferred", action="store_true", help="ahead of the machine's work")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/load_truth.json")
    options = parser.parse_args()
    trace = options.out.with_suffix(".trace")
    with (
        mock_engine(preferred=options.preferred) as engine,
        on_the_client_core(preferred=options.preferred),
    ):
        result = study(engine, options.rate, options.seconds, trace)
    trace.unlink()
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, figures in result["stall"].items():
        sys.stdout.write(f"{name}: {figures}\n")
    untrue = [n for n, m in result["models"].items() if m["worst_of_allowed"] > 1]
    if untrue or not all(m["errors_agree"] for m in result["models"].values()):
        raise SystemExit(f"reported percentiles are not the engine's: {', '.join(untrue)}")


if __name__ == "__main__":
    main()
