"""What a gate costs, step by step, and what it adds over the engine's own time.

    .venv/bin/python -m bench.gate_overhead [--rounds 2] [--backend process]

Two things are timed in turn, `--rounds` times, on the same machine and artifacts: the whole command
`assay gate` from start to exit with nothing in its caches, and the engine alone (the same engine
started and asked the same questions with the same client, and nothing else). The ratio of the two
is what a user pays for pulling, verifying, checking, judging, writing evidence and recording.
Compile caches are warm for both, as they are for everyone after the first run.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from assay.asking import golden_questions, probe_questions
from assay.golden_set import load_golden, load_probes
from assay.interleaving import BlockPlan, SideBySide, closed_loop, interleaved_load
from assay.ports import AskLimits, ServeRequest
from assay.records import Role
from assay.serving_profile import load_serving
from assay.task import load_task
from examples.emotion import demo
from flows.request import BackendName
from flows.settings import Settings
from flows.wiring import client_for, server_for, store_for
from tests.end_to_end.machine import Machine, prepare

PARTS = {
    "pull and verify": ("pull and verify",),
    "golden set": ("load the", "check the"),
    "registry": ("read production", "look for", "count the"),
    "start": ("launch", "wait for"),
    "ask": ("ask ", "probe "),
    "time": ("time both",),
    "judge": ("judge",),
    "evidence": ("write the evidence",),
    "record": ("record in", "move production"),
}
"""Name of a part → beginnings of the names of its steps."""


def main() -> None:
    """Prints the split and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--backend", choices=("process", "docker"), default="process")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        home = Path(folder)
        machine = prepare(home / "home")
        engine_alone(machine.settings, chosen.backend)  # compiles, once
        gates, engines, splits = [], [], []
        for _ in range(chosen.rounds):
            engines.append(engine_alone(machine.settings, chosen.backend))
            seconds, split = whole_gate(machine, chosen.backend)
            gates.append(seconds)
            splits.append(split)
    report(gates, engines, splits)


def whole_gate(machine: Machine, backend: str) -> tuple[float, dict[str, float]]:
    """Gates a first release with nothing in its caches; returns seconds, whole and by step."""
    home = machine.settings.home
    subprocess.run(
        ["rm", "-rf", home / "answers", home / "reports", home / "mlflow.db"], check=True
    )
    started = time.monotonic()
    done = machine.gate("1.0.0", backend)
    seconds = time.monotonic() - started
    assert done.code == 0, done.said
    timings: dict[str, float] = json.loads((machine.reports()[-1] / "timings.json").read_text())
    return seconds, timings


def engine_alone(settings: Settings, backend: BackendName) -> float:
    """Starts the same engine and asks the same questions, and nothing else; returns seconds."""
    root = demo.ROOT
    task, serving = load_task(root / "task.yaml"), load_serving(root / "serving.yaml")
    golden = load_golden(root / "golden_data/golden.jsonl", task.labels)
    probes = load_probes(root / "golden_data/probes.jsonl")
    profile = serving.profile("cpu")
    limits = AskLimits(concurrency=profile.concurrency, request_timeout_s=profile.request_timeout_s)
    plan = next(e for e in demo_evaluators() if e.name == "latency")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        artifact = store_for(settings).pull(demo.MODEL, "1.0.0", folder / "copy")
        request = ServeRequest(
            artifact=artifact,
            name=demo.MODEL,
            role=Role.CANDIDATE,
            profile=profile,
            profile_name="cpu",
            run_id="bench",
            readiness_messages=task.render(task.readiness_text),
            cache_dir=settings.caches,
        )
        client = client_for(backend)
        started = time.monotonic()
        launched = stack.enter_context(server_for(backend).launch(request))
        endpoint = launched.wait_ready(lambda line: None).endpoint
        for questions in (golden_questions(task, golden.cases), probe_questions(task, probes)):
            client.ask(endpoint, questions, limits, lambda answer: None, run_id="bench")
        timed = AskLimits(concurrency=plan.concurrency, request_timeout_s=profile.request_timeout_s)
        interleaved_load(
            closed_loop(client, timed, "bench"),
            SideBySide({Role.CANDIDATE: endpoint}),
            [Role.CANDIDATE],
            golden_questions(task, golden.cases),
            BlockPlan(looks=(plan.blocks,), per_block=plan.per_block, seed=0),
            progress=lambda line: None,
        )
        launched.stop()
        return time.monotonic() - started


def demo_evaluators() -> list:  # type: ignore[type-arg]
    """Returns the evaluators of the demonstration's policy."""
    from flows.request import load_documents

    return list(load_documents(demo.request_for("1.0.0", "process")).evaluators)


def report(gates: list[float], engines: list[float], splits: list[dict[str, float]]) -> None:
    """Prints medians and ratios."""
    gate, engine = statistics.median(gates), statistics.median(engines)
    print(f"{'part':<18}{'seconds':>9}{'of the gate':>13}")
    known = 0.0
    for part, beginnings in PARTS.items():
        seconds = statistics.median(
            sum(s for name, s in split.items() if name.startswith(beginnings)) for split in splits
        )
        known += seconds
        print(f"{part:<18}{seconds:>9.2f}{seconds / gate:>13.1%}")
    print(f"{'imports, rest':<18}{gate - known:>9.2f}{(gate - known) / gate:>13.1%}")
    print(f"{'the whole gate':<18}{gate:>9.2f}")
    print(f"{'engine alone':<18}{engine:>9.2f}")
    print(f"gate over engine alone: {gate / engine:.3f} (rounds: {_ratios(gates, engines)})")


def _ratios(gates: list[float], engines: list[float]) -> str:
    return ", ".join(f"{g / e:.3f}" for g, e in zip(gates, engines, strict=True))


if __name__ == "__main__":
    main()
