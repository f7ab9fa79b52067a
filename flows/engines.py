"""The engines of one measurement: all up side by side, or one at a time where only one fits.

Decides when an engine is started and stopped, and that all of them are the same engine; leaves
starting to the server adapters and what is asked to `measure`. It is the stage of the interleaved
load as well (`assay.interleaving.Stage`).
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from assay.errors import InfrastructureError
from assay.interleaving import Seat
from assay.ports import (
    EngineProbes,
    LaunchedServer,
    ModelServer,
    Progress,
    RunningServer,
    ServeRequest,
)
from assay.records import EngineIdentity, Role
from flows.steps import Steps


@dataclass(slots=True, kw_only=True)
class Engines:
    """Engines by role; a context manager that leaves none behind.

    Args:
        server: starts them.
        requests: what each serves.
        same_settings: whether all must be the same engine in every respect; else the same kind of
            machine will do (a verdict about settings).
        alternating: whether one at a time is up.
        probes: make what watches them under load; None where nothing does.
        steps, progress: for people.
        logs: receives the end of each engine's log.
    """

    server: ModelServer
    requests: Mapping[Role, ServeRequest]
    same_settings: bool
    alternating: bool
    probes: EngineProbes | None
    steps: Steps
    progress: Progress
    logs: dict[Role, str]
    identities: dict[Role, EngineIdentity] = field(default_factory=dict)
    _running: dict[Role, RunningServer] = field(default_factory=dict)
    _warm: set[Role] = field(default_factory=set)
    _stack: ExitStack = field(default_factory=ExitStack)

    def up(self, role: Role) -> RunningServer:
        """Returns a model's engine, ready; where only one fits, the other is stopped first.

        Raises:
            ArtifactError: the engine refuses the model.
            InfrastructureError: the engine failed, or is not the same as the other's.
        """
        if role not in self._running:
            self._clear()
            self._start([role])
        return self._running[role]

    def take(self, role: Role) -> Seat:
        """Returns a model's engine for the load; see `assay.interleaving.Stage`."""
        server = self.up(role)
        fresh = role not in self._warm
        self._warm.add(role)
        probes = self.probes
        return Seat(
            endpoint=server.endpoint,
            fresh=fresh,
            probe=None if probes is None else lambda: probes.open(server),
        )

    def _start(self, roles: list[Role]) -> None:
        """Launches side by side, then waits for one after the other."""

        def launch() -> dict[Role, LaunchedServer]:
            return {
                role: self._stack.enter_context(self.server.launch(self.requests[role]))
                for role in roles
            }

        launched = self.steps.run("launch the engines", launch)
        for role, server in launched.items():
            running = wait_ready(role.value, server, self.steps, self.progress)
            self._running[role] = running
            self.identities[role] = running.identity
        self._check()

    def _check(self) -> None:
        named = {role.value: identity for role, identity in self.identities.items()}
        (one_engine if self.same_settings else one_machine)(named)

    def _clear(self) -> None:
        for role, server in self._running.items():
            self.logs[role] = server.log_tail()
        if self._running:
            self.progress("stopping the engines")
        self._running.clear()
        self._warm.clear()
        self._stack.close()

    def __enter__(self) -> Self:
        """Starts all engines, where they are up side by side."""
        if not self.alternating:
            try:
                self._start(list(self.requests))
            except BaseException:
                self._stack.close()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops whatever is up."""
        try:
            self._clear()
        finally:
            self._stack.close()


def wait_ready(
    name: str, launched: LaunchedServer, steps: Steps, progress: Progress
) -> RunningServer:
    """Waits for an engine as a step of the gate; see `LaunchedServer.wait_ready`."""
    wait: Callable[[], RunningServer] = lambda: launched.wait_ready(  # noqa: E731 - typed
        lambda line: progress(f"{name}: {line}")
    )
    return steps.run(f"wait for {name}'s engine", wait)


def one_engine(found: Mapping[str, EngineIdentity]) -> EngineIdentity:
    """Returns the engine that all names ran on.

    Raises:
        InfrastructureError: there were several, so their answers cannot be compared.
    """
    identities = set(found.values())
    if len(identities) > 1:
        raise InfrastructureError(
            f"the models ran on different engines ({_described(found)}), so their answers cannot "
            "be compared; serve all with the same image, arguments and kind of machine"
        )
    return identities.pop()


def one_machine(found: Mapping[str, EngineIdentity]) -> None:
    """Makes sure that two settings ran on one kind of machine: nothing else may differ.

    Raises:
        InfrastructureError: they did not, so their times cannot be compared.
    """
    if len({(one.backend, one.engine, one.hardware) for one in found.values()}) > 1:
        raise InfrastructureError(
            f"the two settings ran on different machines ({_described(found)}), so their times "
            "cannot be compared; serve both on the same kind of machine, by the same back end"
        )


def _described(found: Mapping[str, EngineIdentity]) -> str:
    return "; ".join(f"{name}: {identity}" for name, identity in found.items())
