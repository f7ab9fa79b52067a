"""Watching a golden set: today's health against the last one on record. Plain functions.

Decides what is kept between two looks and what counts as worse; how that is announced is
`flows.watch_golden`'s. The record holds, for each deciding check, the status it had when it was
last decided: a check that cannot be told today (no traffic arrived, the registry is down) keeps
what it was, so that an outage in between neither hides a degradation nor announces it twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from assay.documents import Document, parse_json, read_text, validate
from assay.evidence import write_json
from assay.golden_health.health import Change, Health, compare
from assay.records import FindingStatus

STATE = Path("golden_health") / "last.json"
"""Where the record lies in `ASSAY_HOME`."""


class HealthRecord(Document):
    """What is kept of a look: the whole of `golden_health/last.json`."""

    schema_version: Literal[1] = 1
    looked_at: str = Field(description="When, ISO 8601, UTC.")
    digest: str = Field(description="Of the set that was looked at.")
    statuses: dict[str, FindingStatus] = Field(
        description="Deciding check → its status when it was last decided."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a set.

    Attributes:
        health: what was found.
        change: what that is compared with the record.
        before: the record; None at the first look.
    """

    health: Health
    change: Change
    before: HealthRecord | None


def look(health: Health, home: Path) -> Look:
    """Compares a set's health with the record.

    Raises:
        ConfigError: the record was damaged; remove the file to begin anew.
    """
    before = recorded(home)
    statuses = {} if before is None else before.statuses
    return Look(health=health, change=compare(statuses, health.checks), before=before)


def recorded(home: Path) -> HealthRecord | None:
    """Returns the record of the last look, or None before the first."""
    path = home / STATE
    if not path.is_file():
        return None
    return validate(parse_json(read_text(path), str(path)), HealthRecord, str(path))


def record(seen: Look, home: Path, *, now: datetime | None = None) -> HealthRecord:
    """Stores a look, whole or not at all; to be called after it was announced."""
    path = home / STATE
    path.parent.mkdir(parents=True, exist_ok=True)
    decided = {
        check.name: check.status
        for check in seen.health.checks
        if check.gating and check.status is not FindingStatus.UNDECIDED
    }
    kept: Mapping[str, FindingStatus] = {} if seen.before is None else seen.before.statuses
    names = {check.name for check in seen.health.checks if check.gating}
    document = HealthRecord(
        looked_at=(now or datetime.now(UTC)).isoformat(timespec="seconds"),
        digest=seen.health.digest,
        statuses={name: status for name, status in kept.items() if name in names} | decided,
    )
    write_json(path, document.model_dump(mode="json"))
    return document


def as_markdown(seen: Look) -> str:
    """Returns a look as Markdown: for Prefect's artifact."""
    health, change = seen.health, seen.change
    lines = [f"# {health.summary}", "", f"{health.cases} cases, `{health.digest}`.", ""]
    for title, names in (
        ("Worse than at the last look", change.broken),
        ("Better than at the last look", change.mended),
        ("No longer known", change.lost),
    ):
        if names:
            lines += [f"**{title}:** {', '.join(f'`{name}`' for name in names)}", ""]
    lines += ["| check | status | what was found, what to do |", "|---|---|---|"]
    for check in health.checks:
        status = check.status.value + ("" if check.gating else " (informs only)")
        lines.append(f"| `{check.name}` | {status} | {check.reason.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)
