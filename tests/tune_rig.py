"""A whole search without a server: in-memory engines, a ramp that follows a table.

What an engine can do is a function of its settings; the documents, the optimiser (real Optuna on a
file), the recommendation and every file it leaves are the real code.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from assay.adapters.in_memory_golden import InMemoryGoldenSource
from assay.adapters.in_memory_registry import InMemoryRegistry
from assay.adapters.in_memory_server import InMemoryServer
from assay.adapters.in_memory_store import InMemoryStore
from assay.adapters.in_memory_tuning import InMemoryTuningLog
from assay.ports import RunningServer
from assay.serving_profile import Profile
from assay.tuning.trials import RampStep
from flows.settings import Settings
from flows.steps import PlainSteps
from flows.tuning import conduct_tuning
from flows.tuning_files import TuneResult
from flows.tuning_request import TunePorts, TuneRequest
from flows.tuning_wiring import optuna_study
from tests.artifact_factory import Keys, make_artifact, make_keys
from tests.gate_rig import MODEL, POLICY, TASK, golden_cases

SERVING = """\
# The settings of a test.
schema_version: 1
profiles:
  cpu:
    image: "assay/vllm-cpu:0.32.0"   # by its id
    arguments: [--dtype, bfloat16, --max-num-seqs, "8"]
    environment: {THREADS: "1"}
    limits: {memory_gib: 1}
"""
SPACE = """\
schema_version: 1
trials: 8
confirmations: 2
price_per_hour: 3.6
profiles:
  cpu:
    arguments:
      --max-num-seqs: {values: [4, 8, 16, 32]}
      --enforce-eager: {values: [true, false]}
    environment:
      THREADS: {values: ["1", "2"]}
"""

Capacity = Callable[[Profile], float]
"""What an engine with these settings can do: requests a second within the objectives."""


def seats(profile: Profile) -> float:
    """Capacity grows with the seats, and doubles with a second thread."""
    words = profile.arguments
    seats = int(words[words.index("--max-num-seqs") + 1])
    return seats * int(profile.environment["THREADS"])


@dataclass(slots=True)
class TableRamp:
    """Doubles the rate until the capacity is passed; the first word waits as the engine fills."""

    rig: "TuneRig"

    def steps(self, running: RunningServer) -> Iterator[RampStep]:
        """Yields each step."""
        profile = self.rig.server.requests[-1].profile
        capacity = self.rig.capacity(profile)
        rate = 2.0
        while True:
            self.rig.before_step(rate)
            met = rate <= capacity
            yield RampStep(
                rate_per_s=rate,
                met=met,
                ttft_p99_ms=400 * rate / capacity,
                output_tokens_per_s=4 * rate,
                reason="" if met else "the p99 of TTFT is beyond 400 ms",
                excess=None if met else rate / capacity - 1,
            )
            if not met or rate >= 1024:
                return
            rate *= 1.1


@dataclass(slots=True)
class TuneRig:
    """One machine with a store of one version."""

    folder: Path
    keys: Keys
    store: InMemoryStore
    capacity: Capacity = seats
    server: InMemoryServer = field(default_factory=InMemoryServer)
    log: InMemoryTuningLog = field(default_factory=InMemoryTuningLog)
    registry: InMemoryRegistry = field(default_factory=InMemoryRegistry)
    said: list[str] = field(default_factory=list)
    before_step: Callable[[float], None] = lambda rate: None
    clock: Callable[[], float] = lambda: 0.0

    def tune(
        self, *, space: str = SPACE, serving: str | None = None, **changes: object
    ) -> TuneResult:
        """Runs one search."""
        texts = {"task": TASK, "policy": POLICY.replace("FIRST", "allow"), "tune": space}
        for name, text in texts.items():
            (self.folder / f"{name}.yaml").write_text(text)
        path = self.folder / "serving.yaml"
        if serving is not None or not path.exists():
            path.write_text(serving or SERVING)
        request = TuneRequest(
            **(
                {
                    "model": MODEL,
                    "version": "1.0.0",
                    "space": self.folder / "tune.yaml",
                    "policy": self.folder / "policy.yaml",
                    "task": self.folder / "task.yaml",
                    "serving": path,
                    "backend": "docker",
                }
                | changes
            )  # type: ignore[arg-type]
        )
        return conduct_tuning(
            request,
            settings=self.settings,
            ports=self.ports(),
            steps=PlainSteps(self.said.append, wait_s=0.001),
            progress=self.said.append,
            clock=self.clock,
        )

    @property
    def settings(self) -> Settings:
        """Places inside the rig's folder."""
        return Settings(
            home=self.folder / "home",
            store="in-memory",
            trust=self.folder / "trust.yaml",
            tracking_uri="in-memory",
            who="tester",
        )

    def ports(self) -> TunePorts:
        """The shipped in-memory adapters, and Optuna."""
        return TunePorts(
            store=self.store,
            server=self.server,
            backend="docker",
            registry=self.registry,
            golden=InMemoryGoldenSource(cases={None: golden_cases()}),
            log=self.log,
            optimiser=optuna_study,
            ramp=lambda plan, cases, study: TableRamp(self),
            devices=lambda profile: ("cpu",),
        )


def make_tune_rig(folder: Path) -> TuneRig:
    """Returns a rig with 1.0.0 in its store."""
    keys = make_keys(folder / "keys")
    store = InMemoryStore(keys.trusted)
    made = make_artifact(folder / "models" / "1.0.0", seed=0)
    store.publish(made, model=MODEL, version="1.0.0", private_key=keys.private)
    return TuneRig(folder=folder, keys=keys, store=store)
