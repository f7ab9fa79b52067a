"""Damage that people do to text when they type: the noise of the training text.

Each function takes a text and a random generator and returns another text; the same generator state
gives the same result. What is damaged how often is decided in `generate_training`.
"""

import random
import unicodedata
from collections.abc import Callable

Noise = Callable[[str, random.Random], str]

_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
# The letters left and right of a letter: the slips a thumb makes.
_NEIGHBOURS = {
    letter: row[max(0, i - 1) : i] + row[i + 1 : i + 2]
    for row in _KEYBOARD
    for i, letter in enumerate(row)
}


def without_diacritics(text: str) -> str:
    """Return `text` as typed without a Vietnamese keyboard: "đã sợ" becomes "da so"."""
    bare = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", bare).replace("đ", "d").replace("Đ", "D")


def slip(text: str, rng: random.Random) -> str:
    """Return `text` with one slip of the finger: a letter doubled, dropped, swapped or missed."""
    places = [i for i in range(1, len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:i] + text[i + 1 :]
    if kind == 1:
        return text[:i] + text[i] + text[i:]
    if kind == 2:
        return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
    neighbours = _NEIGHBOURS.get(text[i].lower(), text[i])
    return text[:i] + rng.choice(neighbours) + text[i + 1 :]


def stretched(text: str, rng: random.Random) -> str:
    """Return `text` with the last letter of one word drawn out: "so happyyy"."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if len(word) > 1 and word[-1].isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    words[i] += words[i][-1] * rng.randint(2, 4)
    return " ".join(words)


def unpunctuated(text: str, rng: random.Random) -> str:
    """Return `text` in small letters without commas, full stops and apostrophes."""
    return "".join(c for c in text.lower() if c not in ",.;:!?'’\"")


def shouted(text: str, rng: random.Random) -> str:
    """Return `text` in capitals, with exclamation marks."""
    return text.rstrip(".!").upper() + "!" * rng.randint(1, 3)


def shortened(text: str, rng: random.Random) -> str:
    """Return `text` without one or two of its words, when it has enough of them."""
    words = text.split(" ")
    for _ in range(rng.randint(1, 2)):
        if len(words) > 5:
            del words[rng.randrange(len(words))]
    return " ".join(words)


def reordered(text: str, rng: random.Random) -> str:
    """Return `text` with its sentences or clauses in another order, when it has several."""
    for mark in (". ", ", "):
        parts = text.rstrip(".").split(mark)
        if len(parts) > 1:
            rng.shuffle(parts)
            return mark.join(parts)
    return text
