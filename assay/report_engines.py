"""Tables of the timed load in the report: percentiles with their bounds, and the engines' figures.

Decides how a figure of each unit is written; which figures there are is the `latency` evaluator's
(tables `percentile_rows` and `engines`). What was not measured, or not told, is a dash.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from assay.report_numbers import MISSING, number, slug
from assay.report_tables import Grid

PERCENTILES, ENGINES = "percentile_rows", "engines"
_ROLES = ("candidate", "production")
_GIB = 2**30


def interval_grid(
    evaluator: str, tables: Mapping[str, Any], kinds: Mapping[str, str]
) -> Grid | None:
    """Returns the percentiles of each model with their bounds; None where there are none.

    Args:
        evaluator: whose tables.
        tables: name → value.
        kinds: kind of time → what it is called.
    """
    rows = tables.get(PERCENTILES)
    if not isinstance(rows, Sequence) or not rows:
        return None
    roles = _present(rows)
    return Grid(
        id=slug(f"{evaluator}-percentiles"),
        title="Percentiles, with what the requests leave open",
        columns=("", *(role.capitalize() for role in roles)),
        rows=tuple(
            (
                f"{kinds.get(row['kind'], row['kind'])}, p{100 * row['share']:g}",
                *(_bounded(row.get(role)) for role in roles),
            )
            for row in rows
        ),
    )


def engine_grid(evaluator: str, tables: Mapping[str, Any]) -> Grid | None:
    """Returns what the engines told of themselves during the load; None where none told."""
    rows = tables.get(ENGINES)
    if not isinstance(rows, Sequence) or not rows:
        return None
    roles = _present(rows)
    return Grid(
        id=slug(f"{evaluator}-engines"),
        title="The engines during the load",
        columns=("", *(role.capitalize() for role in roles)),
        rows=tuple(
            (row["figure"], *(_figure(row.get(role), row["unit"]) for role in roles))
            for row in rows
        ),
    )


def _present(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(role for role in _ROLES if any(role in row for row in rows))


def _bounded(value: Mapping[str, float | None] | None) -> str:
    if value is None:
        return MISSING
    low, high = value.get("lower"), value.get("upper")
    ends = (
        f"{_plain(low)} to {_plain(high)}" if low is not None or high is not None else "no bounds"
    )
    return f"{number(value['value'], 'ms')} ({ends})"


def _plain(value: float | None) -> str:
    return "?" if value is None else number(value, "ms").removesuffix(" ms")


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return MISSING
    if unit == "bytes":
        return f"{value / _GIB:,.2f} GiB"
    if unit == "cores":
        return f"{value:,.2f}"
    return number(value, unit) if unit in ("share", "ms") else f"{value:,.0f}"
