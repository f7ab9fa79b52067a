"""The seams between the gate and the world, each a small `Protocol`.

Every port has a real adapter and an `in_memory` one in `assay/adapters/`, which pass the same
contract tests; `flows/wiring.py` is the only place that picks one.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from assay.gate_events import GateEvent
from assay.golden_set import GoldenSet
from assay.load.arrivals import Seconds
from assay.load.samples import GeneratorRun, TimedRequest
from assay.records import (
    ArtifactRef,
    Endpoint,
    EngineIdentity,
    EngineSample,
    Finding,
    LatencySample,
    Postcondition,
    Prediction,
    Probe,
    PromotionOutcome,
    PulledArtifact,
    RegisteredVersion,
    Role,
    RunContext,
    SettingsMove,
    Verdict,
    WayBack,
)
from assay.serving_profile import Profile
from assay.task import Decoding
from assay.warrant import Warrant

Progress = Callable[[str], None]
"""Receives short sentences for people ("loading the weights, 12 s")."""


class ArtifactStore(Protocol):
    """The trusted store: signed, immutable versions."""

    def publish(
        self,
        folder: Path,
        *,
        model: str,
        version: str,
        private_key: Path,
        certificate: Path | None = None,
    ) -> ArtifactRef:
        """Signs and stores a model folder as an immutable version.

        `certificate` vouches for a key that is not pinned itself (PEM, intermediates after it).

        Raises:
            ArtifactError: the folder is not publishable, or the version exists with other bytes.
            InfrastructureError: the store cannot be reached or written.
        """
        ...

    def versions(self, model: str) -> Sequence[str]:
        """Lists the versions of a model, oldest first; empty when there is no such model."""
        ...

    def confirm(self, ref: ArtifactRef) -> None:
        """Verifies that the store holds an artifact under a trusted signature, from its seals.

        Its files are not read, so this takes seconds whatever their size: `pull` verifies them.

        Raises:
            ConfigError: unknown model or version; lists what exists.
            ArtifactError: the seals are not what they must be, or are another artifact's.
            InfrastructureError: the store cannot be reached.
        """
        ...

    def pull(self, model: str, version: str, destination: Path) -> PulledArtifact:
        """Copies a version to a private folder and verifies that very copy.

        Raises:
            ConfigError: unknown model or version; lists what exists.
            ArtifactError: signature, digests, files or headers are not what they claim.
            InfrastructureError: the store cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeRequest:
    """What to serve, for gate run `run_id`: a verified artifact, or the URL of a server that runs.

    `artifact` is None exactly when `url` is set (the endpoint back end). `name` is the model name
    that requests carry; `cache_dir` may keep compile caches between runs.
    """

    artifact: PulledArtifact | None
    url: str | None = None
    name: str
    role: Role
    profile: Profile
    profile_name: str
    run_id: str
    readiness_messages: Sequence[Mapping[str, str]]
    cache_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessUsage:
    """What an engine's processes have used: CPU seconds since they started, memory right now."""

    cpu_s: float
    memory_bytes: int


def usage_unknown() -> ProcessUsage | None:
    """Says that nobody here can tell what an engine uses: it is somebody else's."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that has answered its readiness question.

    `usage` tells what its processes use, None where that cannot be known; `gpus` is how many
    accelerators of this machine it was given.
    """

    endpoint: Endpoint
    identity: EngineIdentity
    started_in_s: float
    log_tail: Callable[[], str]
    is_alive: Callable[[], bool]
    usage: Callable[[], ProcessUsage | None] = usage_unknown
    gpus: int = 0


class LaunchedServer(Protocol):
    """An engine that is starting up. Leaving its context ends it, whatever its state."""

    def wait_ready(self, progress: Progress) -> RunningServer:
        """Waits until the engine has answered its readiness question.

        Raises:
            ArtifactError: the engine itself refuses the model (died while loading).
            InfrastructureError: never ready in time, engine too old, out of memory; the message
                ends with the last log lines.
        """
        ...

    def stop(self) -> None:
        """Ends the engine and removes all it left; may be called more than once, never raises."""
        ...

    def postconditions(self) -> Sequence[Postcondition]:
        """Looks, after `stop`, for everything the engine must not leave; never raises."""
        ...

    def __enter__(self) -> Self:
        """Enters the context in which the engine lives."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Calls `stop`."""
        ...


