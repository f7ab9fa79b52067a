"""`review.yaml`: how much people are asked to look at, and of what.

Decides which settings there are and their defaults; leaves drawing to `selection`.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from assay.documents import Document, Identifier, read_yaml

RANDOM = "random"
WORK_ORDER = "work_order"
HONEYPOT = "honeypot"
SUSPECTED_LABEL = "suspected_label"
DISAGREEMENT = "disagreement"
LOW_CONFIDENCE = "low_confidence"
RESERVED = frozenset({RANDOM, WORK_ORDER, HONEYPOT})
"""Reasons that are no signal: nothing that comes in may claim them."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(gt=0.0, le=1000.0)]


class LabelStudio(Document):
    """Where tasks are pushed. The token comes from the environment, never from a file."""

    url: str = Field(pattern=r"^https?://[^\s/@]+(/[^\s@]*)?$")
    project: Identifier | None = None


class ReviewPolicy(Document):
    """The whole of `review.yaml`.

    `budget` counts every text of one export, honeypots included. `signals` maps each signal that
    production or a gate may raise to its weight in what the random share, the honeypots and the
    work orders leave of the budget. `blind` lists the reasons whose texts are shown without the
    model's label: an answer that was seen is more easily given, and a honeypot that shows it
    measures nobody. `question` None takes the task's name. A request whose confidence is below
    `low_confidence_below` counts as `low_confidence` without saying so.
    """

    schema_version: Literal[1] = 1
    budget: int = Field(default=200, ge=1, le=100_000)
    random_share: Share = 0.2
    honeypot_share: Share = 0.1
    signals: dict[Identifier, Weight] = Field(
        default={
            "thumbs_down": 3.0,
            "toxicity_filter": 2.0,
            DISAGREEMENT: 2.0,
            SUSPECTED_LABEL: 2.0,
            LOW_CONFIDENCE: 1.0,
        },
        min_length=1,
    )
    low_confidence_below: Share | None = None
    blind: tuple[Identifier, ...] = (RANDOM, HONEYPOT)
    labels_per_text: int = Field(default=3, ge=1, le=20)
    longest: int = Field(default=4000, ge=1)
    max_masked_share: Share = 0.4
    near_duplicate: float = Field(default=90.0, gt=0.0, le=100.0)
    question: Identifier | None = None
    label_studio: LabelStudio | None = None

    @field_validator("signals")
    @classmethod
    def _no_reserved_name(cls, signals: dict[str, float]) -> dict[str, float]:
        taken = sorted(RESERVED & signals.keys())
        if taken:
            raise ValueError(f"{', '.join(map(repr, taken))}: reserved, and no signal")
        return signals

    @model_validator(mode="after")
    def _shares_leave_room(self) -> Self:
        if self.random_share + self.honeypot_share > 1.0:
            raise ValueError("random_share and honeypot_share are more than the whole budget")
        if self.low_confidence_below is not None and LOW_CONFIDENCE not in self.signals:
            raise ValueError(f"low_confidence_below goes with the signal {LOW_CONFIDENCE!r}")
        return self


def load_review_policy(path: Path) -> ReviewPolicy:
    """Reads `review.yaml`.

    Raises:
        ConfigError: names the file, the field, what was found and what was expected.
    """
    return read_yaml(path, ReviewPolicy)
