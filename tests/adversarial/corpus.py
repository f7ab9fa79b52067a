"""What one hostile thing is: how it is made, how the gate meets it, why it must be refused.

Everything is made by code in a folder of its own when the suite runs, so that no scanner finds a
bomb in this repository. Making and meeting are two functions, since they run in two processes: what
a bomb costs to make must not be counted as what it costs to refuse.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """One row of the corpus.

    Args:
        name: the attack, as a sentence would name it.
        code: reason code of the refusal (`AssayError.code`).
        build: makes it in a folder, which holds a copy of `world` where `needs_world`.
        meet: what the gate does with it; must raise.
        words: what the refusal must say, besides its code.
        needs_world: whether it alters an honest store or honest evidence.
    """

    name: str
    code: str
    build: Callable[[Path], object]
    meet: Callable[[Path], object]
    words: str = ""
    needs_world: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one row.

    Args:
        name: the row's.
        error: class of what was raised; None when nothing was, or the process was killed.
        code: the refusal's reason code; None for anything but an AssayError.
        message: what was said.
        trace: the traceback of anything but an AssayError.
        peak_mb: largest resident memory of the whole process, the interpreter and libraries
            included.
        seconds: how long the refusal took.
    """

    name: str
    error: str | None
    code: str | None
    message: str
    trace: str
    peak_mb: float
    seconds: float


MOST_MB = 500
MOST_SECONDS = 10
"""What no input may cost."""


def copied(source: Path, target: Path) -> None:
    """Copies an honest folder that a row is going to alter; the copy can be written."""
    shutil.copytree(source, target, dirs_exist_ok=True, copy_function=shutil.copyfile)
