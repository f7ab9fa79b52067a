"""Expand the grammars into training text: deterministic, seeded, one JSONL row a text.

    python examples/emotion/generate_training.py --out DIR

Decides which texts a model learns from. A grammar (`grammar/LANGUAGE.yaml`) is hand-written and
holds, per label, whole `statements`, and parts that combine: `situations`, `feelings`, `openers`,
`emoji`, `words`. Rows of four kinds come out: a statement as it is; damaged copies of it;
combinations of parts in one of the language's `frames`; rows of a label's words. A share of the
statements is held out, with all that derives from them, to measure on. Damage itself is in `noise`;
nothing here knows of a model.
"""

import argparse
import json
import random
import string
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import noise
from recipe import Grammar, Recipe, TrainingText, load_grammars, load_recipe

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One training text. The id says where it came from: language, label, kind, number, variant."""

    id: str
    text: str
    label: str
    lang: str


def expand(
    grammar: Grammar, settings: TrainingText, seed: int, share: float = 1.0
) -> tuple[list[Row], list[Row]]:
    """Expand one language's grammar.

    Args:
        grammar: The language's parts.
        settings: How many rows of each kind.
        seed: Same seed, same rows.
        share: Part of each list of statements and parts that is used at all; a smaller share is
            contained in a larger one, and the held-out statements are the same for every share.

    Returns:
        The rows to train on, and the held-out statements, undamaged.
    """
    training: list[Row] = []
    held_out: list[Row] = []
    for label, parts in grammar.labels.items():
        # A generator of its own for each label: a new phrase in one leaves the others' rows alone.
        rng = random.Random(f"{seed}/{grammar.language}/{label}")
        name = f"{grammar.language}-{label}"
        statements = _shuffled(parts.statements, rng)
        cut = round(len(statements) * settings.holdout_share)
        for number, text in statements[:cut]:
            held_out.append(_row(f"{name}-s{number:04d}", text, label, grammar))
        kept = _first(statements[cut:], share)
        lists = {
            "situation": [text for _, text in _first(_shuffled(parts.situations, rng), share)],
            "feeling": [text for _, text in _first(_shuffled(parts.feelings, rng), share)],
            "opener": parts.openers,
            "emoji": parts.emoji,
            "word": [text for _, text in _first(_shuffled(parts.words, rng), share)],
        }
        for number, text in kept:
            training.append(_row(f"{name}-s{number:04d}", text, label, grammar))
            for variant in range(settings.variants_per_statement):
                damaged = _damage(text, lists, grammar.language, rng)
                training.append(_row(f"{name}-s{number:04d}-v{variant}", damaged, label, grammar))
        texts = _combinations(grammar.frames, lists, rng)
        for number in range(settings.combinations_per_label):
            text = next(texts)
            if rng.random() < settings.damaged_share:
                text = _damage(text, lists, grammar.language, rng)
            training.append(_row(f"{name}-c{number:04d}", text, label, grammar))
        for number in range(settings.word_rows_per_label if lists["word"] else 0):
            words = rng.sample(lists["word"], min(len(lists["word"]), rng.randint(1, 4)))
            training.append(_row(f"{name}-w{number:04d}", " ".join(words), label, grammar))
    return _unique(training), held_out


def _row(key: str, text: str, label: str, grammar: Grammar) -> Row:
    return Row(id=key, text=" ".join(text.split()), label=label, lang=grammar.language)


def _shuffled(texts: Sequence[str], rng: random.Random) -> list[tuple[int, str]]:
    """Return `texts` with their places in the grammar, in random order."""
    numbered = list(enumerate(texts))
    rng.shuffle(numbered)
    return numbered


def _first(items: list[tuple[int, str]], share: float) -> list[tuple[int, str]]:
    return items[: max(1, round(len(items) * share))] if items else []


def _combinations(
    frames: Sequence[str], lists: dict[str, list[str]], rng: random.Random
) -> Iterator[str]:
    """Yield endless combinations of parts, in frames that the label has the parts for."""
    usable = [frame for frame in frames if all(lists[slot] for slot in slots(frame))]
    while True:
        frame = rng.choice(usable)
        yield frame.format(**{slot: rng.choice(lists[slot]) for slot in slots(frame)})


def slots(frame: str) -> list[str]:
    """Return the names in braces of `frame`: `"{opener} {feeling}"` has opener and feeling."""
    return [name for _, name, _, _ in string.Formatter().parse(frame) if name]


def _damage(text: str, lists: dict[str, list[str]], language: str, rng: random.Random) -> str:
    """Return `text` with one to three kinds of damage or decoration."""

    def opened(text: str, rng: random.Random) -> str:
        return f"{rng.choice(lists['opener'])} {text}" if lists["opener"] else text

    def with_emoji(text: str, rng: random.Random) -> str:
        return (
            f"{text} {rng.choice(lists['emoji']) * rng.randint(1, 2)}" if lists["emoji"] else text
        )

    def bare(text: str, rng: random.Random) -> str:
        return noise.without_diacritics(text)

    kinds: list[Callable[[str, random.Random], str]] = [
        noise.slip, noise.slip, noise.stretched, noise.unpunctuated, noise.shouted, noise.shortened,
        noise.reordered, opened, opened, with_emoji,
    ]  # fmt: skip
    if language == "vi":
        # Typing without diacritics is the most frequent damage of all.
        kinds += [bare] * 5
    for kind in rng.sample(kinds, rng.randint(1, 3)):
        text = kind(text, rng)
    return text


def _unique(rows: list[Row]) -> list[Row]:
    """Drop rows whose text stands earlier already; the first label wins."""
    seen: set[str] = set()
    result = []
    for row in rows:
        if row.text not in seen:
            seen.add(row.text)
            result.append(row)
    return result


def generate(recipe: Recipe, folder: Path, share: float = 1.0) -> tuple[list[Row], list[Row]]:
    """Expand the grammars of all the recipe's languages found in `folder`."""
    if recipe.training_text is None:
        raise ValueError("the recipe has no `training_text`; it is meant for `build.py --data`")
    training: list[Row] = []
    held_out: list[Row] = []
    for grammar in load_grammars(folder, recipe.languages):
        rows, kept_back = expand(grammar, recipe.training_text, recipe.seed, share)
        training += rows
        held_out += kept_back
    known = {row.text for row in held_out}
    return [row for row in training if row.text not in known], held_out


def write_rows(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Write `rows` as JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Write train.jsonl and dev.jsonl into the folder named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--out", required=True, type=Path, help="folder for train.jsonl and dev.jsonl"
    )
    parser.add_argument("--grammar", type=Path, default=HERE / "grammar")
    parser.add_argument("--recipe", type=Path, default=HERE / "recipe.yaml")
    arguments = parser.parse_args(argv)
    training, held_out = generate(load_recipe(arguments.recipe), arguments.grammar)
    write_rows(arguments.out / "train.jsonl", map(asdict, training))
    write_rows(arguments.out / "dev.jsonl", map(asdict, held_out))
    print(f"{arguments.out}: {len(training)} rows to train on, {len(held_out)} held out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
