"""What this project's golden set claims to be: `golden_data/set.yaml`.

Decides which claims can be made about the sources; leaves turning them into expectations to
`flows.golden_expectations`.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from assay.documents import Document, read_yaml
from assay.golden_frozen import SEMANTIC_VERSION

Count = Annotated[int, Field(ge=1)]
Length = tuple[Count, Count]


class CaseClaims(Document):
    """What is claimed about the cases."""

    minimum: Count
    minimum_per_label_and_language: Count
    largest_imbalance: float = Field(ge=1.0)
    text_length: Length
    sources: tuple[str, ...] = Field(min_length=1)
    slices: tuple[str, ...] = Field(min_length=1)


class ProbeClaims(Document):
    """What is claimed about the probes."""

    minimum: Count
    minimum_per_kind_and_language: Count
    text_length: Length
    kinds: tuple[str, ...] = Field(min_length=1)


class ScorerCheckClaims(Document):
    """What is claimed about the scorer checks."""

    minimum: Count
    minimum_per_answer_and_language: Count
    text_length: Length


class SetClaims(Document):
    """The whole of `golden_data/set.yaml`."""

    schema_version: Literal[1]
    version: str = Field(pattern=SEMANTIC_VERSION)
    languages: tuple[str, ...] = Field(min_length=1)
    near_duplicate: float = Field(gt=0.0, le=100.0)
    cases: CaseClaims
    probes: ProbeClaims
    scorer_checks: ScorerCheckClaims


def load_claims(path: Path) -> SetClaims:
    """Reads `set.yaml`.

    Raises:
        ConfigError: names the file, the field, what was found and what was expected.
    """
    return read_yaml(path, SetClaims)
