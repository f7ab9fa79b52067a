"""Near-duplicates inside a large set: the recipe of `near_duplicates`, computed in columns.

Decides how pairs are found among a million texts in minutes and within memory; when two texts count
as one is `near_duplicates`' (equal words, or an edit ratio of at least `SIMILAR` in the given or in
sorted word order, for texts of at least `SHORTEST_FUZZY` characters).

Candidates come from MinHash (Broder 1997) over character 4-grams, hashed by multiply-shift
(Dietzfelbinger et al. 1997), in `BANDS` bands of `ROWS` minima: texts whose grams overlap by half
meet in a band with a chance of 1 - (1 - 0.5⁵)²⁵ = 55 %, by 0.7 with 99 %. Bands are sorted, and
each text is compared with the next `WINDOW` of its run. In a run that is longer it is compared with
the next alone, so that the work grows as n log n even where a million texts share their wording;
such runs are counted and told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process

from assay.near_duplicates import SHORTEST_FUZZY, SIMILAR, words_key

BANDS, ROWS = 25, 5
WINDOW = 32
_GRAM = 4
_TEXTS_AT_ONCE = 2_000
_PAIRS_AT_ONCE = 200_000
_SEED = 20_260_101

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NearPairs:
    """Pairs of texts that count as one, by their places.

    Attributes:
        pairs: (first, second, edit ratio), first < second; ratio 100 where the words are equal. A
            text is paired with the first that it repeats, and with no other.
        compared: how many candidate pairs were compared.
        long_runs: groups of alike texts that were larger than the window, so that some of their
            pairs were not compared.
    """

    pairs: tuple[tuple[int, int, float], ...]
    compared: int
    long_runs: int

    @property
    def repeating(self) -> int:
        """How many texts repeat one before them."""
        return len({second for _, second, _ in self.pairs})


def near_pairs(texts: Sequence[str], *, similar: float = SIMILAR) -> NearPairs:
    """Finds the near-duplicates inside one sequence of texts.

    Args:
        texts: in the order in which "first" is meant.
        similar: edit ratio, 0 to 100, from which two texts count as one.
    """
    first_of: dict[str, int] = {}
    found: list[tuple[int, int, float]] = []
    for place, text in enumerate(texts):
        before = first_of.setdefault(words_key(text), place)
        if before != place:
            found.append((before, place, 100.0))
    keys = [key for key in first_of if len(key) >= SHORTEST_FUZZY]
    places = np.array([first_of[key] for key in keys], dtype=np.int64)
    del first_of
    candidates, long_runs = _candidates(keys)
    for left, right, ratio in _alike(keys, candidates, similar):
        found.append((int(places[left]), int(places[right]), ratio))
    found.sort()
    return NearPairs(pairs=tuple(found), compared=len(candidates), long_runs=long_runs)


def _candidates(keys: Sequence[str]) -> tuple[Hashes, int]:
    """Returns pairs of places, packed as first · n + second and sorted; and the long runs."""
    count = len(keys)
    if count < 2:
        return np.empty(0, dtype=np.uint64), 0
    bands = np.concatenate(
        [_bands(keys[at : at + _TEXTS_AT_ONCE]) for at in range(0, count, _TEXTS_AT_ONCE)], axis=1
    )
    lengths = np.fromiter(map(len, keys), dtype=np.int64, count=count)
    packed, long_runs = np.empty(0, dtype=np.uint64), 0
    for band in bands:
        new, long = _meeting(band, lengths)
        packed = np.union1d(packed, new)
        long_runs = max(long_runs, long)
    return packed, long_runs


def _bands(keys: Sequence[str]) -> Hashes:
    """Returns one hash a band for each key: bands × keys."""
    lengths = np.fromiter(map(len, keys), dtype=np.int64, count=len(keys))
    signs = np.frombuffer("".join(keys).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    grams = _mixed(
        signs[:-3] | signs[1:-2] << np.uint64(21) | signs[2:-1] << np.uint64(42)
    ) ^ _mixed(signs[3:] + np.uint64(1))  # fmt: skip
    # Grams that cross from one key to the next lie between an end and the next start.
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    bounds = np.stack([starts, starts + lengths - (_GRAM - 1)], axis=1).ravel()[:-1]
    factors = np.random.default_rng(_SEED).integers(
        0, 2**63, size=(BANDS, ROWS, 2), dtype=np.uint64
    )
    hashes = np.zeros((BANDS, len(keys)), dtype=np.uint64)
    for band in range(BANDS):
        for factor, shift in factors[band]:
            drawn = (grams * (factor | np.uint64(1)) + shift) >> np.uint64(32)
            minima = np.minimum.reduceat(drawn, bounds)[::2]
            hashes[band] = _mixed(hashes[band] ^ minima)
    return hashes


def _mixed(values: Hashes) -> Hashes:
    """Scatters 64-bit values (the finaliser of SplitMix64: Steele, Lea & Flood 2014)."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ values >> np.uint64(31))


def _meeting(band: Hashes, lengths: Places) -> tuple[Hashes, int]:
    """Returns the packed pairs that share a band's hash, and how many runs exceed the window."""
    order = np.argsort(band, kind="stable")
    ranked = band[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    sizes = np.diff(np.append(starts, len(ranked)))
    long = np.repeat(sizes > WINDOW + 1, sizes)
    pairs: list[tuple[Places, Places]] = []
    for apart in range(1, min(WINDOW, int(sizes.max()) - 1) + 1):
        same = ranked[apart:] == ranked[:-apart]
        if apart > 1:  # of a long run, each text is compared with the next one alone
            same &= ~long[:-apart]
        at = np.flatnonzero(same)
        left, right = order[at], order[at + apart]
        # Texts whose lengths differ by more cannot reach the edit ratio, in whatever word order.
        near = np.abs(lengths[left] - lengths[right]) <= (1 - SIMILAR / 100) * (
            lengths[left] + lengths[right]
        )
        pairs.append((left[near], right[near]))
    return _packed(pairs, len(band)), int((sizes > WINDOW + 1).sum())


def _packed(pairs: Sequence[tuple[Places, Places]], count: int) -> Hashes:
    if not pairs:
        return np.empty(0, dtype=np.uint64)
    left = np.concatenate([pair[0] for pair in pairs])
    right = np.concatenate([pair[1] for pair in pairs])
    first, second = np.minimum(left, right), np.maximum(left, right)
    return np.unique((first * count + second).astype(np.uint64))


def _alike(
    keys: Sequence[str], candidates: Hashes, similar: float
) -> Iterator[tuple[int, int, float]]:
    """Yields, for each text that repeats earlier ones, the first of them."""
    repeats = np.zeros(len(keys), dtype=bool)
    for at in range(0, len(candidates), _PAIRS_AT_ONCE):
        packed = candidates[at : at + _PAIRS_AT_ONCE].astype(np.int64)
        left, right = np.divmod(packed, len(keys))
        left, right = left[~repeats[right]], right[~repeats[right]]
        ratios = np.zeros(len(right))
        for scorer in (fuzz.ratio, fuzz.token_sort_ratio):
            rest = np.flatnonzero(ratios < similar)
            ratios[rest] = process.cpdist(
                [keys[place] for place in left[rest]],
                [keys[place] for place in right[rest]],
                scorer=scorer,
                score_cutoff=similar,
                dtype=np.float64,
            )
        alike = np.flatnonzero(ratios >= similar)
        _, firsts = np.unique(right[alike], return_index=True)
        for place in alike[firsts]:
            yield int(left[place]), int(right[place]), float(ratios[place])
        repeats[right[alike]] = True
