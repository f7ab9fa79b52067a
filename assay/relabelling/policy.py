"""`relabel.yaml`: what people's answers must satisfy before they change the golden set.

Decides which rules there are and their defaults; leaves applying them to the modules named after
what they decide.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from assay.documents import Document, Identifier, read_yaml

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]


class Fields(Document):
    """What the fields are called in a task's data. Of the names of an id, the first present."""

    id: tuple[str, ...] = Field(default=("case_id", "id", "request_id"), min_length=1)
    text: str = "text"
    lang: str = "lang"
    source: str = "source"
    selection: str = "selection"
    honeypot: str = "honeypot"


class AnnotatorRules(Document):
    """Whose answers count.

    `minimum_lead_time_s` is the floor below which an answer was not read; one without a lead time
    is not held against it. An annotator with at least `honeypots` honeypots and an accuracy below
    `honeypot_accuracy` is out. From `cap_from` answers on, one with more than `max_share` of them
    is out until others have caught up: no single person makes the golden set.
    """

    minimum_lead_time_s: float = Field(default=1.0, ge=0.0)
    honeypots: Count = 5
    honeypot_accuracy: Share = 0.7
    max_share: Share = 0.5
    cap_from: Count = 30


class Consensus(Document):
    """When people agree: so many independent labels, and this share of them for one label."""

    labels: Count = 3
    majority: Annotated[float, Field(gt=0.5, le=1.0)] = 2 / 3
    adjudicators: tuple[str, ...] = ()


class TextRules(Document):
    """What a text must be. A longer one, or one that loses more to redaction, is not stored."""

    longest: Count = 4000
    max_masked_share: Share = 0.4
    near_duplicate: float = Field(default=90.0, gt=0.0, le=100.0)
    sketch_similarity: Share = 0.6


class Quotas(Document):
    """How many cases from people's answers the set may hold: of one label, from one source."""

    per_label: Count | None = None
    per_source: Count | None = None


class RelabelPolicy(Document):
    """The whole of `relabel.yaml`.

    `question` is the name of the label control (`from_name` in Label Studio, the question in
    Argilla); None takes the task's name. `core_selection` lists the ways of choosing a case that
    leave the core unbiased. `default_lang` is for exports that do not say the language; None
    rejects them.
    """

    schema_version: Literal[1] = 1
    question: Identifier | None = None
    fields: Fields = Fields()
    default_lang: Annotated[str, Field(min_length=2, max_length=35)] | None = None
    default_source: Identifier = "review"
    core_selection: tuple[str, ...] = ("random",)
    annotators: AnnotatorRules = AnnotatorRules()
    consensus: Consensus = Consensus()
    texts: TextRules = TextRules()
    quotas: Quotas = Quotas()


def load_relabel_policy(path: Path) -> RelabelPolicy:
    """Reads `relabel.yaml`.

    Raises:
        ConfigError: names the file, the field, what was found and what was expected.
    """
    return read_yaml(path, RelabelPolicy)
