"""An export's items as Label Studio tasks, as its labelling configuration, and as flat rows.

Decides the fields that people's tools get; `assay.relabelling` reads the same ones back. The id is
ours (`request_id`, or `case_id` for a golden case): those of the platform are per project. What a
honeypot's label is stays here: an annotation marked as ground truth would show it to everybody who
opens the task.
"""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

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
    item: ReviewItem, *, question: str, blind: Sequence[str], export: str
) -> dict[str, Any]:
    """Returns an item as Label Studio imports it, with the model's label as its prediction.

    Args:
        item: what to ask about.
        question: name of the control.
        blind: reasons whose texts are shown without the model's label.
        export: id of the export, so that a push that broke off can be gone on with.
    """
    task: dict[str, Any] = {"data": {**_data(item), "export": export}}
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


def flat_row(item: ReviewItem, blind: Sequence[str]) -> dict[str, Any]:
    """Returns an item as one line of `review.jsonl`.

    People add `annotator`, `label`, `at` and `lead_time_s`, one line an answer.
    """
    row = _data(item)
    identity = row.pop("case_id", None) or row.pop("request_id")
    shown = item.shown if item.selection not in blind else None
    return {"id": identity, **row, "shown": shown.label if shown else None}


def _data(item: ReviewItem) -> dict[str, Any]:
    data: dict[str, Any] = {"case_id" if item.golden else "request_id": item.id, "text": item.text}
    if item.lang is not None:
        data["lang"] = item.lang
    data |= {"source": item.source, "selection": item.selection}
    if item.selection == HONEYPOT:
        data["honeypot"] = True
    return data
