"""`manifest.json` of an export: what people are asked about, why, and what was left out.

Decides its shape; holds counts and digests, never a text.
"""

from typing import Annotated, Literal

from pydantic import Field

from assay.documents import Document

Count = Annotated[int, Field(ge=0)]
Counts = dict[str, Count]
Digest = Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]


class OrderRow(Document):
    """One class or slice of which an inconclusive verdict asks for more cases."""

    label: str | None = Field(description="The class; null: of any class.")
    slice: str | None = Field(default=None, description="The slice; null: of any.")
    wanted_by: tuple[str, ...] = Field(default=(), description="Metrics that ask for it.")
    needed: Count = Field(description="Such cases that would settle the verdict.")
    precision: float | None = Field(
        description="Share of production's answers of this class that are right on the golden set."
    )
    asked: Count = Field(description="Texts to queue for that, at this precision.")
    queued: Count = Field(description="Texts in this export.")
    random_needed: Count | None = Field(
        default=None,
        description="Texts to draw at random, to have what is needed in the core; null: unknown.",
    )


class ReviewManifest(Document):
    """The whole of `manifest.json`."""

    schema_version: Literal[1] = 1
    export_id: str
    created_at: str = Field(description="ISO 8601, UTC.")
    who: str
    seed: str = Field(pattern="^[0-9a-f]{16}$", description="Of every draw.")
    task: str
    question: str = Field(description="Name of the control that people answer.")
    labels: tuple[str, ...]
    budget: Count
    texts: Count = Field(description="Texts in this export, honeypots included.")
    selected: Counts = Field(description="By the reason that a text was drawn for.")
    signals: Counts = Field(description="Signals raised about the texts, whatever drew them.")
    offered: Counts = Field(description="What there was to choose from.")
    left_out: Counts = Field(description="Drawn, but not asked about, by reason.")
    rejected: Count = Field(description="Lines of the inputs that could not be used.")
    work_orders: tuple[OrderRow, ...]
    inputs: dict[str, Digest]
    files: dict[str, Digest]
    notes: tuple[str, ...] = Field(description="What the reader should know; decides nothing.")
