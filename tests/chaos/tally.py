"""What the chaos suite did, counted: printed in pytest's summary."""

import os
from collections import Counter
from threading import Lock

SEED = int(os.environ["ASSAY_CHAOS_SEED"])  # drawn in tests/conftest.py where nobody set it
"""From it follow all random moments; `ASSAY_CHAOS_SEED` repeats a run's."""

_lock = Lock()
_kills: Counter[str] = Counter()
_faults: Counter[str] = Counter()


def kill(name: str) -> None:
    """Counts a kill, by its signal."""
    with _lock:
        _kills[name] += 1


def fault(name: str) -> None:
    """Counts a fault, by its kind."""
    with _lock:
        _faults[name] += 1


def lines() -> list[str]:
    """Returns the summary; empty when nothing was done."""
    found = []
    if _kills:
        each = ", ".join(f"{count} × {name}" for name, count in sorted(_kills.items()))
        found.append(f"{_kills.total()} kills: {each}")
    if _faults:
        each = ", ".join(f"{name} × {count}" for name, count in sorted(_faults.items()))
        found.append(f"{_faults.total()} other faults: {each}")
    return [*found, f"seed {SEED} (ASSAY_CHAOS_SEED repeats it)"] if found else []
