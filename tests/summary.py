"""Lines that tests put into pytest's summary, whichever process they run in."""

import pytest

LINES = pytest.StashKey[list[str]]()


def tell(config: pytest.Config, *lines: str) -> None:
    """Has lines printed at the end of the run."""
    config.stash.setdefault(LINES, []).extend(lines)
