"""Probes of engines that need no engine: a function says what an engine would.

For tests of whatever watches engines; passes the same contract tests as the real probe.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from assay.ports import RunningServer
from assay.records import EngineSample

Script = Callable[[str, float], EngineSample]
"""Takes the model's name and the seconds since the load began; `at_s` is set by the probe."""


@dataclass(slots=True, kw_only=True)
class InMemoryProbes:
    """Implements `assay.ports.EngineProbes`. `open_now` names the models that are watched."""

    script: Script = lambda model, at_s: EngineSample(at_s=at_s, running=0.0, waiting=0.0)
    open_now: list[str] = field(default_factory=list)

    def open(self, server: RunningServer) -> "InMemoryProbe":
        """Returns a probe that says what the script does."""
        self.open_now.append(server.endpoint.model)
        return InMemoryProbe(probes=self, model=server.endpoint.model)


@dataclass(slots=True, kw_only=True)
class InMemoryProbe:
    """Implements `assay.ports.EngineProbe`."""

    probes: InMemoryProbes
    model: str

    def sample(self, at_s: float, session: int) -> EngineSample:
        """Returns the script's figures."""
        return replace(self.probes.script(self.model, at_s), at_s=at_s, session=session)

    def close(self) -> None:
        """Is watched no longer."""
        if self.model in self.probes.open_now:
            self.probes.open_now.remove(self.model)
