"""Whether the core of a golden set still looks like what users send.

Decides by tests, one an aspect, adjusted together by Holm (1979) so that the chance of calling any
of them drifted where none is stays below alpha:

    labels, lengths, languages   chi-square of homogeneity; where a cell is expected to hold fewer
                                 than 5, its permutation distribution (multivariate hypergeometric)
    words                        permutation of texts: words of one text are not independent, so
                                 no cell may be counted as if they were

The population stability index and the Jensen-Shannon divergence are reported as sizes of effect and
never decide: at 50 rows PSI > 0.1 fires on most batches that have not drifted at all. Both samples
are drawn down to a fixed size first, so that a million rows do not make every trifle significant;
the smallest shift that is then usually found is told.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import chi2_contingency

from assay.near_duplicates import words_key

DRAWS = 1999
"""Permutations of a test: the smallest p-value is 1 / 2000."""

_WORDS = 300
_LEAST_EXPECTED = 5.0
_BINS = 10
_SMOOTHED = 0.5

Counted = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Texts and what is known of them; a sequence is None where nothing is known of the aspect."""

    texts: Sequence[str] | None
    labels: Sequence[str] | None
    languages: Sequence[str] | None

    @property
    def rows(self) -> int:
        """Rows of the sample."""
        return max(len(x) for x in (self.texts or (), self.labels or (), self.languages or ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One aspect of two samples, compared.

    Attributes:
        aspect: labels, lengths, languages or words.
        method: which test.
        p, adjusted: before and after Holm's adjustment.
        psi, js: sizes of effect; js in bits, 0 to 1.
        bins: what was counted, in order.
        golden, traffic: share of each bin (for words: of the texts that hold the word).
        rows: rows drawn from the set and from traffic.
    """

    aspect: str
    method: str
    p: float
    adjusted: float
    psi: float
    js: float
    bins: tuple[str, ...]
    golden: tuple[float, ...]
    traffic: tuple[float, ...]
    rows: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """Returns the comparison as a JSON value."""
        return asdict(self)


def drawn(sample: Sample, most: int, seed: int) -> Sample:
    """Returns at most so many rows of a sample, drawn without replacement."""
    if sample.rows <= most:
        return sample
    chosen = np.sort(np.random.default_rng(seed).choice(sample.rows, most, replace=False))

    def of(values: Sequence[str] | None) -> Sequence[str] | None:
        return None if values is None else [values[place] for place in chosen]

    return Sample(texts=of(sample.texts), labels=of(sample.labels), languages=of(sample.languages))


def drift(golden: Sample, traffic: Sample, *, seed: int = 0) -> tuple[Drift, ...]:
    """Compares two samples in every aspect that both know.

    Args:
        golden: the core of the set.
        traffic: what users sent.
        seed: of the permutations.
    """
    random = np.random.default_rng(seed)
    found = []
    for aspect, ours, theirs in (
        ("labels", golden.labels, traffic.labels),
        ("languages", golden.languages, traffic.languages),
    ):
        if ours is not None and theirs is not None:
            found.append(_of_categories(aspect, ours, theirs, random))
    if golden.texts is not None and traffic.texts is not None:
        found.append(_of_lengths(golden.texts, traffic.texts, random))
        found.append(_of_words(golden.texts, traffic.texts, random))
    return _adjusted(found)


def detectable_share(rows: tuple[int, int], *, alpha: float) -> float:
    """Returns the shift of a share near one half that two samples usually (80 %) show.

    From the normal approximation of the difference of two shares (Fleiss, Levin & Paik 2003, ch.
    4), as an upper bound of what other shares take.
    """
    from scipy.special import ndtri

    z = float(ndtri(1 - alpha / 2) + ndtri(0.8))
    return float(z * np.sqrt(0.25 * (1 / rows[0] + 1 / rows[1])))


def _of_categories(
    aspect: str, ours: Sequence[str], theirs: Sequence[str], random: np.random.Generator
) -> Drift:
    a, b = Counter(ours), Counter(theirs)
    bins = tuple(sorted(a.keys() | b.keys()))
    counts = np.array([[side[name] for name in bins] for side in (a, b)], dtype=np.int64)
    return _of_counts(aspect, bins, counts, random)


def _of_lengths(ours: Sequence[str], theirs: Sequence[str], random: np.random.Generator) -> Drift:
    """Compares lengths in the tenths of both samples together, so that no bin is empty."""
    a, b = (np.fromiter(map(len, side), dtype=np.int64) for side in (ours, theirs))
    both = np.concatenate([a, b])
    edges = np.unique(np.quantile(both, np.linspace(0, 1, _BINS + 1)[1:-1]).astype(int))
    edges = edges[(edges >= both.min()) & (edges < both.max())]
    counts = np.stack(
        [np.bincount(np.searchsorted(edges, side), minlength=len(edges) + 1) for side in (a, b)]
    )
    lows = [int(both.min()), *(int(edge) + 1 for edge in edges)]
    highs = [*map(int, edges), int(both.max())]
    bins = tuple(f"{low}–{high}" for low, high in zip(lows, highs, strict=True))
    return _of_counts("lengths", bins, counts, random)


def _of_counts(
    aspect: str, bins: tuple[str, ...], counts: Counted, random: np.random.Generator
) -> Drift:
    p, method = homogeneity(counts, random)
    shares = counts / counts.sum(axis=1, keepdims=True)
    psi, js = effect_sizes(counts)
    return Drift(
        aspect=aspect,
        method=method,
        p=p,
        adjusted=p,
        psi=psi,
        js=js,
        bins=bins,
        golden=tuple(map(float, shares[0])),
        traffic=tuple(map(float, shares[1])),
        rows=(int(counts[0].sum()), int(counts[1].sum())),
    )


def homogeneity(counts: Counted, random: np.random.Generator) -> tuple[float, str]:
    """Returns (p, method) of the hypothesis that two rows of counts have one distribution."""
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2:
        return 1.0, "one value only"
    expected = counts.sum(axis=1)[:, None] * counts.sum(axis=0) / counts.sum()
    if expected.min() >= _LEAST_EXPECTED:
        return float(chi2_contingency(counts, correction=False).pvalue), "chi-square"
    observed = _chi_square(counts[None, 0], expected)[0]
    first = random.multivariate_hypergeometric(
        counts.sum(axis=0), int(counts[0].sum()), size=DRAWS, method="marginals"
    )
    reached = int((_chi_square(first, expected) >= observed - 1e-9).sum())
    return (1 + reached) / (1 + DRAWS), "permutation"


def _chi_square(first: NDArray[Any], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """The statistic for each row of first counts; the second's follow from the margins."""
    apart = (first - expected[0]) ** 2
    return np.asarray((apart / expected[0] + apart / expected[1]).sum(axis=1))


def effect_sizes(counts: Counted) -> tuple[float, float]:
    """Returns (population stability index, Jensen-Shannon divergence in bits) of two rows.

    Half a row is added to every bin for PSI, which an empty bin would make infinite.
    """
    smooth = counts + _SMOOTHED
    p, q = smooth / smooth.sum(axis=1, keepdims=True)
    psi = float(((p - q) * np.log(p / q)).sum())
    if not counts.sum(axis=1).all():
        return psi, 1.0  # one side has none of what was counted: they share nothing
    p, q = counts / counts.sum(axis=1, keepdims=True)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(x > 0, x * np.log2(x / middle), 0.0).sum() / 2 for x in (p, q)]
    return psi, float(max(0.0, sum(parts)))


def _of_words(ours: Sequence[str], theirs: Sequence[str], random: np.random.Generator) -> Drift:
    """Compares in how many texts of each side the commonest words occur."""
    held = [set(words_key(text).split()) for text in (*ours, *theirs)]
    frequency = Counter(word for words in held for word in words)
    kept = [word for word, _ in sorted(frequency.items(), key=lambda x: (-x[1], x[0]))[:_WORDS]]
    place = {word: at for at, word in enumerate(kept)}
    rows = [row for row, words in enumerate(held) for word in words if word in place]
    columns = [place[word] for words in held for word in words if word in place]
    shape = (len(held), len(kept))
    texts = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)
    first, total = len(ours), np.asarray(texts.sum(axis=0)).ravel()
    counts = np.asarray(texts[:first].sum(axis=0)).ravel()
    share = total / len(held)
    spread = np.where((share > 0) & (share < 1), share * (1 - share), np.inf)

    def statistic(ones: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((((ones - first * share) ** 2) / spread).sum(axis=-1))

    observed, reached = float(statistic(counts)), 0
    for _ in range(DRAWS):
        chosen = random.permutation(len(held))[:first]
        marks = np.zeros(len(held))
        marks[chosen] = 1.0
        reached += bool(statistic(texts.T @ marks) >= observed - 1e-9)
    both = np.stack([counts, total - counts]).astype(np.int64)
    return Drift(
        aspect="words",
        method="permutation of texts",
        p=(1 + reached) / (1 + DRAWS),
        adjusted=1.0,
        psi=effect_sizes(both)[0] if kept else 0.0,
        js=effect_sizes(both)[1] if kept else 0.0,
        bins=tuple(kept),
        golden=tuple(map(float, counts / first)),
        traffic=tuple(map(float, (total - counts) / len(theirs))),
        rows=(first, len(theirs)),
    )


def _adjusted(found: Sequence[Drift]) -> tuple[Drift, ...]:
    """Returns the comparisons with Holm's p-values, in their order."""
    from dataclasses import replace

    order = sorted(range(len(found)), key=lambda at: found[at].p)
    highest, adjusted = 0.0, {}
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, found[at].p * (len(found) - rank)))
        adjusted[at] = highest
    return tuple(replace(one, adjusted=adjusted[at]) for at, one in enumerate(found))


def telling_words(compared: Drift, *, most: int = 20) -> list[Mapping[str, Any]]:
    """Returns the words that tell the samples apart best, those of traffic first.

    Only words of letters that occur in 1 % of the texts of a side, and in 10 of them, are named: a
    name or a number of one user is never shown.
    """
    rows = []
    for word, ours, theirs in zip(compared.bins, compared.golden, compared.traffic, strict=True):
        common = max(
            (share, share * rows_)
            for share, rows_ in zip((ours, theirs), compared.rows, strict=True)
        )
        if not word.isalpha() or common[0] < 0.01 or common[1] < 10:
            continue
        spread = np.sqrt(max((ours + theirs) / 2 * (1 - (ours + theirs) / 2), 1e-9))
        rows.append((theirs - ours, abs(theirs - ours) / spread, word, ours, theirs))
    rows.sort(key=lambda row: -row[1])
    return [
        {"word": word, "golden": ours, "traffic": theirs}
        for _, _, word, ours, theirs in sorted(rows[:most], key=lambda row: -row[0])
    ]
