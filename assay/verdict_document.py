"""The shape of `verdict.json`, and reading one back.

Decides what a stored verdict must hold to be believed at all; leaves what it says to `verdict`.
"""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from assay.documents import Document, validate
from assay.records import (
    ArtifactRef,
    EngineIdentity,
    Finding,
    FindingStatus,
    Problem,
    RunContext,
    Verdict,
    VerdictKind,
)

FindingKind = Literal[
    "non_inferiority",
    "floor",
    "limit",
    "ratio",
    "rate",
    "self_test",
    "noise_floor",
    "information",
]


class FindingDocument(Document):
    """One check of one quantity."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    evaluator: str = Field(description="Name of the evaluator, its key in the policy.")
    metric: str = Field(description="Metric key, `<evaluator>/<name>`.")
    kind: FindingKind = Field(description="What kind of question was asked.")
    status: FindingStatus = Field(description="Shown to hold, shown to be broken, or neither.")
    reason: str = Field(description="One English sentence.")
    label: str | None = Field(alias="class", description="The class it is about.")
    slice: str | None = Field(description="The slice of cases it is about.")
    candidate: float | None = Field(description="The candidate's value, in `unit`.")
    production: float | None = Field(description="Production's value, in `unit`.")
    difference: float | None = Field(
        description="Candidate minus production; candidate over production for kind `ratio`."
    )
    interval: tuple[float, float] | None = Field(
        description="Of the difference; of the candidate's value where there is no difference."
    )
    bound: float | None = Field(description="The confidence bound that decided.")
    margin: float | None = Field(description="What the bound was held against.")
    p: float | None = Field(gt=0, le=1, description="The p-value behind the status.")
    n: int | None = Field(ge=0, description="Cases that inform the check.")
    gating: bool = Field(description="False where the finding only informs.")
    unit: str = Field(description="Unit of the values.")
    needed: int | None = Field(ge=0, description="More cases that would settle it.")
    sample: str = Field(default="case", description="What `n` and `needed` count.")


class ArtifactDocument(Document):
    """One immutable version in the trusted store."""

    model: str
    version: str
    digest: str


class EngineDocument(Document):
    """The engine that answered."""

    backend: str
    profile: str
    engine: str
    version: str
    image: str
    arguments: tuple[str, ...]
    hardware: str


class ProblemDocument(Document):
    """Something that kept the gate from measuring."""

    where: str
    reason: str
    action: str


class ContextDocument(Document):
    """What the verdict states about its run but does not compute."""

    run_id: str
    who: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    candidate: ArtifactDocument | None = None
    production: ArtifactDocument | None = None
    digests: dict[str, str] = Field(default_factory=dict)
    engine: EngineDocument | None = None
    production_engine: EngineDocument | None = Field(
        default=None, description="Production's, where the verdict is about engine settings."
    )
    tools: dict[str, str] = Field(default_factory=dict)
    problems: tuple[ProblemDocument, ...] = ()
    notes: tuple[str, ...] = ()

    def to_record(self) -> RunContext:
        """Returns the context as a record."""
        apart = {"candidate", "production", "engine", "production_engine", "problems"}
        plain = self.model_dump(exclude=apart)
        return RunContext(
            **plain,
            candidate=ArtifactRef(**self.candidate.model_dump()) if self.candidate else None,
            production=ArtifactRef(**self.production.model_dump()) if self.production else None,
            engine=_engine(self.engine),
            production_engine=_engine(self.production_engine),
            problems=tuple(Problem(**problem.model_dump()) for problem in self.problems),
        )


def _engine(document: EngineDocument | None) -> EngineIdentity | None:
    return None if document is None else EngineIdentity(**document.model_dump())


class VerdictDocument(Document):
    """The whole of `verdict.json`."""

    schema_version: Literal[1]
    verdict: VerdictKind = Field(description="promote, block, inconclusive or invalid.")
    summary: str = Field(description="The verdict in a sentence or two.")
    findings: tuple[FindingDocument, ...]
    next_steps: tuple[str, ...] = Field(description="What a release manager can do now.")
    inputs: dict[str, str] = Field(description="Digests of everything the verdict depends on.")
    metrics: dict[str, dict[str, float]] = Field(
        description="candidate and production → metric key → value; not measured is absent."
    )
    seed: str = Field(pattern="^[0-9a-f]{16}$", description="Seed of every resampling.")
    only: tuple[str, ...] = Field(
        description="The evaluators judged, where not all of the policy's were; such a verdict "
        "may not move an alias."
    )
    context: ContextDocument


def verdict_from_json(value: Any, where: str = "verdict.json") -> Verdict:
    """Reads a stored verdict.

    Args:
        value: the parsed JSON.
        where: file name for the error message.

    Raises:
        ConfigError: names the field, what was found and what was expected.
    """
    document = validate(value, VerdictDocument, where)
    return Verdict(
        verdict=document.verdict,
        summary=document.summary,
        findings=tuple(Finding(**finding.model_dump()) for finding in document.findings),
        next_steps=document.next_steps,
        inputs=document.inputs,
        metrics=document.metrics,
        seed=int(document.seed, 16),
        only=document.only,
        context=document.context.to_record(),
        schema_version=document.schema_version,
    )
