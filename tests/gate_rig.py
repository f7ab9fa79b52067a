"""A whole gate without a server: shipped in-memory adapters behind the real orchestration.

Two models answer from a table: production knows all labels but errs on every tenth case; what a
candidate does is said by `answers`. Everything else (store with real signatures, judgement,
evidence, report, aliases) is the real code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from assay import digests
from assay.adapters.chat_wire import Failure
from assay.adapters.in_memory_chat import InMemoryChat
from assay.adapters.in_memory_golden import InMemoryGoldenSource, InMemoryGoldenValidator
from assay.adapters.in_memory_probe import InMemoryProbes
from assay.adapters.in_memory_registry import InMemoryRegistry
from assay.adapters.in_memory_server import InMemoryServer
from assay.adapters.in_memory_store import InMemoryStore
from assay.adapters.in_memory_watch import InMemoryWatch
from assay.ports import GateWatch, LoadGenerator
from assay.records import GoldenCase
from assay.trust import TrustedKeys
from assay.verdict_trust import VerdictTrust
from assay.warrant import Gatekeeper
from flows import resuming
from flows.conclude import GateResult
from flows.conduct import conduct
from flows.gathering import Ports
from flows.notary import Notary
from flows.request import GateRequest
from flows.rollback import RollbackPorts
from flows.settings import Settings
from flows.steps import PlainSteps
from tests.artifact_factory import Keys, make_artifact, make_keys

T = TypeVar("T")

LABELS = ("joy", "anger", "fear")
CASES_PER_LABEL = 80
MODEL = "emotion"

TASK = """
schema_version: 1
name: emotion
labels: [joy, anger, fear]
messages: [{role: user, content: "{text}"}]
decoding: {mode: constrained, max_tokens: 4}
readiness_text: hello
"""
POLICY = """
schema_version: 1
first_release: FIRST
replicates: 999
backends_that_may_promote: [docker]
evaluators:
  emotion_f1: {margin: 0.05, macro_margin: 0.03, floor: 0.3, macro_floor: 0.4}
  validity: {max_invalid_rate: 0.05}
"""
SERVING = """
schema_version: 1
profiles:
  cpu: {image: "assay/vllm-cpu:0.32.0", limits: {memory_gib: 1}}
"""

Answer = Callable[[GoldenCase], str | Failure]
"""What a model says to a case."""


def golden_cases() -> tuple[GoldenCase, ...]:
    """Returns 240 cases whose text is their id, in words."""
    return tuple(
        GoldenCase(
            id=f"{label}-{number:03}",
            text=f"secret text {label} {number}",
            text_sha256=digests.text_sha256(f"secret text {label} {number}"),
            label=label,
            lang="en",
            source="test",
            stratum="core",
            slices=(),
            added_in="1.0.0",
        )
        for label in LABELS
        for number in range(CASES_PER_LABEL)
    )


def mostly_right(case: GoldenCase) -> str:
    """Errs on every tenth case."""
    wrong = int(case.id[-3:]) % 10 == 0
    return LABELS[(LABELS.index(case.label) + 1) % 3] if wrong else case.label


def always_right(case: GoldenCase) -> str:
    """Never errs."""
    return case.label


def blind_to_fear(case: GoldenCase) -> str:
    """Takes every fear for anger, and is else as good as production."""
    return "anger" if case.label == "fear" else mostly_right(case)


class InterruptibleSteps(PlainSteps):
    """Plain steps, with Ctrl-C pressed right before (or after) the action of one of them."""

    def __init__(self, said: Callable[[str], None], at: tuple[str, bool] | None) -> None:
        super().__init__(said, wait_s=0.001)
        self._at = at

    def run(self, name: str, action: Callable[[], T], *, retries: int = 0) -> T:
        """Runs `action` under the step's name."""

        def interrupted() -> T:
            if self._at == (name, False):
                raise KeyboardInterrupt
            result = action()
            if self._at == (name, True):
                raise KeyboardInterrupt
            return result

        return super().run(name, interrupted, retries=retries)


