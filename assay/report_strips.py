"""The forest plot, one row a finding: interval, point, limit and reference on a shared scale.

Decides how a finding looks as a picture. Each row is its own drawing, so that it stands in the
findings' table beside its numbers and keeps its size on a phone.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import Markup

from assay.report_numbers import number, signed
from assay.report_svg import COLOURS, new_figure, to_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT, AXIS_HEIGHT = 280, 34, 22
_PADDING = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The shared axis of a group: ends, unit, and where candidate and production are the same."""

    low: float
    high: float
    unit: str
    reference: float | None

    def x(self, value: float) -> float:
        """Returns where a value lies, as a share of the drawing's width."""
        share = (value - self.low) / (self.high - self.low)
        return (_PADDING + share * (WIDTH - 2 * _PADDING)) / WIDTH


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
        status: `passed`, `failed` or `undecided`, or another of `COLOURS`.
    """
    figure = new_figure(WIDTH, HEIGHT)
    if limit is not None and good is not None:
        ends = (scale.low, limit) if good == "right" else (limit, scale.high)
        _zone(figure, scale.x(ends[0]), scale.x(ends[1]))
        _line(figure, scale.x(limit), (0, 1), "failed", linewidth=1, dashes=(3, 3))
    if scale.reference is not None:
        _line(figure, scale.x(scale.reference), (0, 1), "muted", linewidth=1)
    low, high = map(scale.x, interval)
    _line(figure, (low, high), 0.5, status, linewidth=3, solid_capstyle="round")
    for end in (low, high):
        _line(figure, end, (0.29, 0.71), status, linewidth=1.75)
    if point is not None:
        _line(
            figure,
            scale.x(point),
            0.5,
            status,
            marker="o",
            markersize=8.5,
            markeredgecolor=COLOURS["surface"],
            markeredgewidth=1.25,
        )
    return to_svg(figure, name, style="strip")


def key_svg() -> Markup:
    """Draws an example, for the sentence that says how the pictures are read."""
    scale = Scale(low=-1.0, high=1.0, unit="", reference=0.0)
    return strip_svg(
        scale,
        name="key",
        interval=(-0.2, 0.6),
        point=0.2,
        limit=-0.5,
        good="right",
        status="production",
    )


def axis_svg(scale: Scale, *, name: str) -> Markup:
    """Draws the group's axis: a few labelled ticks."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(WIDTH, AXIS_HEIGHT)
    room = 0.06 * (scale.high - scale.low)
    for tick in map(float, MaxNLocator(nbins=4).tick_values(scale.low, scale.high)):
        if scale.low + room <= tick <= scale.high - room or tick == scale.reference:
            _line(figure, scale.x(tick), (0, 0.18), "muted", linewidth=1)
            figure.text(
                scale.x(tick), 0.35, _tick(tick, scale), ha="center", color=COLOURS["muted"]
            )
    return to_svg(figure, name, style="axis")


def _line(
    figure: "Figure",
    x: float | tuple[float, float],
    y: float | tuple[float, float],
    colour: str,
    **look: Any,
) -> None:
    """Adds a line in shares of the figure; a single number stands for both ends."""
    from matplotlib.lines import Line2D

    across = (x, x) if isinstance(x, float) else x
    along = y if isinstance(y, tuple) else (y, y)
    last = 1 if "marker" in look else 2  # one marker, not one at each end
    figure.add_artist(Line2D(across[:last], along[:last], color=COLOURS[colour], **look))


def _zone(figure: "Figure", left: float, right: float) -> None:
    from matplotlib.patches import Rectangle

    figure.add_artist(
        Rectangle((left, 0), right - left, 1, facecolor=COLOURS["zone"], edgecolor="none")
    )


def _tick(value: float, scale: Scale) -> str:
    if scale.reference == 1.0:
        return f"{value:g}×"
    text = number(value, scale.unit) if scale.reference is None else signed(value, scale.unit)
    head, _, tail = text.partition(" ")
    if "." in head:
        head = head.rstrip("0").rstrip(".")
    return "0" if head.strip("±") == "0" else f"{head} {tail}".strip()
