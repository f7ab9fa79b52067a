"""Whether a drawn text may leave the house, and be asked about now.

Decides by one text at a time, in the order in which they are drawn: what was asked before, what is
golden already, what repeats a text of this export, and what ingestion would refuse (its own rules,
`relabelling.texts`; the review policy may only be stricter). So the cost grows with the budget, not
with the traffic. Every refusal is counted.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from unicodedata import normalize

from assay.digests import text_sha256
from assay.near_duplicates import DuplicateIndex, words_key
from assay.records import GoldenCase
from assay.relabelling.intake import language
from assay.relabelling.policy import RelabelPolicy, TextRules
from assay.relabelling.redaction import redact
from assay.relabelling.texts import Unfit, fit_text
from assay.review.policy import ReviewPolicy
from assay.review.requests import Request

_GOLDEN = "golden "
_CHOSEN = "chosen "
_NAMES_SOMEBODY = frozenset({"EMAIL", "HANDLE", "SECRET", "URL"})
"""Masks that no id may need; long numbers in ids are ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a model said to a text: its label, the model, and its confidence where it is known."""

    label: str
    model_version: str
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewItem:
    """One text that people are asked to label.

    Attributes:
        id: the request's id, or the golden case's.
        text: redacted.
        lang: None where nobody said.
        source: where the text is from.
        selection: the reason it was drawn for.
        signals: everything that was said about it, whatever it was drawn for.
        shown: what a model said, None where it named no label.
        golden: whether it is a case of the golden set.
    """

    id: str
    text: str
    lang: str | None
    source: str
    selection: str
    signals: tuple[str, ...]
    shown: Shown | None
    golden: bool

    @property
    def key(self) -> str:
        """Digest of the text's words: two texts with one key are the same question."""
        return text_sha256(words_key(self.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What earlier exports asked about: ids, and digests of texts."""

    ids: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()


@dataclass(slots=True)
class Admission:
    """Lets texts in, one at a time; `left_out` counts the others by reason."""

    policy: ReviewPolicy
    asked: Asked
    model_version: str
    ingestion: RelabelPolicy = field(default_factory=RelabelPolicy)
    left_out: Counter[str] = field(default_factory=Counter)
    _index: DuplicateIndex = field(default_factory=DuplicateIndex)
    _golden_ids: set[str] = field(default_factory=set)
    _met: set[str] = field(default_factory=set)

    def know_golden(self, cases: Sequence[GoldenCase]) -> None:
        """Keeps out requests that say what a golden case says."""
        self._index = DuplicateIndex(similar=self.policy.near_duplicate)
        texts = {f"{_GOLDEN}{case.id}": case.text for case in cases if case.text is not None}
        self._index.add_all(texts)
        self._golden_ids = {case.id for case in cases}

    def request(self, request: Request, selection: str) -> ReviewItem | None:
        """Returns a request as an item, or None where it may not be asked about (again).

        One that was refused, or let in, for another reason is not counted a second time.
        """
        if request.id in self._met:
            return None
        self._met.add(request.id)
        fit = fit_text(request.text, self._rules)
        if isinstance(fit, Unfit):
            self.left_out[fit.reason.replace("-", "_")] += 1
            return None
        item = self._item(request, fit, selection)
        why = self._refusal(request, item)
        if why is not None:
            self.left_out[why] += 1
            return None
        self._index.add_all({f"{_CHOSEN}{item.id}": item.text})
        return item

    def case(
        self, case: GoldenCase, selection: str, signals: tuple[str, ...], shown: Shown | None
    ) -> ReviewItem | None:
        """Returns a golden case as an item, or None where it was asked about, or may not leave.

        A text that redaction would change is not shown: people would label another text than the
        golden set holds.
        """
        if case.id in self._met or case.text is None:
            return None
        asked = case.id in self.asked.ids
        why = "already_asked" if asked else None if self._may_leave(case) else "unsafe_golden"
        self._met.add(case.id)
        if why is not None:
            self.left_out[why] += 1
            return None
        return golden_item(case, selection, signals, shown)

    def language(self, said: str | None) -> str | None:
        """Returns what ingestion takes a text's language to be; None where it would refuse it."""
        return language(said, self.ingestion)

    def honeypots(self, cases: Iterable[GoldenCase], count: int) -> list[GoldenCase]:
        """Returns the first cases that may be shown, up to a number of them.

        They may be asked again, and each that may not leave is counted.
        """
        found: list[GoldenCase] = []
        for case in cases:
            if len(found) == count:
                break
            if self._may_leave(case):
                found.append(case)
            else:
                self.left_out["unsafe_golden"] += 1
                self._met.add(case.id)
        return found

    def _may_leave(self, case: GoldenCase) -> bool:
        text = case.text or ""
        return fit_text(text, self._rules) == normalize("NFC", text)

    @property
    def _rules(self) -> TextRules:
        """What ingestion asks of a text, or what the review policy does where that is stricter."""
        mine, theirs = self.policy, self.ingestion.texts
        return theirs.model_copy(
            update={
                "longest": min(mine.longest, theirs.longest),
                "max_masked_share": min(mine.max_masked_share, theirs.max_masked_share),
            }
        )

    def _item(self, request: Request, text: str, selection: str) -> ReviewItem:
        shown = None
        if request.label is not None:
            version = request.model_version or self.model_version
            shown = Shown(label=request.label, model_version=version, score=request.confidence)
        return ReviewItem(
            id=request.id,
            text=text,
            lang=self.language(request.lang),
            source=request.source or "production",
            selection=selection,
            signals=request.signals,
            shown=shown,
            golden=False,
        )

    def _refusal(self, request: Request, item: ReviewItem) -> str | None:
        if not words_key(item.text):
            return "empty_text"
        if item.lang is None:
            return "no_language"
        return self._known(request, item)

    def _known(self, request: Request, item: ReviewItem) -> str | None:
        if _NAMES_SOMEBODY & set(redact(request.id).masks):
            return "unsafe_id"
        if request.id in self._golden_ids:
            return "already_golden"
        if request.id in self.asked.ids or item.key in self.asked.keys:
            return "already_asked"
        hits = self._index.find_all({"": item.text})
        if not hits:
            return None
        golden = any(hit.first.startswith(_GOLDEN) for hit in hits)
        return "already_golden" if golden else "near_duplicate"


def golden_item(
    case: GoldenCase, selection: str, signals: tuple[str, ...], shown: Shown | None
) -> ReviewItem:
    """Returns a golden case, whose text is known, as an item."""
    return ReviewItem(
        id=case.id,
        text=case.text or "",
        lang=case.lang,
        source=case.source,
        selection=selection,
        signals=signals,
        shown=shown,
        golden=True,
    )
