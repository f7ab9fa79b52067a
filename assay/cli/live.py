"""On a terminal: what is being done, and for how long, below the lines that stay.

Decides where that is shown: on a terminal that can, and never in a CI's log, a pipe or a file,
which get the same lines and nothing else. Drawn twice a second: engines may be timed meanwhile.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LONGEST = 60
_shown: "list[tuple[Progress, TaskID]]" = []
"""What is drawn now: one at most, since there is one terminal."""


def wanted() -> bool:
    """Whether people look at stderr, on a terminal that can move its cursor."""
    plain = os.environ.get("CI") or os.environ.get("TERM", "dumb") in ("dumb", "")
    return sys.stderr.isatty() and not plain


@contextmanager
def shown() -> Iterator[None]:
    """Shows that something is being done, until it is."""
    if _shown or not wanted():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True, highlight=False, markup=False),
        refresh_per_second=2,
        transient=True,
    )
    with progress:
        _shown.append((progress, progress.add_task("at work", total=None)))
        try:
            yield
        finally:
            _shown.clear()


def at(line: str) -> None:
    """Says what is being done now, where it is shown."""
    for progress, task in _shown:
        short = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
        progress.update(task, description=short)
