"""Turns a text into sentences of plain lower-case words, undoing the usual disguises.

Decides what counts as the same word: Unicode compatibility forms, zero-width characters,
look-alike letters, digits and signs for letters, stretched letters, masked letters, spelled-out
words. A disguise is undone only where the result is a word of the lexicon, so that ordinary
numbers, names and file names stay as they are. What a word means is left to `patterns`.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)|[\n\r;]+")
_WORD_BREAK = re.compile(r"[\s,:\"()\[\]{}<>|/\\“”«»–—]+")
_EDGE = "'’‘`.!?*_~-…^=+#&%"
_APOSTROPHES = str.maketrans("", "", "'’‘`´ʼ")
_INNER_BREAK = re.compile(r"[-.?_~]+")
_SPELLED = re.compile(r"^\w(?:[.\-_*~]\w){2,}$")
_RUN = re.compile(r"(.)\1{2,}")
_LOOK_ALIKES = str.maketrans("аеорсухіјѕԁкмтвгοαερν", "aeopcyxijsdkmtbroaepv")
_LEET = {
    "0": "o", "1": "il", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g",
    "@": "a", "$": "s", "!": "i",
}  # fmt: skip
_MAX_VARIANTS = 64
"""Bounds the work on one hostile word; four ambiguous places have at most 16 readings each way."""
_MAX_WORD = 40
"""Longer words are no disguised word of the lexicon, and are not worth expanding."""


def fold_diacritics(text: str) -> str:
    """Returns the text without diacritics, and with `đ` as `d`."""
    decomposed = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    return "".join(char for char in decomposed if unicodedata.category(char) != "Mn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Normaliser:
    """Splits texts into normalised sentences.

    Attributes:
        vocabulary: every word a disguise may stand for, in lower case.
    """

    vocabulary: frozenset[str]
    _by_length: dict[int, tuple[str, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Indexes the vocabulary for masked words."""
        by_length: dict[int, list[str]] = {}
        for word in sorted(self.vocabulary):
            by_length.setdefault(len(word), []).append(word)
        index = {length: tuple(words) for length, words in by_length.items()}
        object.__setattr__(self, "_by_length", index)

    def sentences(self, text: str) -> Iterator[str]:
        """Yields the text's sentences: words joined by one space, one space at either end."""
        for raw in _SENTENCE_END.split(_plain_characters(text)):
            words = list(self._join_spelled(self._words(raw)))
            if words:
                yield f" {' '.join(words)} "

    def _words(self, sentence: str) -> Iterator[str]:
        for chunk in _WORD_BREAK.split(sentence):
            if not (bare := chunk.strip(_EDGE)):
                continue
            if _SPELLED.match(bare):
                yield self._canonical(re.sub(r"[.\-_*~]", "", bare))
                continue
            for part in _INNER_BREAK.split(bare):
                if word := part.translate(_APOSTROPHES).strip(_EDGE):
                    yield self._canonical(word)

    def _join_spelled(self, words: Iterable[str]) -> Iterator[str]:
        """Joins `i d i o t` to `idiot` where that is a word of the lexicon."""
        for single, group in itertools.groupby(words, key=lambda word: len(word) == 1):
            letters = list(group)
            joined = "".join(letters)
            if single and len(letters) > 2 and joined in self.vocabulary:
                yield joined
            else:
                yield from letters

    def _canonical(self, word: str) -> str:
        """Returns the word of the lexicon that this one disguises, or the word itself."""
        if word in self.vocabulary or len(word) > _MAX_WORD:
            return word
        if "*" in word:
            return self._unmask(word) or word
        readings = itertools.chain.from_iterable(map(_squeezed, _unleeted(word)))
        for candidate in itertools.islice(readings, _MAX_VARIANTS):
            if candidate in self.vocabulary:
                return candidate
        return _RUN.sub(r"\1", word)

    def _unmask(self, word: str) -> str | None:
        """Finds the first word of the lexicon that fits `id**t`; at least half must be letters."""
        if len(word) < 3 or word.count("*") * 2 > len(word) or word.startswith("*"):
            return None
        shape = re.compile(re.escape(word).replace(r"\*", "."))
        return next((w for w in self._by_length.get(len(word), ()) if shape.fullmatch(w)), None)


def _plain_characters(text: str) -> str:
    """Compatibility forms composed, case folded, invisible characters and loose accents removed."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    kept = (c for c in folded if unicodedata.category(c) not in ("Cf", "Mn", "Me"))
    return "".join(_one_script(word) for word in re.split(r"(\s+)", "".join(kept)))


def _one_script(word: str) -> str:
    """Maps Cyrillic and Greek look-alikes to Latin in a word that also holds Latin letters."""
    if word.isascii() or not re.search(r"[a-z]", word):
        return word
    return word.translate(_LOOK_ALIKES)


def _unleeted(word: str) -> Iterator[str]:
    """Yields the readings of a word in which digits and signs stand for letters."""
    if word.isalpha() or not any(char.isalpha() for char in word):
        yield word
        return
    choices = [_LEET.get(char, char) for char in word]
    for letters in itertools.islice(itertools.product(*choices), _MAX_VARIANTS):
        yield "".join(letters)


def _squeezed(word: str) -> Iterator[str]:
    """Yields the word with each run of three or more letters as a pair, then as one letter."""
    runs = [match.group() for match in re.finditer(r"(.)\1*", word)]
    # Only runs of three and more are stretched on purpose; a pair is English spelling.
    choices = [(run[0] * 2, run[0]) if len(run) > 2 else (run,) for run in runs]
    for pieces in itertools.islice(itertools.product(*choices), _MAX_VARIANTS):
        yield "".join(pieces)
