"""The private folder of one throwaway server: its socket, its log, its temporary files.

::

    <temp>/assay-serve-XXXXXXXX/      0700: nobody else comes past this door
        owner.json                    who made it, for which run, and the process group, if any
        socket/v.sock                 0777 inside the door: the server may be another user
        log                           what the engine says (process back end)
        tmp/                          the engine's own temporary files (process back end)

Decides where these lie and when they may be removed; leaves the server itself to the back ends.
"""

import json
import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from assay.adapters import server_owner
from assay.errors import InfrastructureError

_PREFIX = "assay-serve-"
_LONGEST_TEMP = 40
"""A unix socket's path ends at 107 bytes, and the engine makes sockets of its own below `tmp`."""
_HALF_MADE_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The paths of one server's private folder."""

    root: Path

    @property
    def socket_folder(self) -> Path:
        """The only folder that a container can write to on this machine."""
        return self.root / "socket"

    @property
    def socket(self) -> Path:
        """The socket that the server listens on."""
        return self.socket_folder / "v.sock"

    @property
    def log(self) -> Path:
        """What a server process writes."""
        return self.root / "log"

    @property
    def temporary(self) -> Path:
        """Temporary files of a server process."""
        return self.root / "tmp"

    def note_owner(self, *, run_id: str, group: int | None = None) -> None:
        """Writes who owns the folder, and the process group that lives from it."""
        started = None if group is None else psutil.Process(group).create_time()
        note = {
            "owner": server_owner.this_process(),
            "run": run_id,
            "group": group,
            "group_started": started,
        }
        fresh = self.root / "owner.json.new"
        fresh.write_text(json.dumps(note))
        fresh.replace(self.root / "owner.json")

    def remove(self) -> bool:
        """Removes the folder; returns whether nothing is left of it."""
        shutil.rmtree(self.root, ignore_errors=True)
        return not self.root.exists()


def make(run_id: str) -> Workspace:
    """Makes a private folder.

    Raises:
        InfrastructureError: the folder for temporary files cannot be written.
    """
    root = None
    try:
        root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_temp_folder()))
        workspace = Workspace(root=root)
        workspace.temporary.mkdir()
        workspace.socket_folder.mkdir()
        workspace.socket_folder.chmod(0o777)
        workspace.note_owner(run_id=run_id)
    except OSError as error:
        if root is not None:
            shutil.rmtree(root, ignore_errors=True)
        raise cannot_write(error) from error
    return workspace


def cannot_write(error: OSError) -> InfrastructureError:
    """Returns the error for a folder of a server that could not be made or filled."""
    return InfrastructureError(
        f"{error.filename or _temp_folder()}: cannot be written for a server ({error.strerror}); "
        "free space there, or point TMPDIR or the cache elsewhere"
    )


def sweep() -> Iterator[str]:
    """Removes the folders, and the process groups, of owners that are gone.

    Yields:
        A sentence for each folder removed or impossible to remove.
    """
    for root in sorted(_temp_folder().glob(f"{_PREFIX}*")):
        with suppress(FileNotFoundError):
            facts = root.lstat()
            if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid():
                yield from _sweep_one(Workspace(root=root), time.time() - facts.st_mtime)


def _sweep_one(workspace: Workspace, age_s: float) -> Iterator[str]:
    try:
        note = json.loads((workspace.root / "owner.json").read_text())
        abandoned = server_owner.is_dead(note["owner"])
    except (OSError, ValueError, KeyError):
        note, abandoned = {}, age_s > _HALF_MADE_S
    if not abandoned:
        return
    group, started = note.get("group"), note.get("group_started")
    killed = group is not None and server_owner.is_running(group, started)
    if killed:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    done = "removed" if workspace.remove() else "could not be removed wholly; remove by hand:"
    server = f" and its process group {group} (killed)" if killed else ""
    yield f"{done} {workspace.root}{server}, left by run {note.get('run')!r} of a dead owner"


def _temp_folder() -> Path:
    folder = Path(tempfile.gettempdir())
    return folder if len(str(folder)) <= _LONGEST_TEMP else Path("/tmp")  # noqa: S108
