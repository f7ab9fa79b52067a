"""Reads flattened Argilla records (`records.to_list(flatten=True)`, Argilla 2).

Decides which keys hold what; a response without the status `submitted` does not count (a discarded
one looks submitted in a nested export, which is why those are refused). Argilla tells neither when
a response was given nor how long it took: both stay unknown.
"""

from collections.abc import Mapping
from typing import Any

from assay.relabelling.intake import RawAnswer, RawTask
from assay.relabelling.label_studio import Seen

_RESPONSES = ".responses"


def is_flat(row: Mapping[str, Any]) -> bool:
    """Whether a row is a flattened record with responses."""
    return any(name.endswith(_RESPONSES) for name in row)


def is_nested(row: Mapping[str, Any]) -> bool:
    """Whether a row is a nested record."""
    return isinstance(row.get("fields"), dict) and "responses" in row


def read_record(row: Mapping[str, Any], place: int, question: str, seen: Seen) -> RawTask:
    """Returns a record of the export with its answers."""
    seen.controls.update(
        name.removesuffix(_RESPONSES) for name in row if name.endswith(_RESPONSES) and row[name]
    )
    data = {name.removeprefix("metadata."): value for name, value in row.items()}
    task = RawTask(place=place, data=data)
    labels = _listed(row.get(f"{question}{_RESPONSES}"))
    people = _listed(row.get(f"{question}{_RESPONSES}.users"))
    states = _listed(row.get(f"{question}{_RESPONSES}.status"))
    if len(people) != len(labels) or len(states) != len(labels):
        return task  # without person or status there is no telling what counts
    shown = row.get(f"{question}.suggestion")
    for label, who, state in zip(labels, people, states, strict=True):
        chosen = label if isinstance(label, list) else [label]
        task.answers.append(
            RawAnswer(
                who="" if who is None else f"argilla:{who}",
                labels=[str(one) for one in chosen if one is not None],
                shown=shown if isinstance(shown, str) else None,
                skipped=str(state).rpartition(".")[2] != "submitted",
            )
        )
    return task


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
