"""One move of the alias `production`, as a record that survives the process that makes it.

::

    intended ──▶ previous-production ──▶ production ──▶ tags ──▶ done
        │                 │                  │            │
        └── killed here ──┴─▶ taken back     └────────────┴─▶ confirmed        (`repair`)

The record is a tag of the registered model, so whoever comes next finds it, on whatever machine. A
repair never moves `production`: it confirms a move that happened, and takes back the traces of one
that did not. Decides nothing about who may move what; that is `registry_aliases`'.
"""

from datetime import UTC, datetime
from typing import Literal, Protocol

from pydantic import Field

from assay.documents import Document, parse_json, validate
from assay.errors import InfrastructureError
from assay.records import RegisteredVersion

PRODUCTION = "production"
PREVIOUS = "previous-production"

PROMOTED_BY = "assay.promoted_by"
"""Tag of a version: the gate run that moved `production` to it."""

ROLLED_BACK = "assay.rolled_back"
"""Tag of a version: who moved `production` away from it, and why."""

LATEST_MOVE = "assay.latest_move"
"""Tag of a model: the latest move of `production`, and whether it is done."""


MOVED = "assay.moved/"
"""Begins the tags of a model that tell its moves of `production`, one a move, by their time."""


class MoveTable(Protocol):
    """What a registry must be able to do for an alias to be moved and a move repaired."""

    def named(self, model: str, alias: str) -> RegisteredVersion | None:
        """Returns the version an alias names, or None where there is no such alias."""
        ...

    def point(self, model: str, alias: str, number: str | None) -> None:
        """Makes an alias name a version; None removes the alias."""
        ...

    def tag(self, version: RegisteredVersion, key: str, value: str) -> None:
        """Sets a tag of a version."""
        ...

    def tagged(self, version: RegisteredVersion, key: str) -> str | None:
        """Returns a tag of a version, or None."""
        ...

    def note(self, model: str, key: str, value: str) -> None:
        """Sets a tag of the model itself."""
        ...

    def noted(self, model: str, key: str) -> str | None:
        """Returns a tag of the model itself, or None."""
        ...


class Place(Document):
    """One end of a move."""

    number: str
    version: str
    digest: str


class Move(Document):
    """The latest move of a model's `production`."""

    schema_version: Literal[1] = 1
    kind: Literal["promote", "move_back"]
    state: Literal["intended", "done", "taken_back", "overtaken"]
    leaving: Place | None = Field(description="What was in production.")
    target: Place
    previous: str | None = Field(description="Number of previous-production before the move.")
    run: str
    who: str | None = None
    why: str | None = None
    at: str
    repaired_at: str | None = None


class Moving:
    """How to move: a promotion by a gate's run, or a move back by a person for a reason."""

    def __init__(
        self,
        *,
        kind: Literal["promote", "move_back"],
        run: str,
        who: str | None = None,
        why: str | None = None,
    ) -> None:
        self._kind, self._run, self._who, self._why = kind, run, who, why

    def move(
        self, table: MoveTable, leaving: RegisteredVersion | None, target: RegisteredVersion
    ) -> None:
        """Moves `production`; `previous-production` is written first where it moves at all.

        Were `production` first, a kill would lose the way back. Read back at the end, since
        registries have no compare-and-set and the last writer wins.

        Raises:
            InfrastructureError: the alias does not read back as it was written.
        """
        model = target.model
        before = table.named(model, PREVIOUS)
        move = Move(
            kind=self._kind,
            state="intended",
            leaving=_place(leaving),
            target=Place(number=target.number, version=target.version, digest=target.digest),
            previous=None if before is None else before.number,
            run=self._run,
            who=self._who,
            why=self._why,
            at=_now(),
        )
        _note(table, model, move)
        if leaving is not None and self._kind == "promote":
            table.point(model, PREVIOUS, leaving.number)
        table.point(model, PRODUCTION, target.number)
        after = table.named(model, PRODUCTION)
        if after is None or not is_same(after, target):
            raise InfrastructureError(
                f"registry: the alias {PRODUCTION!r} of {model} was set to {target.version} but "
                f"reads back as {say(after)}; something else moves it at the same time: find out "
                "what, then run the same command again"
            )
        _confirm(table, model, move, leaving, target)
        _tell(table, model, move)
        _note(table, model, move.model_copy(update={"state": "done"}))


def latest_move(table: MoveTable, model: str) -> Move | None:
    """Returns the record of the latest move of a model's `production`, or None."""
    text = table.noted(model, LATEST_MOVE)
    where = f"registry: tag {LATEST_MOVE} of {model}"
    return None if not text else validate(parse_json(text, where), Move, where)


def repair(table: MoveTable, model: str) -> str | None:
    """Brings a move that was never confirmed to a consistent end; returns what was done, or None.

    Raises:
        ConfigError: the record of the move is not one.
    """
    move = latest_move(table, model)
    if move is None or move.state != "intended":
        return None
    current = table.named(model, PRODUCTION)
    number = None if current is None else current.number
    what = f"the move of production to {move.target.version} that run {move.run} began"
    if current is not None and number == move.target.number:
        _confirm(table, model, move, _version(model, move.leaving), current)
        _tell(table, model, move)
        state, said = "done", f"{what} had happened: it is confirmed now"
    elif number == (move.leaving.number if move.leaving else None):
        if move.kind == "promote":
            table.point(model, PREVIOUS, move.previous)
        state, said = "taken_back", f"{what} had not happened: production stays {say(current)}"
    else:
        state, said = "overtaken", f"{what} was overtaken: production is {say(current)}"
    _note(table, model, move.model_copy(update={"state": state, "repaired_at": _now()}))
    return said


def is_same(one: RegisteredVersion, other: RegisteredVersion) -> bool:
    """Whether both are the same artifact; a registry may hold one under two numbers."""
    return (one.digest, one.version) == (other.digest, other.version)


def say(version: RegisteredVersion | None) -> str:
    """Returns a version's name for a sentence."""
    return "nothing" if version is None else version.version


def _confirm(
    table: MoveTable,
    model: str,
    move: Move,
    leaving: RegisteredVersion | None,
    target: RegisteredVersion,
) -> None:
    """Writes on the versions what has become a fact."""
    if move.kind == "promote":
        table.tag(target, PROMOTED_BY, move.run)
    elif leaving is not None:
        table.tag(leaving, ROLLED_BACK, f"{move.who}: {move.why}")


def told(move: Move) -> str:
    """Returns a move in one line, which ends with the run that asked for it."""
    leaving = "nothing" if move.leaving is None else move.leaving.version
    line = f"{leaving} → {move.target.version}"
    if move.kind == "move_back":
        line += f", moved back by {move.who}: {move.why}"
    return f"{line[:_LONGEST]}; run {move.run}"


def _tell(table: MoveTable, model: str, move: Move) -> None:
    """Adds a move that happened to the model's history; a second time changes nothing."""
    table.note(model, f"{MOVED}{move.at}", told(move))


def _version(model: str, place: Place | None) -> RegisteredVersion | None:
    if place is None:
        return None
    return RegisteredVersion(
        model=model, version=place.version, digest=place.digest, number=place.number
    )


def _place(version: RegisteredVersion | None) -> Place | None:
    if version is None:
        return None
    return Place(number=version.number, version=version.version, digest=version.digest)


def _note(table: MoveTable, model: str, move: Move) -> None:
    table.note(model, LATEST_MOVE, move.model_dump_json())


_LONGEST = 1000
"""Characters of a line of history: a reason may be long, MLflow's column is not."""


def _now() -> str:
    """The time, so fine that no two moves of a model have the same: it tells them apart."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
