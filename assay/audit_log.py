"""The audit log: one line for each thing that mattered, each holding the digest of the one before.

::

    {"number":1,"previous":"sha256:000…","at":"…","who":"ada","what":"verdict", …}
    {"number":2,"previous":"sha256:<of line 1>", …}

Decides how an entry is written (whole, on disk, by one process at a time) and what a broken log is:
an edited, removed or reordered line breaks the chain. Lines cut off at the end leave a good chain,
so the length and last digest at some moment are kept elsewhere too (in signed attestations, in the
registry), and the log is held against those heads.

A writer killed half-way leaves a line without its end. It says nothing; the next writer moves it
aside and says so in an entry of its own.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import AwareDatetime, Field, ValidationError

from assay import digests
from assay.attestation_statement import Digest, LogHead
from assay.documents import Document, describe, parse_json
from assay.errors import ArtifactError, ConfigError

START = "sha256:" + "0" * 64
"""What the first entry names as the one before."""

Event = Literal[
    "verdict",
    "promotion asked",
    "promotion",
    "approval",
    "override",
    "rollback",
    "golden published",
    "repair",
]


class AuditEntry(Document):
    """One thing that happened. `digests` are of what it was about; a note holds no case's text."""

    number: int = Field(ge=1, le=2**53)
    previous: Digest
    at: AwareDatetime
    who: str
    what: Event
    run_id: str | None = None
    model: str | None = None
    version: str | None = None
    digests: dict[str, str] = Field(default_factory=dict)
    note: str = ""

    def line(self) -> bytes:
        """Returns the entry's bytes (RFC 8785), which the next one names the digest of."""
        return digests.canonical_json(self.model_dump(mode="json"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What a verified log holds; `torn` when its last line was never finished."""

    head: LogHead | None
    entries: tuple[AuditEntry, ...]
    torn: bool


class AuditLog:
    """The log in one file; any number of processes of one machine may append.

    Args:
        path: `audit.jsonl`; made with its folder when something is first appended.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(
        self,
        what: Event,
        *,
        who: str,
        at: datetime,
        run_id: str | None = None,
        model: str | None = None,
        version: str | None = None,
        about: Mapping[str, str] | None = None,
        note: str = "",
    ) -> LogHead:
        """Adds one entry and returns once it is on disk.

        Returns:
            The head of the log after it.

        Raises:
            ArtifactError: the log's last entry is none; nothing was appended.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._path.with_name(self._path.name + ".lock")):
            last = self._repaired(at)
            entry = AuditEntry(
                number=last.entries + 1 if last else 1,
                previous=last.head if last else START,
                at=at.astimezone(UTC),
                who=who,
                what=what,
                run_id=run_id,
                model=model,
                version=version,
                digests=dict(about or {}),
                note=note,
            )
            return self._write(entry)

    def verify(self, heads: Iterable[LogHead] = ()) -> AuditReport:
        """Checks every line, the chain, and that nothing was cut off since the heads were noted.

        Raises:
            ArtifactError: an entry was edited, removed, added or moved, or the end is missing.
            ConfigError: there is no log.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            raise ConfigError(f"{self._path}: no such audit log; name an existing one") from None
        *lines, rest = data.split(b"\n")
        entries: list[AuditEntry] = []
        seen = [START]
        for number, line in enumerate(lines, start=1):
            entries.append(self._entry(line, number, seen[-1]))
            seen.append(digests.of_bytes(line))
        for head in heads:
            if len(entries) < head.entries or seen[head.entries] != head.head:
                raise ArtifactError(
                    f"{self._path}: had {head.entries} entries ending in {head.head[:19]}… when "
                    f"that was noted, and now has {len(entries)} of another history; entries were "
                    "cut off or the log was replaced: restore it from a backup and find out who "
                    "could write to it [audit-log]"
                )
        last = LogHead(entries=len(entries), head=seen[-1]) if entries else None
        return AuditReport(head=last, entries=tuple(entries), torn=bool(rest))

    def entries(self) -> tuple[AuditEntry, ...]:
        """Returns what the log holds; nothing where it was never written.

        Raises:
            ArtifactError: as `verify`.
        """
        return self.verify().entries if self._path.exists() else ()

    def _entry(self, line: bytes, number: int, previous: str) -> AuditEntry:
        where = f"{self._path}:{number}"
        try:
            entry = AuditEntry.model_validate(parse_json(line.decode("utf-8"), where))
        except ValidationError as error:
            fault = describe(error)
        except (ConfigError, UnicodeDecodeError) as error:
            fault = str(error)
        else:
            if entry.line() != line:
                fault = "not written as this log writes"
            elif (entry.number, entry.previous) == (number, previous):
                return entry
            else:
                fault = f"found entry {entry.number} after {entry.previous[:19]}…, expected entry "
                fault += f"{number} after {previous[:19]}…"
        raise ArtifactError(
            f"{where}: {fault}; this line or the one before was edited, removed, added or moved: "
            "restore the log from a backup and find out who could write to it [audit-log]"
        )

    def _repaired(self, at: datetime) -> LogHead | None:
        """Returns the head, once what a killed writer left behind it is moved aside."""
        data = self._path.read_bytes() if self._path.exists() else b""
        whole, newline, rest = data.rpartition(b"\n")
        head = self._last(whole) if newline else None
        if not rest:
            return head
        torn = digests.of_bytes(rest)
        aside = self._path.with_name(f"{self._path.name}.torn-{torn[7:19]}")
        aside.write_bytes(rest)
        with self._path.open("r+b") as stream:
            stream.truncate(len(data) - len(rest))
            os.fsync(stream.fileno())
        return self._write(
            AuditEntry(
                number=head.entries + 1 if head else 1,
                previous=head.head if head else START,
                at=at.astimezone(UTC),
                who="assay",
                what="repair",
                digests={"torn": torn},
                note=f"a writer was killed; its unfinished line lies in {aside.name}",
            )
        )

    def _last(self, whole: bytes) -> LogHead:
        """Reads the number of the last line; the chain before it is `verify`'s to check."""
        line = whole.rpartition(b"\n")[2]
        try:
            entries = parse_json(line.decode("utf-8"), str(self._path))["number"]
            return LogHead(entries=entries, head=digests.of_bytes(line))
        except (ConfigError, ValueError, KeyError, TypeError):
            raise ArtifactError(
                f"{self._path}: its last line is no entry, so nothing can be chained to it; "
                "restore the log from a backup (`assay audit-log verify` names the first bad line) "
                "[audit-log]"
            ) from None

    def _write(self, entry: AuditEntry) -> LogHead:
        line = entry.line()
        made = not self._path.exists()
        with self._path.open("ab") as stream:
            stream.write(line + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        if made:  # the file's name is the folder's content
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return LogHead(entries=entry.number, head=digests.of_bytes(line))
