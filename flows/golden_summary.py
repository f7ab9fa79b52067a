"""What a golden set looks like: its counts as a table for people and as a picture.

Decides how the counts of `assay.golden_stats` are shown; leaves counting to it. The same counts
give the same bytes, so that the files can lie in Git.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from assay.golden_stats import GoldenStats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEADER = "<!-- Written by `dvc repro` (stage summarise); edit the sources instead. -->"


def to_markdown(version: str, counted: GoldenStats) -> str:
    """Returns the counts as Markdown tables: label by language, and label by slice."""
    langs = list(counted.by_lang)
    slices = list(counted.by_slice)
    per_lang = [
        [label, *(row[lang] for lang in langs), counted.by_label[label]]
        for label, row in counted.by_label_lang.items()
    ]
    per_lang.append(["all", *counted.by_lang.values(), counted.cases])
    parts = [
        _HEADER,
        f"# Counts of version {version}",
        f"{counted.cases} cases, digest `{counted.digest}`.",
        _table(["label", *langs, "all"], per_lang),
    ]
    for lang in langs:
        rows = [
            [label, *(cell[lang][name] for name in slices)]
            for label, cell in counted.by_label_lang_slice.items()
        ]
        title = f"Cases by label and slice, `{lang}` (a case may lie in several slices or none):"
        parts += [title, _table(["label", *slices], rows)]
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (header, rule, *rows))


def to_svg(version: str, counted: GoldenStats) -> bytes:
    """Returns one map of label by slice for each language, as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    langs, columns = list(counted.by_lang), ["all", *counted.by_slice]
    maps = {lang: _cells(counted, lang) for lang in langs}
    highest = max(cell for rows in maps.values() for row in rows for cell in row[1:] or [1])
    size = (3 + 0.55 * len(columns), 0.8 + (1.5 + 0.34 * len(counted.by_label)) * len(langs))
    # Without a salt, matplotlib draws the ids inside an SVG at random.
    with mpl.rc_context(
        {"svg.hashsalt": "golden", "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"]}
    ):
        figure = Figure(figsize=size, layout="constrained")
        figure.suptitle(f"Golden set {version}: {counted.cases} cases by label and slice")
        for axes, lang in zip(
            figure.subplots(len(langs), 1, squeeze=False)[:, 0], langs, strict=True
        ):
            _draw(axes, maps[lang], highest)
            axes.set_yticks(range(len(counted.by_label)), list(counted.by_label))
            axes.set_xticks(range(len(columns)), columns, rotation=35, ha="right")
            axes.set_title(f"{lang} ({counted.by_lang[lang]} cases)", loc="left")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _cells(counted: GoldenStats, lang: str) -> list[list[int]]:
    return [
        [row[lang], *counted.by_label_lang_slice[label][lang].values()]
        for label, row in counted.by_label_lang.items()
    ]


def _draw(axes: "Axes", cells: list[list[int]], highest: int) -> None:
    """Draws counts as shaded cells; the first column, all cases, does not set the scale."""
    axes.imshow(cells, cmap="Blues", vmin=0, vmax=max(highest, 1) * 1.4, aspect="auto")
    for y, row in enumerate(cells):
        for x, count in enumerate(row):
            colour = "white" if count > highest * 0.9 else "black" if count else "firebrick"
            axes.text(x, y, str(count), ha="center", va="center", fontsize=8, color=colour)
