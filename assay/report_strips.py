"""The forest plot, one row a finding: interval, point, limit and reference on a shared scale.

Decides how a finding looks as a picture. Each row is its own drawing, so that it stands in the
findings' table beside its numbers and keeps its size on a phone.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import Markup

from assay.report_numbers import number, signed
from assay.report_svg import COLOURS, drawing, new_figure, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT, AXIS_HEIGHT = 280, 34, 22
_PADDING = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The shared axis of a group: ends, unit, and where candidate and production are the same."""

    low: float
    high: float
    unit: str
    reference: float | None


def strip_svg(
    scale: Scale,
    *,
    name: str,
    interval: tuple[float, float],
    point: float | None,
    limit: float | None,
    good: Literal["left", "right"] | None,
    status: str,
) -> Markup:
    """Draws one finding.

    Args:
        scale: the group's axis.
        name: unique in the page.
        interval: lower and upper end.
        point: what was measured.
        limit: where the forbidden zone begins.
        good: the side of the limit that passes.
        status: `passed`, `failed` or `undecided`: the colour.
    """
    with drawing():
        figure, axes = _canvas(scale, HEIGHT)
        axes.set_ylim(-1, 1)
        if limit is not None and good is not None:
            ends = (scale.low, limit) if good == "right" else (limit, scale.high)
            axes.axvspan(*ends, color=COLOURS["zone"], linewidth=0, zorder=0)
            axes.axvline(limit, color=COLOURS["failed"], linewidth=1, dashes=(3, 3), zorder=1)
        if scale.reference is not None:
            axes.axvline(scale.reference, color=COLOURS["muted"], linewidth=1, zorder=1)
        colour = COLOURS[status]
        axes.plot(interval, (0, 0), color=colour, linewidth=3, solid_capstyle="round", zorder=3)
        for end in interval:
            axes.plot((end, end), (-0.3, 0.3), color=colour, linewidth=2, zorder=3)
        if point is not None:
            axes.plot(
                point,
                0,
                marker="o",
                markersize=9,
                markerfacecolor=colour,
                markeredgecolor=COLOURS["surface"],
                markeredgewidth=1.5,
                zorder=4,
            )
        return to_svg(figure, name, style="strip")


def axis_svg(scale: Scale, *, name: str) -> Markup:
    """Draws the group's axis: a few labelled ticks."""
    from matplotlib.ticker import MaxNLocator

    with drawing():
        figure, axes = _canvas(scale, AXIS_HEIGHT)
        axes.set_ylim(0, 1)
        ticks = MaxNLocator(nbins=4).tick_values(scale.low, scale.high)
        room = 0.06 * (scale.high - scale.low)
        for tick in ticks:
            if scale.low + room <= tick <= scale.high - room or tick == scale.reference:
                axes.plot((tick, tick), (0, 0.18), color=COLOURS["muted"], linewidth=1)
                axes.text(
                    tick, 0.35, _tick(float(tick), scale), ha="center", color=COLOURS["muted"]
                )
        return to_svg(figure, name, style="axis")


def _canvas(scale: Scale, height: int) -> tuple[Any, "Axes"]:
    figure = new_figure(WIDTH, height)
    side = _PADDING / WIDTH
    axes = figure.add_axes((side, 0.0, 1 - 2 * side, 1.0))
    axes.set_xlim(scale.low, scale.high)
    axes.set_axis_off()
    return figure, axes


def _tick(value: float, scale: Scale) -> str:
    if scale.reference == 1.0:
        return f"{value:g}×"
    text = number(value, scale.unit) if scale.reference is None else signed(value, scale.unit)
    head, _, tail = text.partition(" ")
    if "." in head:
        head = head.rstrip("0").rstrip(".")
    return "0" if head.strip("±") == "0" else f"{head} {tail}".strip()
