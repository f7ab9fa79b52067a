"""What a gate tells those who watch it: that it began, each of its steps, and how it ended.

Decides the vocabulary (which outcomes a step and a gate may have) and that nothing is said that may
hold a case's text: of an error that is not one of ours, only its kind. Leaves to the adapters what
becomes of it: a trace, metrics, lines of a log.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from assay.errors import ArtifactError, AssayError


class StepOutcome(StrEnum):
    """How a step ended. A rejection is what the step is for, and no error of the gate."""

    OK = "ok"
    REJECTED = "rejected"
    ERROR = "error"
    INTERRUPTED = "interrupted"


class GateOutcome(StrEnum):
    """What became of a gate: its verdict, unless there is more, or less, to say than that.

    `NOT_PROMOTED` is a promote whose alias did not move; `OVERRIDDEN` moved it against the verdict;
    `ERROR` and `INTERRUPTED` ended without one.
    """

    PROMOTE = "promote"
    BLOCK = "block"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"
    NOT_PROMOTED = "not_promoted"
    OVERRIDDEN = "overridden"
    ERROR = "error"
    INTERRUPTED = "interrupted"

    @property
    def is_trouble(self) -> bool:
        """Whether the gate, rather than the candidate, needs somebody's attention."""
        return self in (self.INVALID, self.NOT_PROMOTED, self.ERROR, self.INTERRUPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateBegun:
    """A run began, or goes on after a kill (`resumed`). Times are nanoseconds since 1970, UTC."""

    run_id: str
    at_ns: int
    model: str
    version: str
    profile: str
    backend: str
    resumed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBegun:
    """A step began; steps of one gate may be inside each other, and never side by side."""

    run_id: str
    at_ns: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnded:
    """The innermost step ended. `attempts` counts how often its action was tried, 0 if never."""

    run_id: str
    at_ns: int
    name: str
    duration_s: float
    attempts: int
    outcome: StepOutcome
    error_kind: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateEnded:
    """A run ended.

    `verdict` is None where there is none. `reused` says that the verdict is an earlier run's.
    `findings` counts the verdict's findings by evaluator and status.
    """

    run_id: str
    at_ns: int
    model: str
    duration_s: float
    outcome: GateOutcome
    verdict: str | None = None
    reused: bool = False
    findings: Mapping[tuple[str, str], int] = field(default_factory=dict)
    error_kind: str | None = None
    error: str | None = None


GateEvent = GateBegun | StepBegun | StepEnded | GateEnded


def step_kind(name: str) -> str:
    """Returns a step's name without versions: `pull and verify candidate`, whatever its number.

    Whoever counts by it must not get a new series with every release. Only versions begin with a
    digit (`assay.artifact.check_version`).
    """
    return " ".join(word for word in name.split() if not word[0].isdigit())


def step_outcome(error: BaseException | None) -> StepOutcome:
    """Returns how a step ended that raised `error`, or nothing."""
    if error is None:
        return StepOutcome.OK
    if isinstance(error, ArtifactError):
        return StepOutcome.REJECTED
    if isinstance(error, Exception):
        return StepOutcome.ERROR
    return StepOutcome.INTERRUPTED


def what_went_wrong(error: BaseException | None) -> tuple[str | None, str | None]:
    """Returns an error's kind, and its message where it is one of ours.

    The message of any other may quote what it failed on, and that may be a case's text.
    """
    if error is None:
        return None, None
    return type(error).__name__, str(error) if isinstance(error, AssayError) else None
