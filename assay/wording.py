"""Counted nouns of sentences that people read: one case, two cases."""


def counted(count: int, noun: str) -> str:
    """Returns the number with its noun: `1 case`, `2 cases`, `0 cases`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def are(count: int) -> str:
    """Returns the verb that goes with so many: `is` or `are`."""
    return "is" if count == 1 else "are"
