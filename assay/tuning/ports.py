"""The seams between tuning and the world, each a small `Protocol`.

Engines are started by `assay.ports.ModelServer`; `flows.wiring` and `flows.tune_wiring` pick the
rest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from assay.ports import RunningServer
from assay.tuning.space import Point, Value
from assay.tuning.trials import RampStep, TrialRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A point to try; the optimiser waits for its number to be told."""

    number: int
    point: Point


class Optimiser(Protocol):
    """Chooses points and remembers trials, also beyond the end of the process."""

    def past(self) -> Sequence[TrialRecord]:
        """Returns every trial of the study in order; those that a dead process left are killed."""
        ...

    def begin(self, point: Point) -> Suggestion:
        """Begins trial 0 with the settings as they are; what the space has not is left out."""
        ...

    def ask(self) -> Suggestion | None:
        """Returns a point not tried before, None when the space has no other left."""
        ...

    def tell(self, trial: TrialRecord) -> None:
        """Says how a trial ended."""
        ...

    def remember(self, key: str, value: Any) -> None:
        """Stores plain JSON with the study."""
        ...

    def recall(self, key: str) -> Any:
        """Returns what was remembered, None where nothing was."""
        ...


class Ramp(Protocol):
    """Loads an engine at rising rates until they no longer meet the objectives."""

    def steps(self, running: RunningServer) -> Iterator[RampStep]:
        """Yields each step as it ends, the lowest rate first.

        Raises:
            InfrastructureError: the engine went away, or the generator could not keep up.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """What a study is about; `study` identifies it, on any machine."""

    study: str
    model: str
    version: str
    artifact_digest: str
    who: str | None
    facts: Mapping[str, str]


class TuningLog(Protocol):
    """Where trials are recorded for people to compare."""

    def open(self, study: StudyRecord) -> str:
        """Returns the id of the study's run, which is made or found again."""
        ...

    def log_trial(
        self,
        run: str,
        trial: TrialRecord,
        params: Mapping[str, Value],
        metrics: Mapping[str, float],
    ) -> None:
        """Stores one trial as a child run; one that is stored already is left as it is."""
        ...

    def close(self, run: str, folder: Path, *, reason: str, metrics: Mapping[str, float]) -> None:
        """Stores the recommendation and its files, and ends the run."""
        ...
