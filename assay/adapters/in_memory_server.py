"""Engines that need no engine: for tests of everything that serves a model.

`launch` gives an engine that is ready at once, or fails as it is told to. What runs and what was
stopped can be read from `running`, so a test can see that nothing is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from assay.ports import Progress, RunningServer, ServeRequest
from assay.records import Endpoint, EngineIdentity, Postcondition

IDENTITY = EngineIdentity(
    backend="docker",
    profile="cpu",
    engine="in-memory",
    version="0.32.0",
    image="sha256:" + "0" * 64,
    arguments=(),
    hardware="memory",
)


@dataclass(slots=True)
class InMemoryServer:
    """Implements `assay.ports.ModelServer`.

    Args:
        failures: version → the exception its engine raises when waited for.
        identity: what every engine says it is, but for the arguments and environment it was
            given.
        left_behind: sentences that the next `reap` returns, once.
        leaks: what every engine leaves behind: kind → whether it is gone (None: cannot be seen).
    """

    failures: Mapping[str, BaseException] = field(default_factory=dict)
    identity: EngineIdentity = IDENTITY
    left_behind: list[str] = field(default_factory=list)
    leaks: Mapping[str, bool | None] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    launched: list[str] = field(default_factory=list)
    requests: list[ServeRequest] = field(default_factory=list)

    def launch(self, request: ServeRequest) -> "InMemoryEngine":
        """Starts an engine that knows its version only."""
        version = request.artifact.ref.version if request.artifact else str(request.url)
        self.launched.append(version)
        self.running.append(version)
        self.requests.append(request)
        profile = request.profile
        environment = (f"{name}={value}" for name, value in sorted(profile.environment.items()))
        identity = replace(self.identity, arguments=(*profile.arguments, *environment))
        return InMemoryEngine(server=self, version=version, identity=identity)

    def reap(self) -> Sequence[str]:
        """Forgets what was left behind."""
        found, self.left_behind = self.left_behind, []
        return found


@dataclass(slots=True)
class InMemoryEngine:
    """Implements `assay.ports.LaunchedServer`; its endpoint's model name is the version."""

    server: InMemoryServer
    version: str
    identity: EngineIdentity

    def wait_ready(self, progress: Progress) -> RunningServer:
        """Returns at once, or raises what the server was told to."""
        progress("ready")
        failure = self.server.failures.get(self.version)
        if failure is not None:
            raise failure
        return RunningServer(
            endpoint=Endpoint(base_url="http://in-memory", model=self.version),
            identity=self.identity,
            started_in_s=0.0,
            log_tail=lambda: "",
            is_alive=lambda: self.version in self.server.running,
        )

    def stop(self) -> None:
        """Ends the engine; a second call does nothing."""
        if self.version in self.server.running:
            self.server.running.remove(self.version)

    def postconditions(self) -> Sequence[Postcondition]:
        """Looks whether the engine has ended, and returns what it was told to leave."""
        ended = Postcondition(
            what="processes", subject=self.version, gone=self.version not in self.server.running
        )
        return ended, *(
            Postcondition(what=what, subject=self.version, gone=gone)
            for what, gone in self.server.leaks.items()
        )

    def __enter__(self) -> Self:
        """Enters the context in which the engine lives."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the engine."""
        self.stop()