@dataclass(slots=True)
class Rig:
    """One machine with a store of three versions, and production's alias not set."""

    folder: Path
    keys: Keys
    store: InMemoryStore
    answers: dict[str, Answer]
    registry: InMemoryRegistry
    people: Mapping[str, Path]
    server: InMemoryServer = field(default_factory=InMemoryServer)
    cases: tuple[GoldenCase, ...] = field(default_factory=golden_cases)
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    validator: Any = field(default_factory=InMemoryGoldenValidator)
    before_answer: Callable[[int], None] = lambda count: None
    interrupt_at: tuple[str, bool] | None = None
    policy: str = POLICY
    delay_ms: float = 0.0
    engine_probes: InMemoryProbes | None = None
    free_memory_bytes: int | None = None
    generator: LoadGenerator | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    watch: GateWatch = field(default_factory=InMemoryWatch)

    def gate(self, version: str, *, first: str = "allow", **changes: Any) -> GateResult:
        """Runs one gate of a version."""
        return self.conduct(self.request(version, first=first, **changes))

    def resume(self, run_id: str | None = None) -> GateResult:
        """Goes on with a run; with the latest if none is named."""
        run_id = run_id or self.latest_run()
        return self.conduct(resuming.request_of(self.settings, run_id), resume=run_id)

    def latest_run(self) -> str:
        """Returns the run begun last: two of one second have names in any order."""
        return max(self.settings.runs.iterdir(), key=lambda path: path.stat().st_mtime_ns).name

    def request(self, version: str, *, first: str = "allow", **changes: Any) -> GateRequest:
        """Writes the documents and returns the request that names them."""
        for name, text in {"task": TASK, "serving": SERVING, "policy": self.policy}.items():
            path, wanted = self.folder / f"{name}.yaml", text.replace("FIRST", first)
            if not path.exists() or path.read_text() != wanted:
                path.write_text(wanted)
        paths = {name: self.folder / f"{name}.yaml" for name in ("task", "serving", "policy")}
        return GateRequest(
            **({"model": MODEL, "version": version, "backend": "docker"} | paths | changes)
        )

    def conduct(self, request: GateRequest, resume: str | None = None) -> GateResult:
        """Runs a request, or goes on with it."""
        return conduct(
            request,
            settings=self.settings,
            ports=self.ports(),
            steps=InterruptibleSteps(self.said.append, self.interrupt_at),
            progress=self.said.append,
            now=self.now,
            resume=resume,
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

    def rollback_ports(self) -> RollbackPorts:
        """What a move back on this machine is done by."""
        return RollbackPorts(
            registry=self.registry,
            notary=Notary.of(self.settings),
            store=lambda: self.store,
            trusted=lambda: TrustedKeys.load(self.settings.trust),
        )

    def ports(self) -> Ports:
        """The shipped in-memory adapters."""
        return Ports(
            store=self.store,
            server=self.server,
            backend="docker",
            client=InMemoryChat(answer=self._answer, delay_ms=self.delay_ms),
            engine_probes=self.engine_probes,
            free_memory_bytes=lambda: self.free_memory_bytes,
            generator=self.generator,
            golden=InMemoryGoldenSource(cases={None: self.cases}),
            validator=self.validator,
            registry=self.registry,
            notary=replace(Notary.of(self.settings), now=self.now),
            watch=self.watch,
        )

    def publish(self, version: str, *, seed: int) -> Path:
        """Publishes a version whose weights follow from `seed`."""
        folder = make_artifact(self.folder / "models" / version, seed=seed)
        self.store.publish(folder, model=MODEL, version=version, private_key=self.keys.private)
        return folder

    def _answer(self, body: Mapping[str, Any]) -> str | Failure:
        text = body["messages"][-1]["content"]
        by_text = {case.text: case for case in self.cases}
        case = by_text.get(text)
        if case is None:  # the check that constrained output really is constrained
            return "anything"
        self.asked.append(f"{body['model']}/{case.id}")
        self.before_answer(len(self.asked))
        return self.answers[body["model"]](case)


PEOPLE = {"Ada": "[approve, override]", "Bob": "[approve, override]", "Eve": "[approve]"}
"""Who may approve and override, by the roles that the trust file gives them."""


def make_trust(folder: Path, home: Path) -> dict[str, Path]:
    """Makes the gate's key and those of people, lists all in `trust.yaml`; returns the people's."""
    make_keys(folder / "keys", "gate").private.rename(home / "gate.key")
    people = {name: make_keys(folder / "keys", name.lower()).private for name in PEOPLE}
    listed = "".join(
        f"  - {{name: {name}, roles: {roles}, public_key: keys/{name.lower()}.pub}}\n"
        for name, roles in PEOPLE.items()
    )
    (folder / "trust.yaml").write_text(
        "schema_version: 1\n"
        "keys:\n  - {name: release, public_key: keys/release.pub}\n"
        "gates:\n  - {name: gate, public_key: keys/gate.pub}\n"
        f"approvers:\n{listed}"
    )
    return people


def make_rig(folder: Path) -> Rig:
    """Returns a rig with 1.0.0, 1.1.0 (better) and 1.2.0 (blind to fear) in its store."""
    keys = make_keys(folder / "keys")
    (folder / "home").mkdir()
    people = make_trust(folder, folder / "home")
    trust = VerdictTrust.load(folder / "trust.yaml")
    rig = Rig(
        folder=folder,
        keys=keys,
        store=InMemoryStore(keys.trusted),
        answers={"1.0.0": mostly_right, "1.1.0": always_right, "1.2.0": blind_to_fear},
        registry=InMemoryRegistry(),
        people=people,
    )
    rig.registry.gatekeeper = Gatekeeper(trust=trust, now=lambda: rig.now())
    for seed, version in enumerate(rig.answers):
        rig.publish(version, seed=seed)
    return rig
