"""A finished search as one JSON document: what was tried, what came, what is recommended.

Decides its form (`docs/schemas/tuning.schema.json`). What was not measured is null.
"""

from dataclasses import asdict
from typing import Any, Literal

from pydantic import Field

from assay.documents import Document
from assay.records import ArtifactRef
from assay.tuning.recommendation import Recommendation, pareto
from assay.tuning.space import Value
from assay.tuning.trials import TrialRecord, TrialState


class MeasuredDocument(Document):
    """What a ramp showed."""

    goodput_per_s: float = Field(description="Highest rate that met every objective.")
    missed_per_s: float | None = Field(description="Lowest higher rate that did not; null: none.")
    ttft_p99_ms: float | None = Field(description="At the lowest rate, the same in every trial.")
    output_tokens_per_s: float | None = Field(description="At the highest rate met.")
    cost_per_million_tokens: float | None = Field(description="In the currency of the price.")


class TrialDocument(Document):
    """One trial."""

    number: int = Field(ge=0, description="From 0, in the order in which they were begun.")
    point: dict[str, Value] = Field(description="Setting → value; absent: the engine's own.")
    state: TrialState = Field(description="How it ended.")
    measured: MeasuredDocument | None = Field(description="Null where it was not measured.")
    reason: str = Field(description="Why it was not measured, else empty.")
    log_tail: str = Field(description="The engine's last lines, where it refused the settings.")
    seconds: float = Field(ge=0, description="How long it took, engine start included.")
    on_front: bool = Field(description="Whether no other beats it in goodput and first word.")


class GainDocument(Document):
    """How many times the present goodput the recommended settings reach."""

    ratio: float
    lower: float = Field(description="One-sided bound.")
    upper: float | None = Field(description="One-sided bound; null: not bounded by what was run.")
    pairs: int = Field(ge=2, description="Fresh measurements of each, in turn.")


class TuningReport(Document):
    """One finished search."""

    schema_version: Literal[1] = Field(default=1, description="Version of this document's form.")
    study: str = Field(description="Digest of what determines the trials, cut short.")
    model: str
    version: str
    artifact_digest: str
    present: int = Field(ge=0, description="The trial of the settings as they are.")
    recommended: int | None = Field(description="The trial to change to; null: keep.")
    reason: str = Field(description="The recommendation in one sentence.")
    gain: GainDocument | None = Field(description="Null where there was nothing to compare.")
    diff: str = Field(description="Change of serving.yaml; empty: none.")
    trials: tuple[TrialDocument, ...]


def report(
    *,
    study: str,
    ref: ArtifactRef,
    trials: tuple[TrialRecord, ...],
    present: int,
    recommendation: Recommendation,
    diff: str,
    price_per_hour: float | None,
) -> dict[str, Any]:
    """Returns the document as JSON values."""
    found, front = recommendation.gain, set(pareto(trials))
    gain = None
    if found is not None:
        upper = None if found.upper == float("inf") else found.upper
        gain = GainDocument(ratio=found.ratio, lower=found.lower, upper=upper, pairs=found.pairs)
    document = TuningReport(
        study=study,
        model=ref.model,
        version=ref.version,
        artifact_digest=ref.digest,
        present=present,
        recommended=recommendation.number,
        reason=recommendation.reason,
        gain=gain,
        diff=diff,
        trials=tuple(_trial(one, price_per_hour, on_front=one.number in front) for one in trials),
    )
    return document.model_dump(mode="json")


def _trial(trial: TrialRecord, price_per_hour: float | None, *, on_front: bool) -> TrialDocument:
    measured = None
    if trial.result is not None:
        cost = trial.result.cost_per_million_tokens(price_per_hour)
        measured = MeasuredDocument(**asdict(trial.result), cost_per_million_tokens=cost)
    return TrialDocument(
        number=trial.number,
        point=dict(trial.point),
        state=trial.state,
        measured=measured,
        reason=trial.reason,
        log_tail=trial.log_tail,
        seconds=round(trial.seconds, 3),
        on_front=on_front,
    )
