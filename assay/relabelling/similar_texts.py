"""Finds near-duplicates among a million texts in the memory of a laptop.

Decides nothing new about when two texts count as one: equal after `words_key`, or an edit ratio of
at least `similar` (`assay.near_duplicates`). What differs is how candidates are found: MinHash
signatures (Broder, 1997) of character 4-grams are cut into bands, and only one band is looked at at
a time, as a sorted array. That takes 8 bytes a text where an index of all bands takes kilobytes.

Work grows with the number of texts and of candidates. Where more than `_CROWD` texts share a band,
each is compared with its neighbours and with the first, so that a crowd costs no square.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz

from assay.near_duplicates import SHORTEST_FUZZY, SIMILAR

Words = NDArray[np.uint32]

BANDS, ROWS = 25, 5
"""Bands and values a band: texts of Jaccard 0.5 meet with probability 0.55, of 0.7 0.99."""

SIGNATURE = BANDS * ROWS
_GRAM = 4
_CHUNK = 4096
_CROWD = 16
_PRIME = np.uint32(0x9E3779B1)


def permutations(seed: int) -> tuple[Words, Words]:
    """Returns the multipliers (odd) and offsets of the hash functions of one seed."""
    random = np.random.default_rng(seed)
    multipliers = random.integers(0, 2**31, SIGNATURE, dtype=np.uint32) * np.uint32(2) + np.uint32(
        1
    )
    return multipliers, random.integers(0, 2**32, SIGNATURE, dtype=np.uint32)


def signatures(keys: Sequence[str], seed: int = 0) -> Iterator[Words]:
    """Yields MinHash signatures of folded texts, by chunks of rows (texts × `SIGNATURE`)."""
    multipliers, offsets = permutations(seed)
    for start in range(0, len(keys), _CHUNK):
        grams, starts = _grams(keys[start : start + _CHUNK])
        chunk = np.empty((len(starts), SIGNATURE), dtype=np.uint32)
        for at in range(SIGNATURE):
            hashed = grams * multipliers[at] + offsets[at]
            hashed ^= hashed >> np.uint32(15)
            chunk[:, at] = np.minimum.reduceat(hashed, starts)
        yield chunk


def _grams(keys: Sequence[str]) -> tuple[Words, NDArray[np.int64]]:
    """Hashes every 4-gram of the texts; returns the hashes and where each text's begin."""
    padded = [key if len(key) >= _GRAM else key.ljust(_GRAM) for key in keys]
    letters = np.frombuffer("".join(padded).encode("utf-32-le"), dtype=np.uint32)
    sizes = np.fromiter((len(key) for key in padded), dtype=np.int64, count=len(padded))
    ends = np.cumsum(sizes)
    mixed = letters * _PRIME
    mixed ^= mixed >> np.uint32(16)
    gram = mixed[: len(mixed) - _GRAM + 1].copy()
    for step in range(1, _GRAM):
        gram = gram * np.uint32(0x85EBCA6B) + mixed[step : len(mixed) - _GRAM + 1 + step]
        gram ^= gram >> np.uint32(13)
    whole = np.ones(len(letters), dtype=bool)
    for step in range(1, _GRAM):
        whole[ends - step] = False
    starts = np.concatenate(([0], np.cumsum(sizes - _GRAM + 1)[:-1]))
    return gram[whole[: len(gram)]], starts


def near_pairs(
    keys: Sequence[str], *, first_new: int = 0, similar: float = SIMILAR
) -> list[tuple[int, int]]:
    """Returns pairs (lower, higher index) of texts that count as one without being equal.

    Args:
        keys: distinct texts, folded by `words_key`.
        first_new: index of the first text that is asked about; pairs below it are not looked for.
        similar: edit ratio, 0 to 100.
    """
    long = np.array([n for n, key in enumerate(keys) if len(key) >= SHORTEST_FUZZY], dtype=np.int64)
    if len(long) < 2 or first_new >= len(keys):
        return []
    bands = _bands([keys[n] for n in long])
    seen: set[int] = set()
    found: list[tuple[int, int]] = []
    for band in bands:
        for first, second in _meetings(band, long):
            pair = first * len(keys) + second
            if second < first_new or pair in seen:
                continue
            seen.add(pair)
            if _one(keys[first], keys[second], similar):
                found.append((first, second))
    return sorted(found)


def _bands(keys: Sequence[str]) -> NDArray[np.uint64]:
    """Returns one hash a band and text: bands × texts."""
    bands = np.empty((BANDS, len(keys)), dtype=np.uint64)
    done = 0
    for chunk in signatures(keys):
        bands[:, done : done + len(chunk)] = band_hashes(chunk).T
        done += len(chunk)
    return bands


def band_hashes(chunk: Words) -> NDArray[np.uint64]:
    """Returns one hash a band of signatures: texts × bands."""
    values = chunk.reshape(len(chunk), BANDS, ROWS).astype(np.uint64)
    hashed = np.zeros((len(chunk), BANDS), dtype=np.uint64)
    for at in range(ROWS):
        hashed = (hashed ^ values[:, :, at]) * np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(29)
    return hashed


def _meetings(band: NDArray[np.uint64], names: NDArray[np.int64]) -> Iterable[tuple[int, int]]:
    """Yields the pairs of texts that share a band, the lower index first."""
    order = np.argsort(band, kind="stable")
    values = band[order]
    same = np.flatnonzero(values[1:] == values[:-1])
    if not len(same):
        return
    breaks = np.flatnonzero(np.diff(same) > 1)
    begins = same[np.concatenate(([0], breaks + 1))]
    ends = same[np.concatenate((breaks, [len(same) - 1]))] + 2
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        group = names[order[begin:end]].tolist()
        for at, second in enumerate(group):
            near = group[max(0, at - _CROWD) : at]
            yield from ((first, second) for first in near)
            if at > _CROWD:
                yield group[0], second


def _one(first: str, second: str, similar: float) -> bool:
    if fuzz.ratio(first, second, score_cutoff=similar):
        return True
    return bool(fuzz.token_sort_ratio(first, second, score_cutoff=similar))
