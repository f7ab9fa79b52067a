"""An export's items as Label Studio tasks, as its labelling configuration, and as flat rows.

Decides the fields that people's tools get; `assay.relabelling` reads the same ones back. A task
says nothing but its text, a name without meaning and, where every text has one, its language: an
id, a source or the reason why a text was drawn would give the honeypots away, and often their
labels. Those stay in `identity_row`, which never leaves; so does what a honeypot's label is.
"""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from assay.relabelling.identities import FIELD, IdentityRow
from assay.review.admission import ReviewItem
from assay.review.policy import HONEYPOT

_TEXT = "text"
_HOTKEYS = "1234567890"


def labelling_config(question: str, labels: Sequence[str]) -> str:
    """Returns the labelling configuration: the text, and one choice among the task's labels.

    Args:
        question: name of the control; ingestion looks for answers under it.
        labels: the task's, in its order; the first ten have a key.
    """
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Text", name=_TEXT, value=f"${_TEXT}")
    choices = ElementTree.SubElement(
        view, "Choices", name=question, toName=_TEXT, choice="single", required="true"
    )
    for at, label in enumerate(labels):
        choice = ElementTree.SubElement(choices, "Choice", value=label)
        if at < len(_HOTKEYS):
            choice.set("hotkey", _HOTKEYS[at])
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def label_studio_task(
    item: ReviewItem,
    name: str,
    *,
    question: str,
    blind: Sequence[str],
    export: str,
    languages: bool = True,
) -> dict[str, Any]:
    """Returns an item as Label Studio imports it, with the model's label as its prediction.

    Args:
        item: what to ask about.
        name: its opaque name in this export.
        question: name of the control.
        blind: reasons whose texts are shown without the model's label.
        export: id of the export, so that a push that broke off can be gone on with.
        languages: whether tasks say their language.
    """
    task: dict[str, Any] = {"data": {**_data(item, name, languages=languages), "export": export}}
    if item.shown is not None and item.selection not in blind:
        answer = {
            "from_name": question,
            "to_name": _TEXT,
            "type": "choices",
            "value": {"choices": [item.shown.label]},
        }
        prediction: dict[str, Any] = {"model_version": item.shown.model_version, "result": [answer]}
        if item.shown.score is not None:
            prediction["score"] = item.shown.score
        task["predictions"] = [prediction]
    return task


def flat_row(
    item: ReviewItem, name: str, blind: Sequence[str], *, languages: bool = True
) -> dict[str, Any]:
    """Returns an item as one line of `review.jsonl`.

    People add `annotator`, `label`, `at` and `lead_time_s`, one line an answer.
    """
    shown = item.shown if item.selection not in blind else None
    row = _data(item, name, languages=languages)
    return {**row, "shown": shown.label if shown else None}


def identity_row(item: ReviewItem, name: str) -> IdentityRow:
    """Returns what a task does not say."""
    return IdentityRow(
        name=name,
        id=item.id,
        lang=item.lang,
        source=item.source,
        selection=item.selection,
        honeypot=item.selection == HONEYPOT,
    )


def _data(item: ReviewItem, name: str, *, languages: bool) -> dict[str, Any]:
    data: dict[str, Any] = {FIELD: name, "text": item.text}
    return data | ({"lang": item.lang} if languages and item.lang is not None else {})
