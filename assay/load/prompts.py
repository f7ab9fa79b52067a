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
    return tuple(
        " ".join([f"{_word(rng)}{number}", *(_word(rng) for _ in range(count - 1))])
        for number, count in enumerate(counts)
    )


def _word(rng: np.random.Generator) -> str:
    picks = rng.integers(0, len(_SYLLABLES), size=2 + int(rng.integers(0, 2)))
    return "".join(_SYLLABLES[pick] for pick in picks)
