"""Reads flat JSONL: one answer a line, or one text with its answers a line.

::

    {"id": "c-1", "text": "…", "annotator": "an", "label": "joy", "at": "2026-11-23T12:00:00Z"}
    {"id": "c-1", "text": "…", "annotations": {"an": "joy", "binh": "fear"}}

Decides what the fields mean; `lang`, `source`, `selection`, `honeypot`, `lead_time_s`, `shown`,
`skipped` and `unique_id` may be there. A label may be null: the person gave none.
"""

from collections.abc import Mapping
from typing import Any

from assay.relabelling.intake import RawAnswer, RawTask


def is_flat_row(row: Mapping[str, Any]) -> bool:
    """Whether a row is one of the two."""
    return "annotator" in row or isinstance(row.get("annotations"), dict)


def read_row(row: Mapping[str, Any], place: int) -> RawTask:
    """Returns a row with its answer, or its answers."""
    task = RawTask(place=place, data=row)
    if "annotator" not in row:
        at = row.get("at")
        for who, label in row["annotations"].items():
            said = at if isinstance(at, str) else None
            task.answers.append(RawAnswer(f"flat:{who}", _labels(label), said))
        return task
    who, at, lead, shown = (row.get(n) for n in ("annotator", "at", "lead_time_s", "shown"))
    unique = row.get("unique_id")
    task.answers.append(
        RawAnswer(
            who="" if who in (None, "") else f"flat:{who}",
            labels=_labels(row.get("label")),
            at=at if isinstance(at, str) else None,
            lead_time_s=float(lead) if isinstance(lead, int | float) else None,
            shown=shown if isinstance(shown, str) else None,
            skipped=row.get("skipped") is True,
            reference=row.get("reference") is True,
            unique_id=unique if isinstance(unique, str) else None,
        )
    )
    return task


def _labels(label: Any) -> list[str] | None:
    if label is None:
        return None
    return [str(one) for one in label] if isinstance(label, list) else [str(label)]
