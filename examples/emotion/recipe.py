"""What a build reads: the recipe and the grammars, validated.

Decides what a recipe may say; what is done with it is left to `generate_training`, `train` and
`build`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]


class Document(BaseModel):
    """Base of what comes in from a file: immutable, and unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainingText(Document):
    """How many rows of each kind are made of a grammar."""

    holdout_share: Share
    variants_per_statement: Count
    combinations_per_label: Count
    word_rows_per_label: Count
    damaged_share: Share


class TokenizerSettings(Document):
    """Size of the vocabulary, and how often a pair must be seen to be merged."""

    vocab_size: Positive
    min_frequency: Positive


class Architecture(Document):
    """The Qwen2 to train; every input of a quantised layer is a multiple of AWQ's group."""

    hidden_size: Annotated[int, Field(gt=0, multiple_of=128)]
    intermediate_size: Annotated[int, Field(gt=0, multiple_of=128)]
    num_hidden_layers: Positive
    num_attention_heads: Positive
    num_key_value_heads: Positive
    max_position_embeddings: Positive


class Schedule(Document):
    """How one version is trained."""

    steps: Positive
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    dropout: Share
    token_dropout: Share
    label_smoothing: Share
    average_decay: Share


class Relabel(Document):
    """A deliberate mistake: a share of one label's rows is given other labels."""

    label: str
    to: Annotated[list[str], Field(min_length=1)]
    share: Share


class Version(Document):
    """One version of the model: trained anew, trained on, or the copy of another."""

    description: str
    starts_from: str | None = None
    copy_of: str | None = None
    share: Share = 1.0
    relabel: Relabel | None = None
    schedule: Schedule | None = None

    @model_validator(mode="after")
    def _copied_or_trained(self) -> Self:
        if (self.copy_of is None) == (self.schedule is None):
            raise ValueError("give a version either `copy_of` or a `schedule`")
        return self


class Recipe(Document):
    """Everything a build depends on besides the text."""

    model_name: str
    seed: int
    source_date_epoch: Count
    licence: str
    languages: Annotated[list[str], Field(min_length=1)]
    training_text: TrainingText | None = None
    tokenizer: TokenizerSettings
    architecture: Architecture
    versions: dict[str, Version]

    @model_validator(mode="after")
    def _built_in_order(self) -> Self:
        built: set[str] = set()
        for name, version in self.versions.items():
            for earlier in (version.starts_from, version.copy_of):
                if earlier is not None and earlier not in built:
                    raise ValueError(f"version {name} needs {earlier!r}; list that one before it")
            built.add(name)
        return self

    def families(self, names: Iterable[str]) -> list[list[str]]:
        """Group `names` so that no version needs one of another group."""
        found: dict[str, list[str]] = {}
        for name in names:
            root = name
            while earlier := self.versions[root].starts_from or self.versions[root].copy_of:
                root = earlier
            found.setdefault(root, []).append(name)
        return list(found.values())


class Parts(Document):
    """One label's phrases in one language."""

    statements: Annotated[list[str], Field(min_length=1)]
    situations: list[str] = []
    feelings: list[str] = []
    openers: list[str] = []
    emoji: list[str] = []
    words: list[str] = []


class Grammar(Document):
    """One language's phrases; `frames` have the parts' names in braces."""

    language: str
    frames: Annotated[list[str], Field(min_length=1)]
    labels: dict[str, Parts]


D = TypeVar("D", bound=Document)


def _read(path: Path, document: type[D]) -> D:
    try:
        return document.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise ValueError(f"{path}: {error}; correct the file") from error


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ValueError: The file is not a recipe; says where.
    """
    return _read(path, Recipe)


def load_grammars(folder: Path, languages: list[str]) -> list[Grammar]:
    """Read the grammars of `languages`, in that order.

    Raises:
        ValueError: A file is no grammar, or the grammars do not have the same labels.
    """
    grammars = [_read(folder / f"{language}.yaml", Grammar) for language in languages]
    expected = set(grammars[0].labels)
    for grammar in grammars:
        if set(grammar.labels) != expected:
            raise ValueError(
                f"{folder}/{grammar.language}.yaml: labels {sorted(grammar.labels)}; "
                f"expected {sorted(expected)} as in {grammars[0].language}.yaml"
            )
    return grammars
