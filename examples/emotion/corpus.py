"""Gathers the labelled rows that a build trains on, from the grammars or from files.

Decides which rows a version sees: the share it asks for, and the labels its recipe spoils on
purpose. How grammars become rows is left to `generate_training`.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from generate_training import Row, generate
from recipe import Recipe, Relabel

_FIELDS = ("id", "text", "label", "lang")


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The rows to train on for each share that a version asks for, and the held-out rows."""

    training: dict[float, list[dict[str, str]]]
    held_out: list[dict[str, str]]
    source: str

    @property
    def labels(self) -> list[str]:
        """All labels, in alphabetical order."""
        return sorted({row["label"] for row in self.held_out})

    def every_row(self) -> list[dict[str, str]]:
        """Return every different text that any version sees, each with an id of its own."""
        rows: dict[str, dict[str, str]] = {}
        for share, part in sorted(self.training.items(), reverse=True):
            for row in part:
                rows.setdefault(row["text"], row | {"id": f"{row['id']}@{share}"})
        return list(rows.values())


def _shares(recipe: Recipe) -> list[float]:
    return sorted({version.share for version in recipe.versions.values()} | {1.0})


def corpus_from_grammars(recipe: Recipe, grammar: Path) -> Corpus:
    """Expand the grammars for each share that the recipe's versions ask for."""

    def plain(rows: Sequence[Row]) -> list[dict[str, str]]:
        return [asdict(row) for row in rows]

    made = {share: generate(recipe, grammar, share) for share in _shares(recipe)}
    return Corpus(
        training={share: plain(rows) for share, (rows, _) in made.items()},
        held_out=plain(made[1.0][1]),
        source="hand-written grammars",
    )


def corpus_from_files(recipe: Recipe, folder: Path) -> Corpus:
    """Read labelled files; a share is that part of the rows, in an order fixed by the seed.

    Raises:
        ValueError: The folder lacks the files, or a row lacks a field.
    """
    rows, held_out = (_labelled_rows(folder, end) for end in ("train", "dev"))
    if unknown := {row["label"] for row in rows} - {row["label"] for row in held_out}:
        raise ValueError(
            f"{folder}: labels {sorted(unknown)} have no dev row; expected some of each"
        )
    random.Random(recipe.seed).shuffle(rows)
    return Corpus(
        training={share: rows[: round(len(rows) * share)] for share in _shares(recipe)},
        held_out=held_out,
        source="labelled files",
    )


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a JSONL file, or of all files of a folder."""
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    return [
        json.loads(line)
        for file in files
        for line in file.read_text("utf-8").split("\n")
        if line.strip()
    ]


def _labelled_rows(folder: Path, end: str) -> list[dict[str, str]]:
    files = sorted(folder.glob(f"*_{end}.jsonl"))
    if len(files) != 1:
        raise ValueError(f"{folder}: found {len(files)} files *_{end}.jsonl; expected exactly one")
    rows = read_rows(files[0])
    for number, row in enumerate(rows, 1):
        if missing := [field for field in _FIELDS if not row.get(field)]:
            raise ValueError(f"{files[0]}, row {number}: no {missing}; expected {_FIELDS}")
    return [{field: row[field] for field in _FIELDS} for row in rows]


def relabelled(
    rows: Sequence[dict[str, str]], rule: Relabel | None, seed: int
) -> list[dict[str, str]]:
    """Return `rows` with the rule's share of its label's rows given one of its other labels."""
    if rule is None:
        return list(rows)
    rng = random.Random(seed)
    return [
        row | {"label": rng.choice(rule.to)}
        if row["label"] == rule.label and rng.random() < rule.share
        else row
        for row in rows
    ]
