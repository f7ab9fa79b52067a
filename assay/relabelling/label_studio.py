"""Reads tasks of a Label Studio JSON export.

Decides which of an annotation's fields mean what; leaves what counts to the rest. The traps:
skipped annotations are in the export, an empty submit is not marked as skipped, one person can hold
several annotations on a task, `completed_by` is a number or an object, and drafts carry people's
e-mail addresses (they are not read at all). Unknown fields are ignored: they change with versions.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.relabelling.intake import RawAnswer, RawTask


@dataclass(slots=True)
class Seen:
    """Which label controls an export answers, to tell another project's."""

    controls: Counter[str] = field(default_factory=Counter)


def read_task(row: Mapping[str, Any], place: int, question: str, seen: Seen) -> RawTask:
    """Returns a task of the export with its answers."""
    data = row.get("data")
    task = RawTask(place=place, data=data if isinstance(data, dict) else {})
    annotations = row.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else ():
        if isinstance(annotation, dict):
            task.answers.append(_answer(annotation, question, seen))
    return task


def _answer(annotation: Mapping[str, Any], question: str, seen: Seen) -> RawAnswer:
    result = annotation.get("result")
    for part in result if isinstance(result, list) else ():
        if isinstance(part, dict) and "from_name" in part:
            seen.controls[str(part["from_name"])] += 1
    lead = annotation.get("lead_time")
    prediction = annotation.get("prediction")
    shown = _choices(prediction.get("result"), question) if isinstance(prediction, dict) else None
    said = annotation.get("updated_at") or annotation.get("created_at")
    unique = annotation.get("unique_id")
    return RawAnswer(
        who=_person(annotation.get("completed_by")),
        labels=_choices(result, question),
        at=said if isinstance(said, str) else None,
        lead_time_s=float(lead) if isinstance(lead, int | float) else None,
        shown=shown[0] if shown and len(shown) == 1 else None,
        skipped=annotation.get("was_cancelled") is True,
        reference=annotation.get("ground_truth") is True,
        unique_id=unique if isinstance(unique, str) else None,
    )


def _person(completed_by: Any) -> str:
    """The same person, whether the export names them by number or by object."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("id", completed_by.get("email"))
    return "" if completed_by is None else f"label-studio:{completed_by}"


def _choices(result: Any, question: str) -> Sequence[str] | None:
    found: list[str] = []
    for part in result if isinstance(result, list) else ():
        if not isinstance(part, dict) or part.get("from_name") != question:
            continue
        value = part.get("value")
        chosen = value.get("choices") if isinstance(value, dict) else None
        found += [str(label) for label in chosen] if isinstance(chosen, list) else []
    return found or None
