"""Prove that the training text and the golden cases have nothing in common.

    .venv/bin/python examples/emotion/overlap.py --training TRAIN.jsonl --golden golden_data/cases

Runs in the gate's environment. Three sieves, from cheap to dear: the same text after normalisation; texts that
share most of their four-letter runs (MinHash, locality-sensitive hashing); and of those, the pairs that
are nearly the same string (rapidfuzz, 90 of 100). Texts under 15 characters are compared by the first sieve
alone, because short texts look alike by chance. Pairs are named by id: no text is printed.
Exit code 0: nothing in common; 1: pairs found; 2: the files cannot be read.
"""

import argparse
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasketch import MinHash, MinHashLSH
from rapidfuzz import fuzz

PERMUTATIONS = 128
JACCARD = 0.5
SIMILARITY = 90.0
RUN = 4
SHORTEST = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A training text and a golden case that are the same, or nearly."""

    training_id: str
    golden_id: str
    similarity: float


def normalised(text: str) -> str:
    """Return `text` without what does not count: compatibility forms, case, signs, double spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[\W_]+", " ", folded).split())


def _sketch(text: str) -> MinHash:
    sketch = MinHash(num_perm=PERMUTATIONS)
    sketch.update_batch([text[i : i + RUN].encode() for i in range(max(1, len(text) - RUN + 1))])
    return sketch


def find_overlaps(training: Mapping[str, str], golden: Mapping[str, str]) -> list[Pair]:
    """Compare every training text with every golden case (both id -> text).

    Returns:
        The pairs found, by golden id, the most similar first.
    """
    cases = {key: normalised(text) for key, text in golden.items()}
    exact: dict[str, list[str]] = {}
    index = MinHashLSH(threshold=JACCARD, num_perm=PERMUTATIONS)
    for key, text in cases.items():
        exact.setdefault(text, []).append(key)
        # A case of signs alone (one emoji) has no letters to compare.
        if len(text) >= SHORTEST:
            index.insert(key, _sketch(text))
    pairs = []
    for key, raw in training.items():
        text = normalised(raw)
        same = exact.get(text, []) if text else []
        pairs += [Pair(training_id=key, golden_id=other, similarity=100.0) for other in same]
        if len(text) < SHORTEST:
            continue
        for other in sorted(set(index.query(_sketch(text))) - set(same)):
            score = max(fuzz.ratio(text, cases[other]), fuzz.token_sort_ratio(text, cases[other]))
            if score >= SIMILARITY:
                pairs.append(Pair(training_id=key, golden_id=other, similarity=score))
    return sorted(pairs, key=lambda p: (p.golden_id, -p.similarity, p.training_id))


def _files(path: Path) -> Iterable[Path]:
    found = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not found:
        raise FileNotFoundError(f"{path}: no *.jsonl file here")
    return found


def read_texts(path: Path) -> dict[str, str]:
    """Read id -> text from a JSONL file, or from all of a folder's.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line is no JSON object with a text and an id of its own.
    """

    def lines() -> Iterator[tuple[Path, int, str]]:
        for file in _files(path):
            for number, line in enumerate(file.read_text("utf-8").split("\n"), 1):
                if line.strip():
                    yield file, number, line

    texts: dict[str, str] = {}
    for file, number, line in lines():
        try:
            row = json.loads(line)
            key, text = str(row["id"]), str(row["text"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file}:{number}: {error!r}; expected an object with id and text") from error
        if key in texts:
            raise ValueError(f"{file}:{number}: id {key!r} stands here twice; give each row its own")
        texts[key] = text
    if not texts:
        raise ValueError(f"{path}: no rows; nothing was compared")
    return texts


def main(argv: Sequence[str] | None = None) -> int:
    """Compare the two sets named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--training", required=True, type=Path, help="JSONL file or folder")
    parser.add_argument("--golden", required=True, type=Path, help="JSONL file or folder")
    arguments = parser.parse_args(argv)
    try:
        training, golden = read_texts(arguments.training), read_texts(arguments.golden)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    pairs = find_overlaps(training, golden)
    for pair in pairs:
        print(f"{pair.golden_id}\t{pair.training_id}\t{pair.similarity:.0f}")
    shared = len({pair.golden_id for pair in pairs})
    print(
        f"{len(training)} training texts against {len(golden)} golden cases: "
        + (f"{shared} cases have a twin; change the training text" if pairs else "nothing in common"),
        file=sys.stderr,
    )
    return 1 if pairs else 0


if __name__ == "__main__":
    sys.exit(main())
