"""Inline SVG from matplotlib: the same bytes for the same figure, in the page's own colours.

Decides how a figure becomes markup: no date, no random ids, no global style, and every colour a
CSS variable, so that one drawing serves the light and the dark theme and print. What is drawn is
left to `report_strips` and `report_plots`.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "line": "#030303",
    "zone": "#040404",
    "candidate": "#050505",
    "production": "#060606",
    "passed": "#070707",
    "failed": "#080808",
    "undecided": "#090909",
    "surface": "#0a0a0a",
}
"""What matplotlib draws with: a placeholder for each of the page's CSS variables."""

POINTS_PER_INCH = 72.0


@contextmanager
def drawing() -> Iterator[None]:
    """Draws with matplotlib's own defaults, whatever the user's configuration says.

    Every figure of this package is made inside it.
    """
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        # The browser has the fonts: that matplotlib's lacks a letter of a label is no matter.
        warnings.simplefilter("ignore")
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "svg.hashsalt": "assay",
                "svg.fonttype": "none",
                "text.parse_math": False,
                "path.simplify": True,
                "font.size": 10.0,
            }
        )
        yield


def new_figure(width: int, height: int) -> "Figure":
    """Returns an empty transparent figure of so many CSS pixels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / POINTS_PER_INCH, height / POINTS_PER_INCH), frameon=False)


def to_svg(figure: "Figure", name: str, *, style: str) -> Markup:
    """Returns a figure as an inline SVG element, hidden from screen readers.

    Args:
        figure: drawn with `COLOURS` only.
        name: prefix of every id in it; unique in the page.
        style: the element's CSS class.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"<defs>\s*</defs>", "", text)
    text = _own_ids(text, name)
    for variable, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{variable})")
    width, height = (round(size * POINTS_PER_INCH) for size in figure.get_size_inches())
    opening = (
        f'<svg class="{style}" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'aria-hidden="true" focusable="false">'
    )
    text = opening + text[text.index(">") + 1 :]
    return Markup(re.sub(r"\s*\n\s*", "\n", text).strip())  # noqa: S704 matplotlib escapes labels


def _own_ids(text: str, name: str) -> str:
    """Keeps the ids that something in the drawing points at, as the figure's own."""
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text))
    wanted = {first or second for first, second in used}
    text = re.sub(
        r' id="([^"]+)"',
        lambda found: f' id="{name}-{found[1]}"' if found[1] in wanted else "",
        text,
    )
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
