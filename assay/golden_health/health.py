"""The records of a golden set's health, and what became worse since it was last looked at.

Decides what "healthy" means for the whole (no deciding check failed) and what is a degradation; the
single checks are their own modules'.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from assay.records import FindingStatus

SHOWN = 5
"""Ids a sentence names at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at.

    Attributes:
        name: unique among the checks; what is before the slash is its area.
        status: passed, failed, or undecided where it could not be told.
        says: what was found, in one English sentence that names ids and never a case's text.
        action: what to do, in a sentence; empty where there is nothing to do.
        gating: False where it only informs.
        value: what was measured, where it is one number.
    """

    name: str
    status: FindingStatus
    says: str
    action: str = ""
    gating: bool = True
    value: float | None = None

    @property
    def reason(self) -> str:
        """What was found and what to do about it."""
        return f"{self.says} {self.action}".strip()

    @property
    def area(self) -> str:
        """What it is about: the part of the name before the slash."""
        return self.name.partition("/")[0]

    def to_json(self) -> dict[str, Any]:
        """Returns the check as a JSON value."""
        return {
            "check": self.name,
            "status": self.status.value,
            "gating": self.gating,
            "value": self.value,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """All that was found about one golden set.

    Attributes:
        digest: of the set.
        revision: how the set was asked for.
        cases: how many it holds.
        checks: in the order in which they are told.
        tables: what the checks rest on, by name, as JSON values; a part that was not looked at is
            absent.
    """

    digest: str
    revision: str
    cases: int
    checks: tuple[Check, ...]
    tables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The deciding checks that failed."""
        return tuple(c for c in self.checks if c.gating and c.status is FindingStatus.FAILED)

    @property
    def undecided(self) -> tuple[Check, ...]:
        """The deciding checks of which nothing is known."""
        return tuple(c for c in self.checks if c.gating and c.status is FindingStatus.UNDECIDED)

    @property
    def healthy(self) -> bool:
        """Whether no deciding check failed; what is not known is said beside it."""
        return not self.failed

    @property
    def summary(self) -> str:
        """The state in one sentence."""
        unknown = f"; {len(self.undecided)} could not be told" if self.undecided else ""
        decided = [c for c in self.checks if c.gating and c.status is not FindingStatus.UNDECIDED]
        if self.healthy:
            return f"The golden set is healthy: {len(decided)} checks passed{unknown}."
        names = ", ".join(check.name for check in self.failed)
        return (
            f"The golden set is not healthy: {len(self.failed)} of {len(decided)} checks failed "
            f"({names}){unknown}."
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the health as a JSON value."""
        return {
            "digest": self.digest,
            "revision": self.revision,
            "size": self.cases,
            "healthy": self.healthy,
            "summary": self.summary,
            "checks": [check.to_json() for check in self.checks],
            "tables": dict(self.tables),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is worse than it was.

    Attributes:
        broken: deciding checks that fail now and did not before.
        lost: deciding checks of which nothing is known now, and which had been decided.
        mended: deciding checks that failed before and pass now.
    """

    broken: tuple[str, ...]
    lost: tuple[str, ...]
    mended: tuple[str, ...]

    @property
    def degraded(self) -> bool:
        """Whether something broke. What is merely unknown has not."""
        return bool(self.broken)

    def to_json(self) -> dict[str, Any]:
        """Returns the change as a JSON value."""
        return asdict(self)


def compare(before: Mapping[str, FindingStatus], now: Sequence[Check]) -> Change:
    """Compares the deciding checks with the statuses they had when last decided.

    Args:
        before: check → status; empty where the set was never looked at.
        now: the checks of today.
    """
    failed, passed, unknown = FindingStatus.FAILED, FindingStatus.PASSED, FindingStatus.UNDECIDED
    deciding = [check for check in now if check.gating]
    return Change(
        broken=tuple(
            c.name for c in deciding if c.status is failed and before.get(c.name) is not failed
        ),
        lost=tuple(
            check.name
            for check in deciding
            if check.status is unknown and before.get(check.name) in (failed, passed)
        ),
        mended=tuple(
            c.name for c in deciding if c.status is passed and before.get(c.name) is failed
        ),
    )  # fmt: skip


def judged(name: str, held: bool, says: str, action: str, **more: Any) -> Check:
    """Returns a check that passed or failed; what to do is told only where it failed."""
    status = FindingStatus.PASSED if held else FindingStatus.FAILED
    return Check(name=name, status=status, says=says, action="" if held else action, **more)


def unknown(name: str, says: str, action: str, **more: Any) -> Check:
    """Returns an undecided check: what is missing, and how to supply it."""
    return Check(name=name, status=FindingStatus.UNDECIDED, says=says, action=action, **more)


def named(ids: Sequence[str]) -> str:
    """Returns the first ids of a list, for a sentence."""
    more = len(ids) - SHOWN
    return ", ".join(map(repr, ids[:SHOWN])) + (f" and {more} more" if more > 0 else "")
