"""What counts as healthy: the thresholds of `assay golden check`, with defaults.

Decides the form of `golden_data/health.yaml`; a field that is left out has its default. They are
written down before the set is looked at, as the policy's are.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from assay.documents import Document, read_yaml

Aspect = Literal["labels", "lengths", "languages", "words"]


class HealthRules(Document):
    """The whole of `golden_data/health.yaml`."""

    schema_version: Literal[1] = 1
    largest_imbalance: float = Field(
        default=3.0, ge=1.0, description="Most over fewest cases of a label among the core cases."
    )
    least_core_share: float = Field(
        default=0.5, ge=0.0, le=1.0, description="Share of the cases that are a random sample."
    )
    most_near_duplicates: float = Field(
        default=0.01, ge=0.0, le=1.0, description="Share of the cases that repeat another one."
    )
    least_agreement: float = Field(
        default=0.667,
        ge=-1.0,
        le=1.0,
        description="Krippendorff's alpha below which labels support no conclusion (his own "
        "recommendation, Content Analysis, ch. 12).",
    )
    most_days: int = Field(
        default=365, ge=1, description="Days after which a set without additions is old."
    )
    most_uses: int = Field(
        default=100, ge=1, description="Gates after which one version of the set is spent."
    )
    models: int = Field(
        default=3, ge=2, description="Models whose answers it takes to speak of all models."
    )
    most_never_right: float = Field(
        default=0.05, ge=0.0, le=1.0, description="Share of cases that every model gets wrong."
    )
    most_always_right: float = Field(
        default=0.95, ge=0.0, le=1.0, description="Share of cases that every model gets right."
    )
    alpha: float = Field(
        default=0.05,
        gt=0.0,
        lt=0.5,
        description="Chance of calling any aspect drifted where none is (Holm over the aspects).",
    )
    sampled: int = Field(
        default=2000,
        ge=100,
        le=20_000,
        description="Rows drawn from the set and from traffic for the tests of drift, at most: it "
        "bounds how small a shift is found.",
    )
    least_traffic: int = Field(
        default=200, ge=20, description="Rows of traffic below which drift stays undecided."
    )
    follows_traffic: tuple[Aspect, ...] = Field(
        default=("lengths", "languages", "words"),
        description="Aspects in which the core is meant to look like traffic, and so decide. "
        "Labels only inform by default: a set that is balanced by class differs on purpose.",
    )
    least_share: float = Field(
        default=0.01,
        gt=0.0,
        lt=1.0,
        description="Share of traffic from which a label or language must have golden cases.",
    )


def load_rules(path: Path | None) -> HealthRules:
    """Reads the rules; the defaults where no file is named.

    Raises:
        ConfigError: the file is missing or is not what it must be.
    """
    return HealthRules() if path is None else read_yaml(path, HealthRules)
