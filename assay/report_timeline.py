"""The load over time in the report: rate, first token and queue, one panel under the other.

Decides what the timeline looks like and how it is said in words; its figures are the `latency`
evaluator's tables `timeline` (block by block) and `queue` (what the engines told). An engine that
told nothing has no line: never one at zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from assay.report_numbers import number
from assay.report_svg import COLOURS, new_figure, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TIMELINE, QUEUE = "timeline", "queue"

WIDTH = 420
_PANEL, _GAP, _TOP, _BOTTOM, _LEFT, _RIGHT = 84, 34, 26, 30, 46, 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One model's line in a panel: seconds and values, as many of the one as of the other."""

    role: str
    at_s: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel: its title, unit and lines."""

    title: str
    unit: str
    lines: tuple[Line, ...]


def panels(tables: Mapping[str, Any]) -> tuple[Panel, ...]:
    """Returns the panels that the tables hold something for, in the order they are drawn."""
    found = (
        Panel(
            title="Requests a second",
            unit="1/s",
            lines=_lines(tables.get(TIMELINE), "requests_per_s"),
        ),
        Panel(
            title="First token, median of each block (ms)",
            unit="ms",
            lines=_lines(tables.get(TIMELINE), "ttft_p50_ms"),
        ),
        Panel(
            title="Requests waiting in the engine",
            unit="requests",
            lines=_lines(tables.get(QUEUE), "waiting"),
        ),
    )
    return tuple(panel for panel in found if panel.lines)


def spoken(drawn: Sequence[Panel]) -> str:
    """Says what the panels show, for those who cannot see them."""
    sentences = []
    for panel in drawn:
        ranges = "; ".join(
            f"{line.role} from {_words(min(line.values), panel)} to "
            f"{_words(max(line.values), panel)}"
            for line in panel.lines
        )
        sentences.append(f"{panel.title}: {ranges}.")
    return " ".join(sentences)


def timeline_svg(drawn: Sequence[Panel], *, name: str) -> Markup:
    """Draws the panels over one axis of time."""
    height = _TOP + len(drawn) * _PANEL + (len(drawn) - 1) * _GAP + _BOTTOM
    figure = new_figure(WIDTH, height)
    end_s = max(line.at_s[-1] for panel in drawn for line in panel.lines)
    for index, panel in enumerate(drawn):
        top = _TOP + index * (_PANEL + _GAP)
        box = (_LEFT / WIDTH, 1 - (top + _PANEL) / height, 1 - (_LEFT + _RIGHT) / WIDTH)
        axes = figure.add_axes((*box, _PANEL / height), frameon=False)
        _draw(axes, panel, end_s, last=index == len(drawn) - 1)
    return to_svg(figure, name, style="plot")


def _draw(axes: "Axes", panel: Panel, end_s: float, *, last: bool) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for line in panel.lines:
        candidate = line.role == "candidate"
        axes.plot(
            line.at_s,
            line.values,
            color=COLOURS["candidate" if candidate else "production"],
            linewidth=2.5 if candidate else 2,
            dashes=(1, 0) if candidate else (4, 2),
            marker="o",
            markersize=3.5,
            zorder=4 if candidate else 3,
        )
    highest = max(max(line.values) for line in panel.lines)
    axes.set_xlim(0.0, 1.02 * end_s if end_s > 0 else 1.0)
    axes.set_ylim(0.0, 1.15 * highest if highest > 0 else 1.0)
    axes.set_title(panel.title, loc="left", fontsize=10, color=COLOURS["ink"], x=-0.115, pad=8)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=panel.unit == "requests"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g} s"))
    axes.tick_params(length=0, labelcolor=COLOURS["muted"], pad=7, labelbottom=last)
    axes.grid(visible=True, axis="y", color=COLOURS["line"], linewidth=1)
    axes.set_axisbelow(True)


def _lines(value: Any, field: str) -> tuple[Line, ...]:
    if not isinstance(value, Mapping):
        return ()
    return tuple(
        Line(role=role, at_s=series["at_s"], values=series[field])
        for role, series in value.items()
        if series.get("at_s") and series.get(field)
    )


def _words(value: float, panel: Panel) -> str:
    return f"{value:,.4g}" if panel.unit == "requests" else number(value, panel.unit)
