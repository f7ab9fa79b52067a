"""Takes a task of any export into the ledger, or says why not.

Decides what a row must hold (an id, a text fit to be stored, a language), what is stored of it, and
that people are pseudonyms; leaves the shape of each export to its reader. What is refused here is
stored nowhere: the report has its id and the reason, never its text.
"""

import hashlib
import hmac
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from assay.relabelling.ledger import Answer, AnswerKind, Item
from assay.relabelling.policy import RelabelPolicy
from assay.relabelling.redaction import redact

_MARKUP = re.compile(r"</?[A-Za-z][^<>]{0,200}>|&(?:[a-z]{2,8}|#[0-9]{1,6}|#x[0-9a-f]{1,6});", re.I)
_ID = re.compile(r"[^\s\x00-\x1f\x7f-\x9f](?:[^\x00-\x1f\x7f-\x9f]{0,198}[^\s\x00-\x1f\x7f-\x9f])?")
_NO_PERSON = ("", "None", "null")


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One answer as an export holds it, before anything is known about it.

    `labels` is what was chosen (None: nothing was); `who` is the person as the export names them.
    """

    who: str
    labels: Sequence[str] | None
    at: str | None = None
    lead_time_s: float | None = None
    shown: str | None = None
    skipped: bool = False
    reference: bool = False
    unique_id: str | None = None


@dataclass(slots=True)
class RawTask:
    """One row of an export: its number (from 1), its data, and the answers to it."""

    place: int
    data: Mapping[str, Any]
    answers: list[RawAnswer] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a row was not taken in. `quarantined`: a person may mend it; else it is rejected."""

    id: str | None
    place: int
    reason: str
    detail: str
    quarantined: bool


