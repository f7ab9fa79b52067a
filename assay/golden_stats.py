"""Counts of a golden set: what `assay golden stats` prints and the `summarise` stage stores.

Decides what is counted; leaves judging the counts to the set's own checks. Cells that hold no case
are counted as 0 and shown, so that a hole in the set is seen.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from assay.errors import TooFewCasesError
from assay.golden_set import GoldenSet

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenStats:
    """Counts of the cases of one golden set.

    Attributes:
        digest: digest of the set that was counted.
        cases: number of cases.
        by_label: label → cases; so for language, stratum, source and the version it was added in.
        by_slice: slice → cases; a case may lie in several slices or in none.
        by_label_lang: label → language → cases.
        by_label_lang_slice: label → language → slice → cases.
        text_length: smallest, median and largest number of characters; None where the texts are
            known only by their digests.
    """

    digest: str
    cases: int
    by_label: Counts
    by_lang: Counts
    by_stratum: Counts
    by_source: Counts
    by_added_in: Counts
    by_slice: Counts
    by_label_lang: Mapping[str, Counts]
    by_label_lang_slice: Mapping[str, Mapping[str, Counts]]
    text_length: Mapping[str, int] | None

    def to_json(self) -> dict[str, Any]:
        """Returns the counts as a JSON value with a fixed order of keys."""
        return asdict(self)


def stats(golden: GoldenSet) -> GoldenStats:
    """Counts a golden set.

    Raises:
        TooFewCasesError: the set holds no case.
    """
    cases = golden.cases
    if not cases:
        raise TooFewCasesError(f"golden set {golden.revision!r} holds no case; nothing to count")
    labels = sorted({case.label for case in cases})
    langs = sorted({case.lang for case in cases})
    slices = sorted({name for case in cases for name in case.slices})
    cells = Counter((case.label, case.lang) for case in cases)
    fine = Counter((case.label, case.lang, name) for case in cases for name in set(case.slices))
    return GoldenStats(
        digest=golden.digest,
        cases=len(cases),
        by_label=_counts(case.label for case in cases),
        by_lang=_counts(case.lang for case in cases),
        by_stratum=_counts(case.stratum for case in cases),
        by_source=_counts(case.source for case in cases),
        by_added_in=_counts(case.added_in for case in cases),
        by_slice=_counts(name for case in cases for name in set(case.slices)),
        by_label_lang={
            label: {lang: cells[label, lang] for lang in langs} for label in labels
        },
        by_label_lang_slice={
            label: {lang: {name: fine[label, lang, name] for name in slices} for lang in langs}
            for label in labels
        },
        text_length=_lengths([case.text for case in cases]),
    )  # fmt: skip


def _counts(values: Iterable[str]) -> Counts:
    return dict(sorted(Counter(values).items()))


def _lengths(texts: list[str | None]) -> Counts | None:
    lengths = sorted(len(text) for text in texts if text is not None)
    if len(lengths) < len(texts):
        return None
    return {
        "smallest": lengths[0],
        "median": lengths[(len(lengths) - 1) // 2],
        "largest": lengths[-1],
    }