class ModelServer(Protocol):
    """Starts throwaway engines. Two may start at the same time, from the same thread."""

    def launch(self, request: ServeRequest) -> LaunchedServer:
        """Starts an engine and returns at once, before it is ready.

        Raises:
            ConfigError: the back end is not installed or not configured; says how to mend it.
            InfrastructureError: the engine could not be started (socket in use, engine down).
        """
        ...

    def reap(self) -> Sequence[str]:
        """Removes what dead owners left behind; returns a sentence for each thing removed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question to a model: `messages` are ready to send; `choices` constrains the answer."""

    case_id: str
    messages: Sequence[Mapping[str, str]]
    choices: tuple[str, ...] | None
    decoding: Decoding
    want_logprobs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskLimits:
    """How hard and how long to ask. `request_timeout_s` is per attempt.

    An answer of more than `max_answer_bytes` is none.
    """

    concurrency: int
    request_timeout_s: float
    max_attempts: int = 4
    backoff_s: float = 0.25
    max_answer_bytes: int = 1 << 20


class ChatClient(Protocol):
    """Asks a model questions over the OpenAI protocol."""

    def ask(
        self,
        endpoint: Endpoint,
        questions: Sequence[Question],
        limits: AskLimits,
        on_answer: Callable[[Prediction], None],
        *,
        run_id: str,
    ) -> None:
        """Asks every question once, calling `on_answer` as answers arrive (any order).

        The client fills `raw`, times, tokens, attempts and `request_id`; `label` stays None, and
        `status` is `ok` when the engine answered with words and `error` otherwise: reading the
        words is the task's. Transport errors and 502/503/504/429 are retried with backoff; other
        HTTP errors are an `error` answer.

        Raises:
            InfrastructureError: the server went away (every attempt of several questions in a row
                went unheard), or refuses the caller (HTTP 401, 403 or 404 before any answer).
        """
        ...

    def load(
        self,
        endpoint: Endpoint,
        questions: Sequence[Question],
        limits: AskLimits,
        *,
        block: int,
        run_id: str,
        clock_zero_s: float,
    ) -> Sequence[LatencySample]:
        """Asks every question once, streaming, without retries, and times each answer.

        `clock_zero_s` is the monotonic time at which the whole load began.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """What a load generator does, fixed before it begins.

    Request i asks question i, and begins anew with the first when all were asked, so that two
    models given one plan are asked the same in the same order.

    Args:
        questions: what is asked.
        starts_s: intended start of every request of an open loop, ascending, in seconds from the
            start of the load; None for a closed loop.
        most_in_flight: requests in flight: as many as possible, for a closed loop always.
        request_timeout_s: from sending a request until it is given up.
        warm_up_s: requests meant to start earlier are marked as warm-up.
        duration_s: a closed loop sends none after it (warm-up included); None: `requests` ends it.
        requests: a closed loop ends after so many that are not of the warm-up.
        body: fields that every request's body has besides those of its question.
    """

    questions: Sequence[Question]
    starts_s: Seconds | None
    most_in_flight: int
    request_timeout_s: float
    warm_up_s: float = 0.0
    duration_s: float | None = None
    requests: int | None = None
    body: Mapping[str, object] = field(default_factory=dict)


class LoadGenerator(Protocol):
    """Sends a load to one model, on time, and times every answer."""

    def run(
        self,
        endpoint: Endpoint,
        plan: LoadPlan,
        on_request: Callable[[TimedRequest], str | None],
        *,
        run_id: str,
    ) -> GeneratorRun:
        """Runs a load to its end, calling `on_request` for each request as it ends (any order).

        Nothing is asked again. An answer late, broken or missing is a request with an error. When
        `on_request` returns a sentence, the load ends there, and the sentence is the report's
        `stopped`. The load also ends by itself when a server that had answered has been gone for
        long. Ctrl-C ends it in order: what was measured is kept, and the report says so.

        Raises:
            ConfigError: the plan asks for nothing.
            InfrastructureError: nothing listens there, or the caller is refused (401, 403, 404).
        """
        ...


class EngineProbe(Protocol):
    """Looks at one engine during a load. Called from a thread of its own."""

    def sample(self, at_s: float, session: int) -> EngineSample:
        """Returns the engine's figures of this moment.

        Never raises: what cannot be had is None, and an engine that does not answer has its
        `error_kind`.

        Args:
            at_s: seconds since the load began.
            session: the how-manieth start of this engine it is, from 0.
        """
        ...

    def close(self) -> None:
        """Lets go of the engine; never raises."""
        ...


class EngineProbes(Protocol):
    """Makes probes of engines."""

    def open(self, server: RunningServer) -> EngineProbe:
        """Returns a probe of a running server."""
        ...


class GoldenSource(Protocol):
    """Where golden sets come from, by revision."""

    def load(self, revision: str | None, labels: Sequence[str]) -> GoldenSet:
        """Returns the golden set at a revision (None: the working tree).

        Raises:
            ConfigError: no such revision, or the file is not a golden set.
            InfrastructureError: the data is neither in the cache nor at a remote.
        """
        ...

    def load_probes(self, revision: str | None) -> Sequence[Probe]:
        """Returns the probes at a revision."""
        ...


class GoldenValidator(Protocol):
    """Checks the quality of a golden set."""

    def check(self, golden: GoldenSet, labels: Sequence[str]) -> Sequence[Finding]:
        """Returns one finding an expectation; a failed one makes the gate's verdict invalid."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRecord:
    """Everything a registry stores about one finished gate.

    `source` names the artifact in the trusted store; None where no artifact was verified (a
    refused one, or an endpoint), and then no version is registered. `sequence` is its place among
    the model's publications, as its publisher signed it.
    """

    model: str
    version: str
    verdict: Verdict
    context: RunContext
    evidence_dir: Path
    predictions: Mapping[Role, Sequence[Prediction]]
    golden: GoldenSet
    source: str | None
    ledger_key: Mapping[str, str]
    sequence: int | None = None


