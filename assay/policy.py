"""The policy (`policy.yaml`): the thresholds, written down before the run.

Decides what a policy may say in general; what each evaluator's entry may say is that evaluator's
own (its dataclass fields), validated when `evaluators.registry.build` makes it.
"""

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from assay import digests
from assay.documents import Document, read_yaml
from assay.records import Role
from assay.wording import counted

Backend = Literal["docker", "process", "endpoint", "kubernetes"]


class FreezeWindow(Document):
    """Days in which nothing is released; both ends belong to it."""

    start: date = Field(description="First day, UTC.")
    until: date = Field(description="Last day, UTC.")
    reason: str = Field(min_length=1, description="Why, for those whose release is held.")

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if self.until < self.start:
            raise ValueError("until must not lie before start")
        return self


class ErrorBudget(Document):
    """How many incidents a stretch of days may hold before releases stop.

    Nothing here measures production: whoever is on call enters an incident's day in the policy. The
    budget recovers by itself as days pass.
    """

    window_days: int = Field(ge=1, le=366, description="Length of the stretch, in days.")
    allowed: int = Field(
        ge=0, description="Incidents that it may hold; one more blocks every candidate."
    )
    incidents: tuple[date, ...] = Field(
        default=(), description="Days (UTC) of production's incidents, one entry an incident."
    )

    def spent_on(self, day: date) -> int:
        """Returns the incidents in the stretch of days that ends with `day`."""
        return sum(0 <= (day - incident).days < self.window_days for incident in self.incidents)


class Anchor(Document):
    """A pinned release that every later one is compared with: small losses cannot add up."""

    version: str = Field(min_length=1, description="Version of the pinned release.")
    margin: float = Field(
        gt=0.0, lt=1.0, description="How far below the anchor's a class's F1 may lie in all."
    )
    macro_margin: float = Field(gt=0.0, lt=1.0, description="The same for macro-F1.")


ChangeClass = Literal["standard", "emergency", "low-risk"]


class Promotion(Document):
    """What it takes to move `production`, beside the verdict itself."""

    unsigned: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="Whether a verdict that no gate's key has signed may move `production`: "
        "`allow` is for development.",
    )
    valid_days: int = Field(
        default=7, ge=1, le=366, description="Days after which a promote no longer moves anything."
    )
    approvals: dict[ChangeClass, Annotated[int, Field(ge=0, le=9)]] = Field(
        default_factory=dict,
        description="Change class → how many people must approve a promote of that class. A class "
        "that is left out needs as many as the strictest.",
    )
    wait_hours: float = Field(
        default=24, gt=0, le=24 * 30, description="How long a paused run waits for people."
    )

    def approvers_for(self, change: ChangeClass) -> int:
        """Returns how many people must approve a promote of a change class."""
        return self.approvals.get(change, max(self.approvals.values(), default=0))


class Policy(Document):
    """The thresholds of the release gate: the whole of `policy.yaml`."""

    schema_version: Literal[1] = Field(description="Version of this document's form.")
    alpha: float = Field(
        default=0.05,
        gt=0.0,
        lt=0.5,
        description="Chance, at most, of promoting a version that is worse by a whole margin; and "
        "of blaming any class of one that is as good.",
    )
    first_release: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="Whether a version may be promoted where there is no production: `allow` "
        "judges it by absolute floors and limits alone.",
    )
    stratum: Literal["core", "hitl"] = Field(
        default="core",
        description="The cases that decide; cases chosen because production erred flatter the "
        "candidate and are reported only.",
    )
    max_unanswered_rate: float = Field(
        default=0.001,
        ge=0.0,
        lt=0.5,
        description="Share of questions that may end without an answer; beyond it a run is "
        "invalid. Such cases are left out for both models.",
    )
    replicates: int = Field(
        default=10_000, ge=999, le=1_000_000, description="Draws of every resampling test."
    )
    repeats: int = Field(
        default=1,
        ge=1,
        le=10,
        description="How many times each golden case is asked of each model. The answers to one "
        "case are a cluster: they make its score steadier, not the set larger.",
    )
    noise_floor: bool = Field(
        default=False,
        description="Ask production twice where it would be asked once, and show how often it "
        "disagrees with itself beside how often the candidate disagrees with it.",
    )
    backends_that_may_promote: tuple[Backend, ...] = Field(
        default=("docker", "kubernetes"),
        description="Server back ends whose verdict may move `production`.",
    )
    promotion: Promotion = Field(
        default_factory=Promotion, description="Signature, age and approvals of a promote."
    )
    freeze: bool = Field(
        default=False, description="Blocks every candidate, save by a recorded override."
    )
    freeze_windows: tuple[FreezeWindow, ...] = Field(
        default=(), description="Days in which every candidate is blocked."
    )
    error_budget: ErrorBudget | None = Field(
        default=None, description="Blocks every candidate while production had too many incidents."
    )
    anchor: Anchor | None = Field(
        default=None, description="A pinned release to compare with as well as with production."
    )
    load: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Load profile → the fields that differ from the profile of that name, or all "
        "fields of one of the policy's own (`assay.load.named_profiles`).",
    )
    evaluators: dict[str, dict[str, Any]] = Field(
        min_length=1, description="Evaluator → its options; each evaluator named here must pass."
    )

    @property
    def digest(self) -> str:
        """Digest of the canonical form; comments and layout do not change it."""
        return digests.of_json(self.model_dump(mode="json"))

    def times_asked(self, role: Role) -> int:
        """How many times a model is asked each golden case; the noise floor takes two."""
        twice = self.noise_floor and role is Role.PRODUCTION
        return max(self.repeats, 2) if twice else self.repeats

    def frozen_on(self, day: date) -> str | None:
        """Returns why nothing may be released on a day, or None when it may."""
        if self.freeze:
            return "the policy freezes all releases"
        for window in self.freeze_windows:
            if window.start <= day <= window.until:
                return f"releases are frozen until {window.until}: {window.reason}"
        budget = self.error_budget
        if budget is not None and budget.spent_on(day) > budget.allowed:
            return (
                f"the error budget is spent: {counted(budget.spent_on(day), 'incident')} in the "
                f"{counted(budget.window_days, 'day')} until {day}, {budget.allowed} allowed"
            )
        return None


def load_policy(path: Path) -> Policy:
    """Reads and validates `policy.yaml`, but for the evaluators' own entries.

    Raises:
        ConfigError: names the file, the field, what was found and what was expected.
    """
    return read_yaml(path, Policy)
