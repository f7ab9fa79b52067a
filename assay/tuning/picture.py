"""The search in one picture: goodput against time to the first word, and against cost.

Decides what is drawn: every measured trial, the present settings and the recommended ones by name,
and the front that no trial beats in both. What was not measured is not drawn, and the caption says
how many. Colours are those of the report.
"""

import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.report_svg import drawing
from assay.tuning.recommendation import pareto
from assay.tuning.trials import TrialRecord, TrialState
from assay.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _MUTED, _LINE = "#1c2024", "#60646c", "#d9d9e0"
_OTHER, _PRESENT, _CHOSEN = "#8b8d98", "#1f6feb", "#18794e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What to draw: the trials, which of them are named, and the price where there is one."""

    trials: Sequence[TrialRecord]
    present: int
    chosen: int | None
    price_per_hour: float | None


def picture_svg(picture: Picture) -> bytes:
    """Returns the picture as a stand-alone SVG file; the same trials give the same bytes."""
    from matplotlib.figure import Figure

    panels: list[tuple[str, Callable[[TrialRecord], float | None]]] = [
        ("first word: p99 at the lowest rate (ms)", _first_word)
    ]
    if picture.price_per_hour is not None:
        panels.append(("cost of a million output tokens", lambda one: _cost(one, picture)))
    buffer = io.BytesIO()
    with drawing():
        figure = Figure(figsize=(0.6 + 5.2 * len(panels), 4.2), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for one, (name, value) in zip(axes, panels, strict=True):
            _draw(one, picture, value)
            one.set_ylabel(name, color=_INK)
        if _drawn(picture, _first_word):
            _front(axes[0], picture)
        figure.supxlabel(_caption(picture), fontsize=9, color=_MUTED)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _draw(axes: "Axes", picture: Picture, value: Callable[[TrialRecord], float | None]) -> None:
    axes.set_xlabel("goodput: highest rate that meets the objectives (requests/s)", color=_INK)
    axes.grid(visible=True, color=_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=_MUTED)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    drawn = _drawn(picture, value)
    if not drawn:
        axes.text(0.5, 0.5, "nothing was measured", ha="center", transform=axes.transAxes)
        return
    for trial, goodput, height in drawn:
        named = {picture.present: ("present", _PRESENT, "s"), picture.chosen: _chosen(picture)}
        name, colour, marker = named.get(trial.number, (str(trial.number), _OTHER, "o"))
        size = 64 if trial.number in named else 30
        axes.scatter([goodput], [height], s=size, color=colour, marker=marker, zorder=4)
        axes.annotate(
            name,
            (goodput, height),
            xytext=(6, 5),
            textcoords="offset points",
            fontsize=9 if trial.number in named else 7.5,
            color=colour if trial.number in named else _MUTED,
            zorder=5,
        )
    # Room for the name of the one furthest to the right.
    axes.set_xlim(0, 1.3 * max(goodput for _, goodput, _ in drawn))
    axes.set_ylim(0, 1.15 * max(height for _, _, height in drawn))


def _chosen(picture: Picture) -> tuple[str, str, str]:
    return (f"recommended ({picture.chosen})", _CHOSEN, "D")


def _front(axes: "Axes", picture: Picture) -> None:
    """Draws the front as steps: between two trials, the better of what is known holds."""
    numbers = set(pareto(picture.trials))
    front = sorted(
        (goodput, height)
        for trial, goodput, height in _drawn(picture, _first_word)
        if trial.number in numbers
    )
    rates, heights = zip(*front, strict=True)
    axes.step(rates, heights, where="pre", color=_CHOSEN, linewidth=1.2, dashes=(4, 2), zorder=3)


def _drawn(
    picture: Picture, value: Callable[[TrialRecord], float | None]
) -> list[tuple[TrialRecord, float, float]]:
    found = []
    for trial in picture.trials:
        height = value(trial)
        if trial.result is not None and height is not None:
            found.append((trial, trial.result.goodput_per_s, height))
    return found


def _first_word(trial: TrialRecord) -> float | None:
    return None if trial.result is None else trial.result.ttft_p99_ms


def _cost(trial: TrialRecord, picture: Picture) -> float | None:
    if trial.result is None:
        return None
    return trial.result.cost_per_million_tokens(picture.price_per_hour)


def _caption(picture: Picture) -> str:
    tally = Counter(trial.state for trial in picture.trials)
    words = {
        TrialState.PRUNED: "missed the objectives at the lowest rate",
        TrialState.REFUSED: "refused by the engine",
        TrialState.KILLED: "not finished",
    }
    left_out = [f"{tally[state]} {said}" for state, said in words.items() if tally[state]]
    text = f"{counted(tally[TrialState.MEASURED], 'trial')} measured"
    return text + (f"; not drawn: {', '.join(left_out)}" if left_out else "")
