"""The document that a load test leaves behind: what was asked, what came, what it means.

Decides its form (`docs/schemas/load_report.schema.json`); leaves the figures to `summary` and the
judgement to `objectives`.
"""

from typing import Any, Literal

from pydantic import Field

from assay.documents import Document
from assay.load.objectives import LoadVerdict
from assay.load.profile import LoadProfile
from assay.load.search import SearchResult
from assay.load.summary import LoadSummary


class LoadReport(Document):
    """One finished load test, or what there is of one that was interrupted."""

    schema_version: Literal[1] = Field(default=1, description="Version of this document's form.")
    run_id: str = Field(description="Begins the id of every request.")
    started_at: str = Field(description="ISO 8601, UTC; no time is measured by this clock.")
    server: str = Field(description="Where the model answered.")
    model: str = Field(description="Its name.")
    prompts: int = Field(ge=1, description="Different prompts; asked in turn, over and over.")
    profile: LoadProfile = Field(description="What was asked; of a search, its last run.")
    summary: LoadSummary = Field(description="What came; of a search, of its last run.")
    verdict: LoadVerdict = Field(description="What it means.")
    search: SearchResult | None = Field(
        default=None, description="The steps towards the highest rate, where that was asked for."
    )

    def as_json(self) -> dict[str, Any]:
        """Returns the document as JSON values."""
        return self.model_dump(mode="json")
