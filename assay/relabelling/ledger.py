"""Who said what about which text: the latest answer of each person to each text.

Decides how two answers of one person are joined, and two copies of one item; leaves whose answers
count to `annotators` and what they add up to to `consensus`.

Joining is commutative, associative and idempotent, so a ledger does not depend on the order in
which exports, or lines of one, came in: the later answer stays; of two at the same moment that
differ, neither can be told to be the last word, so they become one that contradicts itself.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Literal

from pydantic import Field

from assay import digests
from assay.documents import Document, Identifier, parse_json, parse_jsonl, validate
from assay.errors import ConfigError
from assay.near_duplicates import same_text_key

RANDOM = "random"


class AnswerKind(StrEnum):
    """What a person's last word on a text was. Only `LABEL` can ever count as a vote."""

    LABEL = "label"
    SKIPPED = "skipped"
    EMPTY = "empty"
    UNKNOWN_LABEL = "unknown_label"
    SEVERAL_LABELS = "several_labels"
    CONTRADICTORY = "contradictory"


@dataclass(frozen=True, slots=True)
class Answer:
    """One person's last word on a text.

    `label` is set for `LABEL` alone. `at` is ISO 8601 in UTC, "" where the export does not say.
    `shown` is the label the person was shown as a prediction.
    """

    kind: AnswerKind
    label: str | None
    at: str
    lead_time_s: float | None = None
    shown: str | None = None


def later(first: Answer, second: Answer) -> Answer:
    """Joins two answers of one person."""
    if first == second or first.at > second.at:
        return first
    if second.at > first.at:
        return second
    if (first.kind, first.label) != (second.kind, second.label):
        return Answer(AnswerKind.CONTRADICTORY, None, first.at)
    return max(first, second, key=lambda a: (a.lead_time_s or -1.0, a.shown or ""))


@dataclass(slots=True)
class Item:
    """A text that people were asked about, and what they said.

    `text` is redacted. `answers` maps pseudonyms to answers; `reference` is what a `ground_truth`
    annotation says, which makes the item a honeypot, as `honeypot` does for a golden case.
    """

    id: str
    text: str
    lang: str
    source: str
    selection: str
    honeypot: bool = False
    reference: Answer | None = None
    answers: dict[str, Answer] = field(default_factory=dict)

    @property
    def first_at(self) -> str:
        """When the first answer came; later than any time where none did."""
        return min((answer.at for answer in self.answers.values()), default="~")

    def join(self, other: "Item") -> None:
        """Takes in another copy of the same item."""
        self.lang, self.source = min(self.lang, other.lang), min(self.source, other.source)
        self.selection = _join_selection(self.selection, other.selection)
        self.honeypot = self.honeypot or other.honeypot
        if other.reference is not None:
            mine = self.reference
            self.reference = other.reference if mine is None else later(mine, other.reference)
        for annotator, answer in other.answers.items():
            self.add(annotator, answer)

    def add(self, annotator: str, answer: Answer) -> None:
        """Takes in one answer."""
        held = self.answers.get(annotator)
        self.answers[annotator] = answer if held is None else later(held, answer)


def _join_selection(first: str, second: str) -> str:
    """Where two copies differ, the one that keeps the case out of the core."""
    chosen = {first, second} - {RANDOM}
    return min(chosen) if chosen else RANDOM


Key = tuple[str, str]
"""Identity of an item: its id, and its text folded as a reader sees it."""


class Ledger:
    """Items by identity."""

    def __init__(self) -> None:
        self.items: dict[Key, Item] = {}

    def add(self, item: Item) -> Key:
        """Takes in an item, and returns its identity."""
        key = (item.id, _text_id(item.text))
        held = self.items.get(key)
        if held is None:
            self.items[key] = item
        else:
            held.text = min(held.text, item.text)
            held.join(item)
        return key


@lru_cache(maxsize=1024)
def _text_id(text: str) -> str:
    return digests.text_sha256(same_text_key(text))[:32]


class AnswerRow(Document):
    """One answer in a ledger's file."""

    annotator: Identifier
    kind: AnswerKind
    label: str | None = None
    at: str = ""
    lead_time_s: float | None = None
    shown: str | None = None


class ReferenceRow(Document):
    """The reference answer of a honeypot in a ledger's file."""

    label: str
    at: str = ""


class LedgerRow(Document):
    """One line of `answers.jsonl`: a text, redacted, and the latest answer of each person."""

    id: Identifier
    text: str = Field(min_length=1)
    lang: str
    source: str
    selection: str
    honeypot: bool = False
    reference: ReferenceRow | None = None
    answers: tuple[AnswerRow, ...] = ()

    def to_item(self) -> Item:
        """Returns the row as an item."""
        reference = None
        if self.reference is not None:
            reference = Answer(AnswerKind.LABEL, self.reference.label, self.reference.at)
        return Item(
            id=self.id,
            text=self.text,
            lang=self.lang,
            source=self.source,
            selection=self.selection,
            honeypot=self.honeypot,
            reference=reference,
            answers={
                row.annotator: Answer(row.kind, row.label, row.at, row.lead_time_s, row.shown)
                for row in self.answers
            },
        )


class LedgerHead(Document):
    """The first line of a ledger's file: under which salt people have their pseudonyms."""

    ledger: Literal[1] = 1
    salt_id: str


def read_ledger(text: str, where: str, salt_id: str) -> Ledger:
    """Reads the text of an `answers.jsonl`.

    Raises:
        ConfigError: a line is not what a ledger holds, or its pseudonyms are of another salt, under
            which the same person would be counted as two.
    """
    ledger = Ledger()
    first, _, rest = text.partition("\n")
    head = validate(parse_json(first, f"{where}:1"), LedgerHead, f"{where}:1")
    if head.salt_id != salt_id:
        raise ConfigError(
            f"{where}:1: its pseudonyms are of salt {head.salt_id!r}, expected {salt_id!r}; give "
            "this machine the salt they were made with, or the same person counts as two"
        )
    for _, row in parse_jsonl(rest, where, LedgerRow):
        ledger.add(row.to_item())
    return ledger


def ledger_lines(items: Iterable[tuple[Key, Item]], salt_id: str) -> Iterator[bytes]:
    """Yields the lines of a ledger's file, in the order of identities."""
    yield LedgerHead(salt_id=salt_id).model_dump_json().encode() + b"\n"
    for _, item in sorted(items, key=lambda pair: pair[0]):
        row = {
            "id": item.id,
            "text": item.text,
            "lang": item.lang,
            "source": item.source,
            "selection": item.selection,
            "honeypot": item.honeypot or None,
            "reference": _reference_row(item.reference),
            "answers": [_answer_row(who, item.answers[who]) for who in sorted(item.answers)],
        }
        told = {name: value for name, value in row.items() if value is not None}
        yield json.dumps(told, ensure_ascii=False).encode() + b"\n"


def _reference_row(answer: Answer | None) -> dict[str, object] | None:
    if answer is None or answer.label is None:
        return None
    return {"label": answer.label, "at": answer.at}


def _answer_row(who: str, answer: Answer) -> dict[str, object]:
    row = {
        "annotator": who,
        "kind": answer.kind.value,
        "label": answer.label,
        "at": answer.at or None,
        "lead_time_s": answer.lead_time_s,
        "shown": answer.shown,
    }
    return {name: value for name, value in row.items() if value is not None}
