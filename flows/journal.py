"""The run journal: what a gate has finished, durable before it begins the next thing.

::

    opened ─▶ gathered ─▶ verified ─▶ measured ─▶ judged ─▶ sealed ─▶ recorded ─▶ promoting
       │          │           │           ▲                               │           ▼
       │          │           │           │                 nothing moves │        settled
       └──────────┴───────────┴───────────┘                               ▼           ▼
            cannot be measured                      verdict known ─▶  finished ◀─── told

    opened     the request, its documents' digests, the tools
    gathered   the golden set, the probes, production's alias
    verified   the artifacts whose private copies were verified; their seals are kept beside this
    measured   every answer and time is stored beside this, and the engines are gone
    judged     the verdict's digest; judging again must give the same
    sealed     the evidence folder and the digest of its seal
    recorded   the registry's run
    promoting  about to move the alias: the intent, before anything moves
    settled    what became of the alias
    told       people were told, as far as that was to be had
    finished   nothing is left to do

Decides what is on disk: one folder a run, `<ASSAY_HOME>/runs/<run_id>/`, whose `journal.jsonl` is
append-only, one event a line, each forced to the disk (fsync) before `append` returns. A last line
that a kill cut short never happened. Only the process that holds the folder's lock writes; the
kernel lets go of it however that process ends. What a resumed run does with it is `resuming`'s.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from filelock import FileLock, Timeout
from pydantic import AwareDatetime, Field, JsonValue

from assay.documents import Document, parse_json, read_text, validate
from assay.errors import ConfigError, InfrastructureError
from assay.records import VerdictKind
from assay.verdict_document import ArtifactDocument, ContextDocument

JOURNAL = "journal.jsonl"
_LOCK = "lock"
RunId = Annotated[str, Field(pattern=r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$")]


class RegisteredDocument(Document):
    """A version as the registry held it."""

    model: str
    version: str
    digest: str
    number: str
    gate_run: str | None = None
    settings: str | None = None


class Opened(Document):
    """The run has begun."""

    state: Literal["opened"] = "opened"
    run_id: RunId
    who: str
    request: dict[str, JsonValue] = Field(description="As asked for; paths are absolute.")
    documents: dict[str, str] = Field(description="Document → digest.")
    tools: dict[str, str]
    started_at: str


class Gathered(Document):
    """What every candidate is judged by was read."""

    state: Literal["gathered"] = "gathered"
    golden: str
    probes: str
    production: RegisteredDocument | None


class Verified(Document):
    """Private copies were pulled and verified."""

    state: Literal["verified"] = "verified"
    candidate: ArtifactDocument
    production: ArtifactDocument | None


class MeasuredEvent(Document):
    """Everything was asked and timed, or it is known why that cannot be; the engines are gone.

    `files` are the stored answers, by path below the run's folder, with their digests; none where
    nothing was measured. `key` is under what the verdict will be found again.
    """

    state: Literal["measured"] = "measured"
    context: ContextDocument
    files: dict[str, str] = Field(default_factory=dict)
    key: dict[str, str] = Field(default_factory=dict)
    rejected: str | None = Field(default=None, description="Why the artifact was refused.")


class Judged(Document):
    """The verdict is known."""

    state: Literal["judged"] = "judged"
    verdict: VerdictKind
    digest: str = Field(description="Of the bytes of verdict.json.")


class Sealed(Document):
    """The evidence is written and sealed."""

    state: Literal["sealed"] = "sealed"
    folder: str
    seal: str = Field(description="Digest of SHA256SUMS.")


class SettingsDocument(Document):
    """The engine settings that a promotion moves too."""

    to: str
    expected: str | None


class Recorded(Document):
    """The registry holds the verdict: this run's, or an earlier one of the same question."""

    state: Literal["recorded"] = "recorded"
    run: str
    evidence: str
    reused: bool
    may_promote: bool = Field(description="False for what is in production already.")
    settings: SettingsDocument | None = None


class Promoting(Document):
    """The alias is about to move."""

    state: Literal["promoting"] = "promoting"
    candidate: ArtifactDocument
    expected: ArtifactDocument | None
    gate_run: str


class Settled(Document):
    """What became of the alias."""

    state: Literal["settled"] = "settled"
    moved: bool
    reason: str
    production: RegisteredDocument | None
    previous: RegisteredDocument | None


