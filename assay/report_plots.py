"""The report's curves: the share of requests answered within a time, for both models.

Decides what the latency plot looks like; which times are drawn is `report_latency`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from assay.report_svg import COLOURS, new_figure, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 420, 250
_LEFT, _RIGHT, _BOTTOM, _TOP = 46, 18, 30, 10
_LOG_BEYOND = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A distribution: `times_ms` are percentiles at equal steps from the least to the greatest."""

    role: str
    times_ms: Sequence[float]

    def at(self, share: float) -> float:
        """Returns the time within which a share (0 to 1) of the requests was answered."""
        return self.times_ms[round(share * (len(self.times_ms) - 1))]


def curves_svg(curves: Sequence[Curve], *, name: str, objective_ms: float | None = None) -> Markup:
    """Draws the curves, with the objective as a dashed line where there is one."""
    figure = new_figure(WIDTH, HEIGHT)
    inner = (1 - (_LEFT + _RIGHT) / WIDTH, 1 - (_BOTTOM + _TOP) / HEIGHT)
    axes = figure.add_axes((_LEFT / WIDTH, _BOTTOM / HEIGHT, *inner), frameon=False)
    for curve in curves:
        candidate = curve.role == "candidate"
        last = len(curve.times_ms) - 1
        axes.plot(
            curve.times_ms,
            [100 * index / last if last else 100 for index in range(last + 1)],
            color=COLOURS["candidate" if candidate else "production"],
            linewidth=2.5 if candidate else 2,
            dashes=(1, 0) if candidate else (4, 2),
            zorder=4 if candidate else 3,
        )
    _frame(axes, curves, objective_ms)
    return to_svg(figure, name, style="plot")


def _frame(axes: "Axes", curves: Sequence[Curve], objective_ms: float | None) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    axes.set_ylim(0, 101)
    axes.set_yticks((0, 25, 50, 75, 100), ("0 %", "25 %", "50 %", "75 %", "100 %"))
    low = min(curve.times_ms[0] for curve in curves)
    high = max(curve.times_ms[-1] for curve in curves)
    if objective_ms is not None:
        axes.axvline(objective_ms, color=COLOURS["failed"], linewidth=1.25, dashes=(3, 3))
        low, high = min(low, objective_ms), max(high, objective_ms)
    if low > 0 and high / low > _LOG_BEYOND:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.1, high * 1.1)
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0.0, 1.04 * high if high > 0 else 1.0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g} ms"))
    axes.tick_params(length=0, labelcolor=COLOURS["muted"], pad=9)
    axes.tick_params(which="minor", length=0)
    axes.grid(visible=True, axis="y", color=COLOURS["line"], linewidth=1)
    axes.set_axisbelow(True)
