"""What an engine's worker process costs where cores are few, and what waiting for it mends.

    .venv/bin/python -m bench.settle [--rounds 4] [--blocks 12] [--preferred] [--out FILE]

Two of the demonstration's models stand side by side, each in a real engine started by the process
back end, and are timed as a gate times them in three ways: the model in a worker process, vLLM's
own choice, without a wait between the models (`settle_s` 0) and with one (1.1); and the model in
the engine's own process, as `serving.yaml` asks for, without a wait. All four engines are up, and
the ways take turns in one run, there and back, with the same questions, so that what else the
machine does meets all. Printed for each: how long an engine took to start; how much the blocks'
medians differ; and the ratio of the two models with its interval, which is what a verdict rests on.
Also whose threads may run on which core, read from the kernel.

With `--preferred` (as root) engines and client are nicer to nobody: they run ahead of the machine's
other work, by niceness, which leaves the way in which they share cores with each other as it is.
"""

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from assay.adapters.chat_aiohttp import AiohttpChat
from assay.adapters.server_process import ProcessServer
from assay.asking import golden_questions
from assay.golden_set import load_golden
from assay.interleaving import BlockPlan, SideBySide, closed_loop, interleaved_load
from assay.latency_ratio import RatioEstimate, percentile_ratio
from assay.ports import AskLimits, Question, ServeRequest
from assay.records import ArtifactRef, Endpoint, LatencySample, PulledArtifact, Role
from assay.serving_profile import Profile, load_serving
from assay.task import Task, load_task
from examples.emotion import demo
from tests.end_to_end.machine import CACHE

VERSIONS = {Role.PRODUCTION: "1.0.0", Role.CANDIDATE: "1.1.0"}
PER_BLOCK, CONCURRENCY = 32, 16  # as in examples/emotion/policy.yaml
ALPHA, REPLICATES = 0.05, 9999
LIMIT = 2.0
NICENESS = -15
WORKER, ENGINE = "worker", "engine"
IN_ENGINE = "VLLM_ENABLE_V1_MULTIPROCESSING"
WAYS = ((WORKER, 0.0), (WORKER, 1.1), (ENGINE, 0.0))
"""Which process computes, and the seconds waited before the other model is timed."""
Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What one way of timing gave: the times to the first token of each block (ms), by model."""

    process: str
    settle_s: float
    blocks: Mapping[Role, list[Times]]
    seconds: float

    def medians(self, role: Role) -> Times:
        """The median of each block, in ms."""
        return np.array([np.median(block) for block in self.blocks[role]])

    def ratio(self) -> RatioEstimate:
        """The candidate's median over production's, bounded as a gate bounds it."""
        return percentile_ratio(
            self.blocks[Role.CANDIDATE],
            self.blocks[Role.PRODUCTION],
            0.5,
            limit=LIMIT,
            alpha=ALPHA,
            replicates=REPLICATES,
            seed=np.random.SeedSequence(1),
        )


def main() -> None:
    """Times both ways, prints them side by side, and writes what it printed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument(
        "--preferred", action="store_true", help="time ahead of the machine's other work"
    )
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    task = load_task(demo.ROOT / "task.yaml")
    profile = load_serving(demo.ROOT / "serving.yaml").profile("cpu")
    golden = load_golden(demo.ROOT / "golden_data/golden.jsonl", task.labels)
    questions = golden_questions(task, golden.cases)
    taken: dict[tuple[str, float], list[Way]] = {way: [] for way in WAYS}
    with engines(task, profile) as (stages, started):
        bound = whose_cores()
        if chosen.preferred:
            prefer()
        for process in stages:  # the first questions are dearer
            timed(stages, questions, (process, 0.0), blocks=1, seed=0)
        for number in range(chosen.rounds):
            for way in WAYS if number % 2 == 0 else WAYS[::-1]:
                taken[way].append(timed(stages, questions, way, chosen.blocks, seed=number + 1))
    text = report([together(taken[way]) for way in WAYS], started, bound)
    print(text, end="")
    if chosen.out:
        chosen.out.write_text(text)


@contextmanager
def engines(
    task: Task, profile: Profile
) -> Iterator[tuple[dict[str, SideBySide], dict[str, list[float]]]]:
    """All engines, up and ready, and the seconds that each took; they start one after the other."""
    models = CACHE / "emotion-demo"
    demo.run([".venv-serving/bin/python", "examples/emotion/build.py", "--out", str(models)])
    kinds = (WORKER, ENGINE, ENGINE, WORKER)
    roles = (Role.PRODUCTION, Role.PRODUCTION, Role.CANDIDATE, Role.CANDIDATE)
    endpoints: dict[str, dict[Role, Endpoint]] = {WORKER: {}, ENGINE: {}}
    started: dict[str, list[float]] = {WORKER: [], ENGINE: []}
    with ExitStack() as stack:
        caches = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="assay-bench-")))
        # The first engine of all reads its libraries from the disk, and finds out what vLLM keeps.
        request = request_for(task, profile, Role.PRODUCTION, models, caches)
        with ProcessServer().launch(request) as first:
            first.wait_ready(lambda line: None)
        for kind, role in zip(kinds, roles, strict=True):
            own = profile.model_copy(
                update={"environment": profile.environment | {IN_ENGINE: str(int(kind == WORKER))}}
            )
            began = time.monotonic()
            request = request_for(task, own, role, models, caches)
            launched = stack.enter_context(ProcessServer().launch(request))
            endpoints[kind][role] = launched.wait_ready(lambda line: None).endpoint
            started[kind].append(time.monotonic() - began)
        yield {kind: SideBySide(endpoints[kind]) for kind in endpoints}, started