class Told(Document):
    """People were told, as far as the channels took it; a resumed run does not tell them again."""

    state: Literal["told"] = "told"
    notice: str = Field(description="The notice's id, the same however often the run is resumed.")


class Finished(Document):
    """The run is over; its verdict lies beside this."""

    state: Literal["finished"] = "finished"
    verdict: VerdictKind
    evidence: str
    recorded_as: str | None
    reused: bool = False


Event = (
    Opened
    | Gathered
    | Verified
    | MeasuredEvent
    | Judged
    | Sealed
    | Recorded
    | Promoting
    | Settled
    | Told
    | Finished
)
E = TypeVar("E", bound=Document)


class Line(Document):
    """One line of the journal."""

    schema_version: Literal[1] = 1
    number: int = Field(ge=1, strict=True, description="Counts the lines from 1.")
    at: AwareDatetime
    event: Annotated[Event, Field(discriminator="state")]


class Journal:
    """One run's journal, open for writing; a context manager that holds the run's lock."""

    def __init__(
        self, folder: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self._now = now
        # Not tied to a thread: a step may run in another one than the run.
        self._lock = FileLock(folder / _LOCK, thread_local=False)
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Takes the run's lock and reads what was written.

        Raises:
            ConfigError: another process is working on this run, or the journal is not one.
            InfrastructureError: the folder cannot be written.
        """
        try:
            _make_durably(self.folder)
            self._lock.acquire(timeout=0)
            path = self.folder / JOURNAL
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            _cut_torn_line(path, self._descriptor)
            _sync_folder(self.folder)
            self.events = list(read_events(path))
        except Timeout:
            raise ConfigError(
                f"{self.folder}: another process is working on this run; wait for it, or stop it"
            ) from None
        except OSError as error:
            self.close()
            raise _unwritable(self.folder, error) from error
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Lets go of the run."""
        self.close()

    def close(self) -> None:
        """Lets go of the run; may be called more than once."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._lock.release()

    def append(self, event: Event) -> None:
        """Writes an event; it is on the disk when this returns.

        Raises:
            InfrastructureError: the disk is full or fails; the journal still ends with a whole
                line.
        """
        if self._descriptor is None:
            raise ConfigError(
                f"{self.folder}: the journal is not open; use it as a context manager"
            )
        line = Line(number=len(self.events) + 1, at=self._now(), event=event)
        data = json.dumps(line.model_dump(mode="json"), ensure_ascii=False).encode() + b"\n"
        before = os.fstat(self._descriptor).st_size
        try:
            if os.write(self._descriptor, data) != len(data):
                raise OSError(28, "No space left on device")
            os.fsync(self._descriptor)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise _unwritable(self.folder / JOURNAL, error) from error
        self.events.append(event)

    def last(self, kind: type[E]) -> E | None:
        """Returns the latest event of a kind, or None."""
        return next((one for one in reversed(self.events) if isinstance(one, kind)), None)


def read_events(path: Path) -> Iterator[Event]:
    """Yields a journal's events in order; a torn last line is passed over.

    Raises:
        ConfigError: a line is not one, or the lines are not all there.
    """
    whole = read_text(path).rpartition("\n")[0]
    for number, text in enumerate(whole.splitlines(), start=1):
        where = f"{path}:{number}"
        line = validate(parse_json(text, where), Line, where)
        if line.number != number:
            raise ConfigError(
                f"{where}: is line {line.number} of its journal; expected {number}: lines are "
                "missing; begin a new run"
            )
        yield line.event


def is_held(folder: Path) -> bool:
    """Whether a process works on a run right now; a run without a folder is nobody's."""
    if not folder.is_dir():
        return False
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file beside a journal: whole, and on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def sync_tree(folder: Path) -> None:
    """Forces the files below a folder, and their names, to the disk."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        else:
            _sync_folder(path)
    _sync_folder(folder)


def _make_durably(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cut_torn_line(path: Path, descriptor: int) -> None:
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end != len(data):
        os.ftruncate(descriptor, end)


def _unwritable(path: Path, error: OSError) -> InfrastructureError:
    return InfrastructureError(
        f"{path}: cannot be written ({error.strerror}); free space or correct the rights, then "
        "continue with --resume"
    )
