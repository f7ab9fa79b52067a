"""Latency in the report: the curve of each kind of time, the load over time, and percentiles.

Decides which of an evaluator's tables hold curves (`percentiles_ms`: role → kind → the 101
percentiles in ms) and how they are worded for those who cannot see them. Percentiles come from the
verdict's metrics: what too few requests were timed for is absent there, and a dash here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from assay.report_numbers import number, slug
from assay.report_plots import Curve, curves_svg
from assay.report_tables import Grid
from assay.report_timeline import Panel, panels, spoken, timeline_svg

CURVES = "percentiles_ms"
KINDS: Mapping[str, str] = {
    "ttft": "Time to the first token",
    "tpot": "Time per further token",
    "e2e": "Time to the whole answer",
}
_METRIC = re.compile(r"(?P<kind>[a-z0-9]+)_p(?P<share>[0-9.]+)_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPlot:
    """One kind of time: its drawing, and the same in words."""

    title: str
    spoken: str
    svg: Markup
    paired: bool
    objective: str
    caption: str = ""


def latency_plots(
    evaluator: str, tables: Mapping[str, Any], objectives: Mapping[str, float]
) -> tuple[LatencyPlot, ...]:
    """Draws every kind of time that was measured.

    Args:
        evaluator: whose tables.
        tables: name → value.
        objectives: kind → the time that the policy allows, in ms.
    """
    value = tables.get(CURVES)
    if not isinstance(value, Mapping):
        return ()
    kinds = dict.fromkeys(kind for times in value.values() for kind in times)
    found = []
    for kind in kinds:
        curves = tuple(
            Curve(role=role, times_ms=times[kind])
            for role, times in value.items()
            if times.get(kind)
        )
        if curves:
            name = slug(f"{evaluator}-{kind}")
            found.append(_plot(name, kind, curves, objectives.get(kind)))
    drawn = panels(tables)
    if drawn:
        found.append(_over_time(slug(f"{evaluator}-timeline"), drawn))
    return tuple(found)


def objectives_of(limits: Mapping[str, float]) -> dict[str, float]:
    """Returns kind → strictest objective, from metric → limit in ms."""
    found: dict[str, float] = {}
    for metric, limit in limits.items():
        match = _METRIC.fullmatch(metric)
        if match:
            found[match["kind"]] = min(limit, found.get(match["kind"], limit))
    return found


def percentile_grid(evaluator: str, metrics: Mapping[str, Mapping[str, float]]) -> Grid | None:
    """Returns the percentiles of both models as rows; None where there are none."""
    rows: dict[tuple[str, float], dict[str, float]] = {}
    for role, values in metrics.items():
        for key, value in values.items():
            match = _METRIC.fullmatch(key.removeprefix(f"{evaluator}/"))
            if match and key.startswith(f"{evaluator}/"):
                rows.setdefault((match["kind"], float(match["share"])), {})[role] = value
    if not rows:
        return None
    order = list(KINDS)
    keys = sorted(rows, key=lambda k: (order.index(k[0]) if k[0] in order else len(order), k))
    return Grid(
        id=slug(f"{evaluator}-percentiles"),
        title="Percentiles",
        columns=("", *(role.capitalize() for role in metrics)),
        rows=tuple(
            (
                f"{KINDS.get(kind, kind)}, p{share:g}",
                *(number(rows[kind, share].get(role), "ms") for role in metrics),
            )
            for kind, share in keys
        ),
    )


def _over_time(name: str, drawn: Sequence[Panel]) -> LatencyPlot:
    title = "The load over time"
    return LatencyPlot(
        title=title,
        spoken=f"{title}. {spoken(drawn)}",
        svg=timeline_svg(drawn, name=name),
        paired=any(len(panel.lines) > 1 for panel in drawn),
        objective="",
        caption="Each point is a block of requests. The models took turns, so a machine that slows "
        "down slows both lines.",
    )


def _plot(
    name: str, kind: str, curves: tuple[Curve, ...], objective_ms: float | None
) -> LatencyPlot:
    title = KINDS.get(kind, kind)
    halves = ", ".join(
        f"{curve.role}: half within {number(curve.at(0.5), 'ms')}, 95 % within "
        f"{number(curve.at(0.95), 'ms')}"
        for curve in curves
    )
    return LatencyPlot(
        title=title,
        spoken=f"{title}. {halves}.",
        svg=curves_svg(curves, name=name, objective_ms=objective_ms),
        paired=len(curves) > 1,
        objective="" if objective_ms is None else number(objective_ms, "ms"),
    )
