"""Counted and listed nouns of sentences that people read: one case, two cases; a, b and c."""

from collections.abc import Iterable


def counted(count: int, noun: str) -> str:
    """Returns the number with its noun: `1 case`, `2 cases`, `0 cases`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Iterable[str]) -> str:
    """Returns names as a sentence lists them: `a`, `a and b`, `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def are(count: int) -> str:
    """Returns the verb that goes with so many: `is` or `are`."""
    return "is" if count == 1 else "are"