def request_for(
    task: Task, profile: Profile, role: Role, models: Path, caches: Path
) -> ServeRequest:
    """What an engine is started with."""
    folder = models / VERSIONS[role]
    ref = ArtifactRef(model=demo.MODEL, version=VERSIONS[role], digest=f"sha256:{'0' * 64}")
    size = sum(file.stat().st_size for file in folder.iterdir())
    return ServeRequest(
        artifact=PulledArtifact(ref=ref, folder=folder, metadata={}, size_bytes=size),
        name=demo.MODEL,
        role=role,
        profile=profile,
        profile_name="cpu",
        run_id="bench",
        readiness_messages=task.render(task.readiness_text),
        cache_dir=caches,
    )


def timed(
    stages: Mapping[str, SideBySide],
    questions: Sequence[Question],
    way: tuple[str, float],
    blocks: int,
    seed: int,
) -> Way:
    """Times both models once."""
    process, settle_s = way
    began = time.monotonic()
    loads = interleaved_load(
        closed_loop(
            AiohttpChat(), AskLimits(concurrency=CONCURRENCY, request_timeout_s=60.0), "bench"
        ),
        stages[process],
        list(VERSIONS),
        questions,
        BlockPlan(looks=(blocks,), per_block=PER_BLOCK, seed=seed, settle_s=settle_s),
        progress=lambda line: None,
    )
    return Way(
        process=process,
        settle_s=settle_s,
        blocks={role: by_block(loads.samples[role]) for role in VERSIONS},
        seconds=time.monotonic() - began,
    )


def by_block(samples: Sequence[LatencySample]) -> list[Times]:
    """The times to the first token of each block, in ms; a block without one is an error."""
    blocks: dict[int, list[float]] = {}
    for sample in samples:
        if sample.ttft_ms is not None:
            blocks.setdefault(sample.block, []).append(sample.ttft_ms)
    return [np.array(blocks[number]) for number in sorted(blocks)]


def together(ways: Sequence[Way]) -> Way:
    """Joins the rounds of one way."""
    return Way(
        process=ways[0].process,
        settle_s=ways[0].settle_s,
        blocks={role: [block for way in ways for block in way.blocks[role]] for role in VERSIONS},
        seconds=sum(way.seconds for way in ways),
    )


def prefer() -> None:
    """Puts this process and the engines ahead of ordinary work; niceness is a thread's own."""
    ours = psutil.Process()
    for process in (ours, *ours.children(recursive=True)):
        for thread in process.threads():
            os.setpriority(os.PRIO_PROCESS, thread.id, NICENESS)


def whose_cores() -> list[str]:
    """Says on which cores the threads of an engine's process may run, where not on all."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            threads = process.threads()
            masks = Counter(tuple(sorted(os.sched_getaffinity(thread.id))) for thread in threads)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
        if any(len(cores) < (os.cpu_count() or 1) for cores in masks):
            each = ", ".join(
                f"{count} on {'+'.join(map(str, cores))}" for cores, count in sorted(masks.items())
            )
            found.append(f"{process.name()} {process.pid}: threads {each}")
    return found


def report(
    ways: Sequence[Way], started: Mapping[str, Sequence[float]], bound: Sequence[str]
) -> str:
    """The ways side by side."""
    starts = [
        "" if way.settle_s else ", ".join(f"{seconds:.0f}" for seconds in started[way.process])
        for way in ways
    ]
    whole = {process: sum(seconds) for process, seconds in started.items()}
    rows: list[tuple[str, list[str]]] = [
        ("the process that computes", [f"the {way.process}'s" for way in ways]),
        ("seconds until each of two engines was ready", starts),
        ("  in units of the worker's", ["1", "", f"{whole[ENGINE] / whole[WORKER]:.2f}"]),
        ("seconds waited at each change of the model", [f"{way.settle_s:g}" for way in ways]),
        ("blocks of each model", [str(len(way.blocks[Role.CANDIDATE])) for way in ways]),
        ("seconds the timing took", [f"{way.seconds:.0f}" for way in ways]),
    ]
    for role in (Role.CANDIDATE, Role.PRODUCTION):
        spread = [np.quantile(way.medians(role), [0.1, 0.5, 0.9]) for way in ways]
        name = f"{role.value}, medians of the blocks"
        rows += [
            (f"{name}: 10th to 90th percentile, ms", [f"{s[0]:.0f} to {s[2]:.0f}" for s in spread]),
            (f"{name}: the middle one, ms", [f"{s[1]:.0f}" for s in spread]),
            (f"{name}: 90th over 10th percentile", [f"{s[2] / s[0]:.2f}" for s in spread]),
        ]
    ratios = [way.ratio() for way in ways]
    rows += [
        ("ratio of the medians", [f"{r.value:.2f}" for r in ratios]),
        (
            f"  its interval ({1 - 2 * ALPHA:.0%})",
            [f"{r.lower:.2f} to {r.upper:.2f}" for r in ratios],
        ),
        ("  upper over lower bound", [f"{r.upper / r.lower:.2f}" for r in ratios]),
    ]
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    lines = [name.ljust(62) + "".join(f"{value:>15}" for value in values) for name, values in rows]
    load = f"load of the machine at the end: {os.getloadavg()[0]:.1f}"
    return (
        "\n".join([*lines, f"{os.cpu_count()} cores; {load}; niceness {niceness}", *bound]) + "\n"
    )


if __name__ == "__main__":
    main()
