"""Pictures of a gate for MLflow: what each model answered, and how the two differ.

Decides what is drawn, from answers and findings alone; the report's own pictures are in the report.
The picture of each model has the same name on both child runs, so that MLflow's comparison shows
the two side by side.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from assay.golden_set import GoldenSet
from assay.records import Finding, FindingStatus, Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NO_LABEL = "no label"
_COLOURS = {
    FindingStatus.PASSED: "#1a7f37",
    FindingStatus.FAILED: "#cf222e",
    FindingStatus.UNDECIDED: "#9a6700",
}
_MOST_ROWS = 40
_DOTS_PER_INCH = 150


def confusion(rows: Sequence[Prediction], golden: GoldenSet, title: str) -> "Figure | None":
    """Draws the first answer to each golden case, by its label; None where there is none.

    A class's row is coloured by shares of the row, so that rare classes are seen as well.
    """
    cases = {case.id: case.label for case in golden.cases}
    kept = [row for row in rows if row.repeat == 0 and row.case_id in cases]
    if not kept:
        return None
    truths = sorted({cases[row.case_id] for row in kept})
    answers = sorted({*truths, *(row.label for row in kept if row.label is not None)})
    if any(row.label is None for row in kept):
        answers.append(NO_LABEL)
    counts = [[0] * len(answers) for _ in truths]
    for row in kept:
        answer = answers.index(NO_LABEL if row.label is None else row.label)
        counts[truths.index(cases[row.case_id])][answer] += 1
    figure, axes = _new(1.6 + 0.75 * len(answers), 1.2 + 0.5 * len(truths))
    shares = [[count / sum(line) for count in line] for line in counts]
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    for down, line in enumerate(counts):
        for across, count in enumerate(line):
            colour = "white" if shares[down][across] > 0.5 else "black"
            axes.text(across, down, str(count), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(answers)), answers, rotation=30, ha="right")
    axes.set_yticks(range(len(truths)), truths)
    axes.set(title=title, xlabel="answer", ylabel="true class")
    return figure


def differences(findings: Sequence[Finding]) -> "Figure | None":
    """Draws candidate minus production with its interval, and the margin; None where none is.

    Only findings of shares and scores are drawn, which have one scale.
    """
    drawn = [
        (found, found.difference, found.interval)
        for found in findings
        if found.kind == "non_inferiority"
        and found.difference is not None
        and found.interval is not None
    ][:_MOST_ROWS]
    if not drawn:
        return None
    figure, axes = _new(7.0, 1.2 + 0.35 * len(drawn))
    for place, (found, difference, (low, high)) in enumerate(drawn):
        colour = _COLOURS[found.status]
        axes.plot((low, high), (place, place), color=colour, linewidth=2)
        axes.plot(difference, place, "o", color=colour, markersize=5)
        if found.margin is not None:
            # A larger value may be the worse one: the margin lies on the side of the bound.
            side = 1.0 if found.bound is not None and found.bound > difference else -1.0
            axes.plot(side * abs(found.margin), place, "|", color="black", markersize=12)
    axes.axvline(0.0, color="grey", linewidth=1)
    axes.set_yticks(range(len(drawn)), [found.metric for found, _, _ in drawn])
    axes.invert_yaxis()
    axes.set(title="Candidate minus production, its interval, and the margin (|)")
    return figure


def _new(width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")
    return figure, figure.add_subplot()
