"""Finds texts that say the same thing twice: within one set, or between two.

Decides when two texts count as one; leaves what to do about it (drop, refuse, tell) to the caller.
A duplicate inside a golden set is one case that is counted twice; one between the golden set and
training data is an answer the model has seen.

The recipe: equal after folding (`words_key`), or, for texts of at least `SHORTEST_FUZZY`
characters, candidates from MinHash-LSH (Broder, 1997; 128 permutations over character 4-grams,
Jaccard 0.5) of which an edit ratio of at least `SIMILAR` in the given or in sorted word order
remains. Shorter texts differ by too little for a ratio to mean anything.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from datasketch import MinHash, MinHashLSH
from rapidfuzz import fuzz

SHORTEST_FUZZY = 15
"""Characters a folded text needs before it is compared by similarity."""

SIMILAR = 90.0
"""Edit ratio, 0 to 100, from which two texts count as one."""

_PERMUTATIONS = 128
_JACCARD = 0.5
_GRAM = 4
_APOSTROPHES = "'’"
_VARIATION_SELECTORS = "\ufe0e\ufe0f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """Two texts that count as one.

    Attributes:
        first: id of the text that came first.
        second: id of the text that repeats it.
        similarity: edit ratio, 0 to 100; 100 where the folded texts are equal.
    """

    first: str
    second: str
    similarity: float


def same_text_key(text: str) -> str:
    """Folds what no reader sees: Unicode form, case, white space, invisible characters.

    Empty exactly when the text shows nothing. Two texts with one key are the same text.
    """
    folded = _fold(text)
    visible = "".join(c for c in folded if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join(_fold(visible).split())


def words_key(text: str) -> str:
    """Folds a text to its words: case, punctuation and white space no longer count.

    Letters with their marks, digits and emoji stay (an emoji may be all that tells joy from
    sadness). A text of punctuation alone stays as it is.
    """
    words = "".join(
        "" if c in _APOSTROPHES or c in _VARIATION_SELECTORS else c if _is_word(c) else " "
        for c in _fold(text)
    )
    # Folded again: what was removed may have kept a letter apart from its mark.
    return " ".join(_fold(words).split()) or same_text_key(text)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _is_word(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in "LMN" or category == "So"


@dataclass(slots=True)
class DuplicateIndex:
    """Texts by id, to be asked which of them a text repeats.

    Args:
        similar: edit ratio, 0 to 100, from which two texts count as one.
    """

    similar: float = SIMILAR
    _exact: dict[str, str] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)
    _lsh: Any = field(
        default_factory=lambda: MinHashLSH(threshold=_JACCARD, num_perm=_PERMUTATIONS)
    )

    def add_all(self, texts: Mapping[str, str]) -> tuple[Duplicate, ...]:
        """Adds texts, and returns what each repeats among those added before it."""
        return tuple(hit for hits in self._visit(texts, add=True) for hit in hits)

    def find_all(self, texts: Mapping[str, str]) -> tuple[Duplicate, ...]:
        """Returns what the texts repeat among those in the index, adding none."""
        return tuple(hit for hits in self._visit(texts, add=False) for hit in hits)

    def _visit(self, texts: Mapping[str, str], *, add: bool) -> Iterator[list[Duplicate]]:
        keys = {name: words_key(text) for name, text in texts.items()}
        for (name, key), sketch in zip(keys.items(), _sketches(keys.values()), strict=True):
            yield self._matches(name, key, sketch)
            if add:
                self._add(name, key, sketch)

    def _add(self, name: str, key: str, sketch: Any) -> None:
        if name in self._keys:
            raise ValueError(f"id {name!r} is in the index already")
        self._keys[name] = key
        # One text of a kind in the sketches: its copies are found by equality.
        if self._exact.setdefault(key, name) == name and len(key) >= SHORTEST_FUZZY:
            self._lsh.insert(name, sketch)

    def _matches(self, name: str, key: str, sketch: Any) -> list[Duplicate]:
        if key in self._exact:
            return [Duplicate(first=self._exact[key], second=name, similarity=100.0)]
        if len(key) < SHORTEST_FUZZY:
            return []
        scored = ((other, _ratio(key, self._keys[other])) for other in self._lsh.query(sketch))
        return sorted(
            (
                Duplicate(first=other, second=name, similarity=ratio)
                for other, ratio in scored
                if ratio >= self.similar
            ),
            key=lambda hit: (-hit.similarity, hit.first),
        )


def find_duplicates(texts: Mapping[str, str], *, similar: float = SIMILAR) -> tuple[Duplicate, ...]:
    """Returns the pairs of near-duplicates inside one set of texts, in the order of the texts.

    Args:
        texts: text by id.
        similar: edit ratio, 0 to 100, from which two texts count as one.
    """
    return DuplicateIndex(similar=similar).add_all(texts)


def find_leaks(
    texts: Mapping[str, str], against: Mapping[str, str], *, similar: float = SIMILAR
) -> tuple[Duplicate, ...]:
    """Returns which of `texts` (second) repeat one of `against` (first).

    Args:
        texts: text by id, for example training data.
        against: text by id, for example the golden set.
        similar: edit ratio, 0 to 100, from which two texts count as one.
    """
    index = DuplicateIndex(similar=similar)
    index.add_all(against)
    return index.find_all(texts)


def _sketches(keys: Iterable[str]) -> Iterator[Any]:
    grams = (
        {key[i : i + _GRAM].encode() for i in range(max(1, len(key) - _GRAM + 1))} for key in keys
    )
    sketches: Iterator[Any] = MinHash.generator(grams, num_perm=_PERMUTATIONS)
    return sketches


def _ratio(first: str, second: str) -> float:
    return max(fuzz.ratio(first, second), fuzz.token_sort_ratio(first, second))
