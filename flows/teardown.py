"""Whether everything of a run was really thrown away, as a document of its evidence.

Decides what a leftover means: something that is still there is a problem, so the run is `invalid`
and moves nothing, and everybody who watches it is told; something that could not be looked for is a
note, since it is neither there nor gone. What an engine may leave behind is looked for by the
server adapters (`LaunchedServer.postconditions`), the staged copies here. What a killed gate could
not throw away, the next one does.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from assay.documents import Document
from assay.ports import LaunchedServer, ModelServer, Progress, ServeRequest
from assay.records import Postcondition, Problem
from flows.journal import is_held
from flows.settings import Settings

FILE = "teardown.json"


class ConditionDocument(Document):
    """One thing that must be gone."""

    what: str = Field(description="container, processes, socket, workspace, gpu_memory, staging.")
    subject: str = Field(description="Which one: an id, a path, a device.")
    gone: bool | None = Field(description="Empty where it could not be looked for.")
    detail: str = ""


class Teardown(Document):
    """What was looked for after the engines' end; what a machine does not have has no entry."""

    schema_version: Literal[1] = 1
    clean: bool = Field(description="Everything was looked for and is gone.")
    conditions: tuple[ConditionDocument, ...]

    def problems(self) -> tuple[Problem, ...]:
        """Returns a problem for everything that is still there."""
        return tuple(
            Problem(
                where=f"teardown: {one.what}",
                reason=f"The {one.what.replace('_', ' ')} {one.subject} of this run is still there "
                f"after its end{_in_brackets(one.detail)}: a candidate must not outlive its gate.",
                action="Run `assay reap`, look why it could not be removed, then run the gate "
                "again: answers already stored are not asked again.",
            )
            for one in self.conditions
            if one.gone is False
        )

    def notes(self) -> tuple[str, ...]:
        """Returns a sentence for everything that could not be looked for."""
        return tuple(
            f"whether the {one.what.replace('_', ' ')} {one.subject} is gone could not be "
            f"seen{_in_brackets(one.detail)}"
            for one in self.conditions
            if one.gone is None
        )


def examine(
    servers: Sequence[LaunchedServer], staging: Path | None, progress: Progress
) -> Teardown:
    """Looks for what the engines and the staged copies may have left; tells of what is there."""
    found = [one for server in servers for one in server.postconditions()]
    if staging is not None:
        found.append(Postcondition(what="staging", subject=staging.name, gone=not staging.exists()))
    document = Teardown(
        clean=all(one.gone for one in found),
        conditions=tuple(
            ConditionDocument(what=c.what, subject=c.subject, gone=c.gone, detail=c.detail)
            for c in found
        ),
    )
    for problem in document.problems():
        progress(f"NOT THROWN AWAY: {problem.reason} {problem.action}")
    for note in document.notes():
        progress(note)
    return document


def remove_staged(settings: Settings, *, mine: str | None = None) -> list[str]:
    """Removes the staged copies of gates that do not run; returns a sentence for each.

    A gate that runs holds the lock of its run's journal, and its copies are left alone. `mine` is
    the run that calls this: what lies there under its name, it left when it was killed.
    """
    lines = []
    for folder in sorted(settings.staging.glob("*")):
        run_id = folder.name.rpartition("-")[0]
        if run_id != mine and is_held(settings.runs / run_id):
            lines.append(f"{folder.name}: left alone, its gate is running")
            continue
        shutil.rmtree(folder, ignore_errors=True)
        lines.append(f"removed the staged copy {folder.name}")
    return lines


def _in_brackets(detail: str) -> str:
    return f" ({detail})" if detail else ""


@dataclass(slots=True)
class Watched:
    """A server back end that remembers what it launched, so that its end can be examined."""

    server: ModelServer
    launched: list[LaunchedServer] = field(default_factory=list)

    def launch(self, request: ServeRequest) -> LaunchedServer:
        """Launches an engine (see `ModelServer.launch`)."""
        launched = self.server.launch(request)
        self.launched.append(launched)
        return launched

    def reap(self) -> Sequence[str]:
        """Removes what dead owners left (see `ModelServer.reap`)."""
        return self.server.reap()
