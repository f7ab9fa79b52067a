"""Nonsense of drawn lengths: prompts for load without data, or for a given shape of it.

Decides the words; leaves turning them into questions to `assay.load_testing`. Each prompt begins
with a word of its own, so that no engine knows the beginning of one from another.
"""

import numpy as np

from assay.load.profile import LengthPrompts

_SYLLABLES = tuple(first + vowel for first in "bdfghklmnprstvz" for vowel in "aeiou")


def draw_prompts(lengths: LengthPrompts, seed: int) -> tuple[str, ...]:
    """Returns as many different prompts as asked for; the same for the same seed."""
    rng = np.random.default_rng(seed)
    drawn = np.exp(rng.normal(np.log(lengths.words_median), lengths.words_sigma, lengths.prompts))
    counts = np.clip(np.rint(drawn), 1, lengths.words_max).astype(int)
    return tuple(_prompt(number, int(count), rng) for number, count in enumerate(counts))


def _prompt(number: int, count: int, rng: np.random.Generator) -> str:
    """Returns words of two or three syllables, the first with the prompt's number."""
    syllables = rng.integers(0, len(_SYLLABLES), size=(count, 3)).tolist()
    short = (rng.random(count) < 0.5).tolist()
    words = [
        _SYLLABLES[a] + _SYLLABLES[b] + ("" if is_short else _SYLLABLES[c])
        for (a, b, c), is_short in zip(syllables, short, strict=True)
    ]
    return " ".join([f"{words[0]}{number}", *words[1:]])
