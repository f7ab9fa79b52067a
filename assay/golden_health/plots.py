"""The pictures of the golden set's page: bars and pairs of bars, in the page's own colours.

Decides what a plot looks like; which numbers are drawn is `page`'s.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from assay.report_svg import COLOURS, new_figure, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 104, 40, 8, 26
_ROW = 26
_NAME = 15
"""Characters of a name that the margin holds."""


def bars_svg(
    names: Sequence[str],
    values: Sequence[float],
    *,
    name: str,
    marks: Sequence[float | None] = (),
) -> Markup:
    """Draws a horizontal bar a name, its value at the end.

    Args:
        names: from top to bottom.
        values: at least 0.
        name: unique in the page.
        marks: for each bar a value that is marked by an upright stroke, or None.
    """
    figure, axes = _axes(len(names))
    places = range(len(names))
    axes.barh(places, values, height=0.62, color=COLOURS["candidate"], linewidth=0)
    for place, value in zip(places, values, strict=True):
        _label(axes, value, place, f"{value:,.6g}")
    for place, mark in zip(places, marks, strict=False):
        if mark is not None:
            axes.plot(
                (mark, mark), (place - 0.42, place + 0.42), color=COLOURS["failed"], linewidth=2
            )
    _finish(axes, names, max((*values, *(m for m in marks if m is not None)), default=1.0))
    return to_svg(figure, name, style="plot")


def pairs_svg(
    names: Sequence[str], golden: Sequence[float], traffic: Sequence[float], *, name: str
) -> Markup:
    """Draws, for each name, the share of the golden set above that of traffic."""
    figure, axes = _axes(len(names), row=34)
    places = range(len(names))
    for shares, offset, colour in ((golden, -0.19, "candidate"), (traffic, 0.19, "production")):
        at = [place + offset for place in places]
        axes.barh(at, [100 * share for share in shares], height=0.34, color=COLOURS[colour])
        for place, share in zip(at, shares, strict=True):
            _label(axes, 100 * share, place, f"{100 * share:.1f}")
    _finish(axes, names, 100 * max((*golden, *traffic)), unit=" %")
    return to_svg(figure, name, style="plot")


def stacked_svg(
    names: Sequence[str], parts: Sequence[tuple[int, int, int]], *, name: str
) -> Markup:
    """Draws, for each name, the shares of cases never, sometimes and always answered right."""
    figure, axes = _axes(len(names))
    places = range(len(names))
    totals = [sum(part) for part in parts]
    left = [0.0] * len(names)
    for index, colour in enumerate(("failed", "line", "passed")):
        shares = [100 * part[index] / total for part, total in zip(parts, totals, strict=True)]
        axes.barh(places, shares, left=left, height=0.62, color=COLOURS[colour], linewidth=0)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    _finish(axes, names, 100.0, unit=" %")
    return to_svg(figure, name, style="plot")


def _axes(rows: int, row: int = _ROW) -> "tuple[Figure, Axes]":
    height = _TOP + _BOTTOM + row * rows
    figure = new_figure(WIDTH, height)
    inner = (1 - (_LEFT + _RIGHT) / WIDTH, 1 - (_TOP + _BOTTOM) / height)
    axes = figure.add_axes((_LEFT / WIDTH, _BOTTOM / height, *inner), frameon=False)
    return figure, axes


def _label(axes: "Axes", x: float, y: float, text: str) -> None:
    axes.annotate(
        text, (x, y), xytext=(4, 0), textcoords="offset points", va="center", color=COLOURS["muted"]
    )


def _finish(axes: "Axes", names: Sequence[str], highest: float, unit: str = "") -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    short = [name if len(name) <= _NAME else name[: _NAME - 1] + "…" for name in names]
    axes.set_yticks(range(len(names)), short)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, highest or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}{unit}"))
    axes.tick_params(axis="x", length=0, labelcolor=COLOURS["muted"], pad=6)
    axes.tick_params(axis="y", length=0, labelcolor=COLOURS["ink"], pad=8)
    axes.grid(visible=True, axis="x", color=COLOURS["line"], linewidth=1)
    axes.set_axisbelow(True)
