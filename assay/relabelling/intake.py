"""Takes a task of any export into the ledger, or says why not.

Decides what a row must hold (an id, a text fit to be stored, a language), what is stored of it, and
that people are pseudonyms; leaves the shape of each export to its reader. What is refused here is
stored nowhere: the report has its id and the reason, never its text.
"""

import hashlib
import hmac
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from assay.relabelling.identities import FIELD, IdentityRow, is_opaque
from assay.relabelling.ledger import Answer, AnswerKind, Item
from assay.relabelling.policy import Fields, RelabelPolicy
from assay.relabelling.redaction import redact
from assay.relabelling.texts import Unfit, fit_text

_ID = re.compile(r"[^\s\x00-\x1f\x7f-\x9f](?:[^\x00-\x1f\x7f-\x9f]{0,198}[^\s\x00-\x1f\x7f-\x9f])?")
_NOT_HERE = (
    "the review export that asked this is not among those here; ingest where it was made, or name "
    "the folder of its exports (--reviews)"
)
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
        identities: what the opaque names of exports stand for.
    """

    def __init__(
        self,
        policy: RelabelPolicy,
        labels: Sequence[str],
        pseudonyms: Pseudonyms,
        identities: Mapping[str, IdentityRow] | None = None,
    ) -> None:
        self._policy, self._pseudonyms = policy, pseudonyms
        self._identities = identities or {}
        self._labels = {label: sys.intern(label) for label in labels}
        # A flat export has a line for each person, so the same text comes several times in a row.
        self._fit = lru_cache(maxsize=1024)(lambda text: fit_text(text, policy.texts))

    def take(self, task: RawTask, known_text: Mapping[str, str]) -> Item | Refusal:
        """Returns the item of a row, or why there is none.

        Args:
            task: the row.
            known_text: text by id of the golden cases, for rows that hold none.
        """
        names = self._policy.fields
        identity = _identity(task.data, names)
        if identity is None:
            expected = " or ".join(map(repr, names.id))
            detail = f"expected {expected} in the row's data; the platform's own ids are not kept"
            return Refusal(None, task.place, "no-id", detail, quarantined=False)
        if is_opaque(identity):
            if (meant := self._identities.get(identity)) is None:
                return Refusal(identity, task.place, "unknown-name", _NOT_HERE, quarantined=True)
            task = RawTask(task.place, meant.restore(task.data, names), task.answers)
            identity = meant.id

        def refuse(reason: str, detail: str, *, quarantined: bool = True) -> Refusal:
            return Refusal(identity, task.place, reason, detail, quarantined)

        text = task.data.get(names.text, known_text.get(identity))
        if not isinstance(text, str):
            found = type(text).__name__
            return refuse("no-text", f"found {found!r}, expected a text", quarantined=False)
        fit = self._fit(text)
        if isinstance(fit, Unfit):
            return refuse(fit.reason, fit.detail)
        lang = language(task.data.get(names.lang), self._policy)
        if lang is None:
            detail = "the row names no language, and relabel.yaml has no default_lang"
            return refuse("no-language", detail, quarantined=False)
        return self._item(task, identity, fit, lang)

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


def language(said: Any, policy: RelabelPolicy) -> str | None:
    """Returns the language of a row; None where neither it nor the policy names one."""
    lang = said or policy.default_lang
    return lang if isinstance(lang, str) and 2 <= len(lang) <= 35 else None


def _identity(data: Mapping[str, Any], names: Fields) -> str | None:
    """The id of a row: a name that an export gave, else the first of the fields that is there."""
    if is_opaque(found := data.get(FIELD)):
        return str(found)
    identity = next((v for n in names.id if (v := data.get(n)) is not None), None)
    if isinstance(identity, int) and not isinstance(identity, bool):
        identity = str(identity)
    return identity if isinstance(identity, str) and _ID.fullmatch(identity) else None


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
