"""The evaluators' tables as the report shows them, recognised by their shape.

Decides how a table is drawn: a matrix (`rows`, `columns`, `counts`), records (a list of objects),
or facts (an object of scalars), so that an evaluator nobody has written yet is shown too. Curves
are drawn by `report_plots`. What cannot be recognised is left out, never guessed at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.records import INVALID_LABEL
from assay.report_numbers import MISSING, loose, slug, words

MAX_ROWS = 200
"""A longer table is cut, and says so: the report must open on a phone."""

TITLES: Mapping[str, str] = {
    "confusion_candidate": "What the candidate answered",
    "confusion_production": "What production answered",
    "flips": "What changed between the two",
    "noise_floor": "What changes when production is asked twice",
    "flagged": "Probes that drew a toxic answer",
    "succeeded": "Injections that got their way",
    "by_language": "By language",
    "counts": "Timed requests",
    "pairs": "The same questions, both models",
    "scorer": "The scorer",
}

_BETWEEN: Mapping[str, tuple[str, str]] = {
    "flips": ("Production’s answer", "Candidate’s answer"),
    "noise_floor": ("Production’s first answer", "Its second answer"),
}
"""Matrices of answers against answers: what the rows are, and the columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One count of a matrix: `weight` (0 to 1) is its share of the row; `same` is the diagonal."""

    count: int
    weight: float
    same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A matrix of counts; `across` says what the columns are and `down` what the rows are."""

    id: str
    title: str
    down: str
    across: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Rows of text under named columns; `cut` counts rows that are not shown."""

    id: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    cut: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IdSets:
    """Ids of probes by the model that went wrong on them; `both` counts those of both models."""

    title: str
    sets: tuple[tuple[str, tuple[str, ...]], ...]
    both: int


def matrix(evaluator: str, name: str, value: Any) -> Matrix | None:
    """Reads a matrix of counts, or returns None where the value is not one."""
    if not _is_matrix(value):
        return None
    columns, names = [str(c) for c in value["columns"]], [str(r) for r in value["rows"]]
    flips = name in _BETWEEN
    kept = _kept_columns(columns, names, value["counts"])
    rows = []
    for label, counts in zip(names, value["counts"], strict=True):
        total = sum(counts)
        if flips and label == INVALID_LABEL and not total:
            continue
        cells = tuple(
            Cell(
                count=counts[index],
                weight=round(counts[index] / total, 4) if total else 0.0,
                same=columns[index] == label,
            )
            for index in kept
        )
        rows.append((_class(label), cells))
    return Matrix(
        id=slug(f"{evaluator}-{name}"),
        title=TITLES.get(name, words(name)),
        down=_BETWEEN.get(name, ("True class", "Answer"))[0],
        across=_BETWEEN.get(name, ("True class", "Answer"))[1],
        note=_flip_note(value) if flips else "",
        columns=tuple(_class(columns[index]) for index in kept),
        rows=tuple(rows),
    )


def grid(evaluator: str, name: str, value: Any) -> Grid | None:
    """Reads records, facts, or facts of each model; None where the value is none of them."""
    rows = _records(value)
    if not rows:
        return None
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(key for row in flat for key in row))
    return Grid(
        id=slug(f"{evaluator}-{name}"),
        title=TITLES.get(name, words(name)),
        columns=tuple(words(column) for column in columns),
        rows=tuple(tuple(loose(row.get(column)) for column in columns) for row in flat[:MAX_ROWS]),
        cut=max(0, len(flat) - MAX_ROWS),
    )


def id_sets(name: str, value: Any) -> IdSets | None:
    """Reads ids listed for both models as what changed between them; None where it is no such list.

    With one model alone there is no change: its ids are a plain list.
    """
    if not isinstance(value, Mapping) or not value.keys() <= {"candidate", "production"}:
        return None
    lists = list(value.values())
    if not lists or not all(
        isinstance(ids, (list, tuple)) and all(isinstance(item, str) for item in ids)
        for ids in lists
    ):
        return None
    if "production" not in value or "candidate" not in value:
        return IdSets(title=words(name), sets=(("Candidate", tuple(lists[0])),), both=0)
    ours, theirs = value["candidate"], value["production"]
    return IdSets(
        title=TITLES.get(name, words(name)),
        sets=(
            ("The candidate alone", tuple(item for item in ours if item not in set(theirs))),
            ("Production alone", tuple(item for item in theirs if item not in set(ours))),
        ),
        both=len(set(ours) & set(theirs)),
    )


def _is_matrix(value: Any) -> bool:
    if not isinstance(value, Mapping) or not {"rows", "columns", "counts"} <= value.keys():
        return False
    counts = value["counts"]
    return len(counts) == len(value["rows"]) and all(
        len(row) == len(value["columns"]) and all(isinstance(item, int) for item in row)
        for row in counts
    )


def _kept_columns(
    columns: Sequence[str], names: Sequence[str], counts: Sequence[Sequence[int]]
) -> list[int]:
    """Leaves the column of invalid answers out where nobody gave one."""
    return [
        index
        for index, column in enumerate(columns)
        if column != INVALID_LABEL or any(row[index] for row in counts)
    ]


def _class(label: str) -> str:
    return "no label" if label == INVALID_LABEL else label


def _flip_note(value: Mapping[str, Any]) -> str:
    changed, n = value.get("changed"), value.get("n")
    if not isinstance(changed, int) or not isinstance(n, int) or n == 0:
        return ""
    return f"{changed:,} of {n:,} answers changed ({100 * changed / n:.1f} %)."


def _records(value: Any) -> list[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        nested = [item for item in value.values() if isinstance(item, Mapping)]
        if nested and len(nested) == len(value):
            return [{"": key, **item} for key, item in value.items()]
        if any(isinstance(item, (Mapping, list, tuple)) for item in value.values()):
            return []
        return [{"": words(str(key)), "value": item} for key, item in value.items()]
    if isinstance(value, (list, tuple)) and value:
        if all(isinstance(item, Mapping) for item in value):
            return list(value)
        if not any(isinstance(item, (list, tuple, Mapping)) for item in value):
            return [{"": item} for item in value]
    return []


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Spreads one level of nesting: `{"candidate": {"macro": 1}}` → `{"candidate macro": 1}`."""
    flat: dict[str, Any] = {}
    for key, item in row.items():
        if isinstance(item, Mapping):
            flat |= {f"{key} {inner}": value for inner, value in item.items()}
        elif isinstance(item, (list, tuple)):
            flat[key] = ", ".join(loose(part) for part in item) or MISSING
        else:
            flat[key] = item
    return {key: item for key, item in flat.items() if not isinstance(item, (Mapping, list))}