class GateRuns(Protocol):
    """The record of finished gates."""

    def recorded_verdict(self, key: Mapping[str, str]) -> tuple[str, Mapping[str, object]] | None:
        """Returns (run id, verdict document) of an earlier valid run with the same inputs."""
        ...

    def record(self, gate: GateRecord) -> str:
        """Stores the parent and child runs, metrics, tables and registered version.

        Returns:
            The id of the parent run.

        Raises:
            InfrastructureError: the registry cannot be reached; nothing was promoted.
        """
        ...

    def uses(self, model: str, golden_digest: str) -> int:
        """Returns how many valid gates have used a golden set, for the reader of the report."""
        ...

    def evidence(self, run: str, destination: Path) -> None:
        """Copies the evidence of a recorded gate to a folder that does not exist yet.

        Raises:
            ConfigError: there is no such run, or it holds no evidence.
            InfrastructureError: the registry cannot be reached.
        """
        ...

    def record_move_back(self, model: str, run_id: str, folder: Path, way: WayBack) -> str:
        """Stores the evidence of a move back as a run of its own; returns that run's id."""
        ...


class Aliases(Protocol):
    """The aliases of registered versions. They move nowhere else, and one process at a time."""

    def production(self, model: str) -> RegisteredVersion | None:
        """Returns what the alias `production` names, or None when it does not exist.

        Raises:
            InfrastructureError: the registry cannot be reached.
        """
        ...

    def repair(self, model: str) -> str | None:
        """Brings a move that a killed process left half-done to a consistent end.

        Never moves `production`. Returns a sentence about what was done, None if nothing was.
        """
        ...

    def promote(
        self,
        ref: ArtifactRef,
        *,
        expected: ArtifactRef | None,
        gate_run: str,
        warrant: Warrant,
        settings: SettingsMove | None = None,
    ) -> PromotionOutcome:
        """Moves `production` to `ref` and `previous-production` to what it was.

        Refused (not moved) when `production` is no longer `expected`, and without a warrant that
        this registry's gatekeeper accepts (`assay.warrant`). Where `ref` is in production
        already, its engine settings move, unless they are no longer what was compared with.

        Raises:
            InfrastructureError: the registry cannot be reached, or this process has lost its turn.
        """
        ...

    def way_back(self, model: str, to_version: str | None) -> WayBack:
        """Returns where `production` may be moved back to: the previous one, or one by name.

        Raises:
            ConfigError: there is no such version, or nothing to move back from.
        """
        ...

    def move_back(self, way: WayBack, *, reason: str, who: str, run: str) -> PromotionOutcome:
        """Moves `production` back, unless it is no longer what it was when `way` was found."""
        ...


class Registry(GateRuns, Aliases, Protocol):
    """Runs, registered versions, aliases, and whose turn it is to gate a model."""

    def turn(self, model: str, *, run_id: str, progress: Progress) -> AbstractContextManager[None]:
        """Waits until no other gate of this model runs, on any machine, and keeps others waiting.

        Whoever waits is told so. A gate that has lost its turn (it was taken for dead) may not
        promote any more.

        Raises:
            InfrastructureError: the registry cannot be reached.
        """
        ...


class GateWatch(Protocol):
    """Is told what a gate does, while it does it; changes nothing about the gate.

    A gate waits for whom it tells. A watch that talks to anything slower than this process is
    therefore told through `assay.adapters.watch_background`.
    """

    def told(self, event: GateEvent) -> None:
        """Takes note of one event; all events of a gate come in order, from one thread."""
        ...

    def close(self) -> None:
        """Lets go of what it holds, after the last event."""
        ...