class Pseudonyms:
    """Salted names of people (HMAC-SHA-256, 64 bits): the same person is the same name, always."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._known: dict[str, str] = {}

    def of(self, who: str) -> str:
        """Returns the pseudonym of a person."""
        name = self._known.get(who)
        if name is None:
            mac = hmac.new(self._salt, b"annotator\0" + who.encode(), hashlib.sha256)
            name = self._known[who] = f"p-{mac.hexdigest()[:16]}"
        return name


class Intake:
    """Turns rows of an export into items.

    Args:
        policy: the rules.
        labels: the task's labels.
        pseudonyms: of the people.
    """

    def __init__(
        self, policy: RelabelPolicy, labels: Sequence[str], pseudonyms: Pseudonyms
    ) -> None:
        self._policy, self._pseudonyms = policy, pseudonyms
        self._labels = {label: sys.intern(label) for label in labels}
        # A flat export has a line for each person, so the same text comes several times in a row.
        self._fit = lru_cache(maxsize=1024)(self._fit_text)

    def take(self, task: RawTask, known_text: Mapping[str, str]) -> Item | Refusal:
        """Returns the item of a row, or why there is none.

        Args:
            task: the row.
            known_text: text by id of the golden cases, for rows that hold none.
        """
        names = self._policy.fields
        identity = next((v for n in names.id if (v := task.data.get(n)) is not None), None)
        if isinstance(identity, int) and not isinstance(identity, bool):
            identity = str(identity)
        if not isinstance(identity, str) or not _ID.fullmatch(identity):
            expected = " or ".join(map(repr, names.id))
            detail = f"expected {expected} in the row's data; the platform's own ids are not kept"
            return Refusal(None, task.place, "no-id", detail, quarantined=False)

        def refuse(reason: str, detail: str, *, quarantined: bool = True) -> Refusal:
            return Refusal(identity, task.place, reason, detail, quarantined)

        text = task.data.get(names.text, known_text.get(identity))
        if not isinstance(text, str):
            found = type(text).__name__
            return refuse("no-text", f"found {found!r}, expected a text", quarantined=False)
        fit = self._fit(text)
        if not isinstance(fit, str):
            return refuse(*fit)
        lang = task.data.get(names.lang) or self._policy.default_lang
        if not isinstance(lang, str) or not 2 <= len(lang) <= 35:
            detail = "the row names no language, and relabel.yaml has no default_lang"
            return refuse("no-language", detail, quarantined=False)
        return self._item(task, identity, fit, lang)

    def _fit_text(self, text: str) -> str | tuple[str, str]:
        """Returns what may be stored of a text, or the reason and detail of its refusal."""
        if problem := self._text_problem(text):
            return problem
        redacted = redact(text)
        share = redacted.masked_share(text)
        if share > self._policy.texts.max_masked_share:
            return "redacted-away", f"{share:.0%} of the text would be masked"
        return unicodedata.normalize("NFC", redacted.text)

    def _text_problem(self, text: str) -> tuple[str, str] | None:
        limit = self._policy.texts.longest
        if len(text) > limit:
            return "too-long", f"{len(text)} characters, expected at most {limit}"
        if not text.isascii() or not text.isprintable():
            kinds = {unicodedata.category(sign) for sign in text if sign not in "\n\r\t"}
            if "Cc" in kinds or "Cs" in kinds:
                return "control-characters", "holds control characters; what was shown is unclear"
            if _misread(text):
                return "encoding", "its letters were read in a wrong encoding; export it as UTF-8"
            if kinds <= {"Zs", "Zl", "Zp", "Cf"}:
                return "empty-text", "shows nothing"
        if not text.strip():
            return "empty-text", "shows nothing"
        if ("<" in text or "&" in text) and _MARKUP.search(text):
            return "markup", "holds HTML; people may have seen another text than the model"
        return None

    def _item(self, task: RawTask, identity: str, text: str, lang: str) -> Item:
        names, data = self._policy.fields, task.data
        item = Item(
            id=identity,
            text=text,
            lang=sys.intern(lang),
            source=_word(data.get(names.source), self._policy.default_source),
            selection=_word(data.get(names.selection), "unknown"),
            honeypot=data.get(names.honeypot) is True,
        )
        for raw in _latest_by_unique_id(task.answers):
            answer = self._answer(raw)
            if not raw.reference:
                if raw.who not in _NO_PERSON:
                    item.add(self._pseudonyms.of(raw.who), answer)
            elif answer.kind is AnswerKind.LABEL:
                item.join(
                    Item(identity, text, item.lang, item.source, item.selection, False, answer)
                )
        return item

    def _answer(self, raw: RawAnswer) -> Answer:
        label: str | None = None
        if raw.skipped:
            kind = AnswerKind.SKIPPED
        elif not raw.labels:
            kind = AnswerKind.EMPTY
        elif len(set(raw.labels)) > 1:
            kind = AnswerKind.SEVERAL_LABELS
        else:
            label = self._labels.get(raw.labels[0])
            kind = AnswerKind.UNKNOWN_LABEL if label is None else AnswerKind.LABEL
        shown = None if raw.shown is None else self._labels.get(raw.shown)
        lead = raw.lead_time_s if raw.lead_time_s is None or raw.lead_time_s >= 0 else None
        return Answer(kind, label, moment(raw.at), lead, shown)


def moment(said: str | None) -> str:
    """Returns a time as ISO 8601 in UTC, comparable as text; "" where it is not one."""
    if not said:
        return ""
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        return ""
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _latest_by_unique_id(answers: Sequence[RawAnswer]) -> Sequence[RawAnswer]:
    """An answer exported twice is one answer: its last state counts, whoever it then names."""
    if len(answers) < 2:
        return answers
    kept: dict[str, RawAnswer] = {}
    for number, raw in enumerate(answers):
        key = raw.unique_id or f"\0{number}"
        held = kept.get(key)
        if held is None or _order(raw) > _order(held):
            kept[key] = raw
    return list(kept.values())


def _order(raw: RawAnswer) -> tuple[str, str]:
    return moment(raw.at), repr(raw)


def _word(value: Any, otherwise: str) -> str:
    """A short word of the data as it is; a long or strange one is the export's own business."""
    if isinstance(value, str) and _ID.fullmatch(value) and redact(value).text == value:
        return sys.intern(value)
    return otherwise


def _misread(text: str) -> bool:
    """Whether UTF-8 was read as Windows-1252, or a decoder gave up on a letter."""
    if "\ufffd" in text:
        return True
    try:
        return text.encode("cp1252").decode("utf-8") != text
    except (UnicodeEncodeError, UnicodeDecodeError):
        return False
