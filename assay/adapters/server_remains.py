"""What a throwaway engine may have left on this machine: its processes, its folder, GPU memory.

Decides how each is found again after the engine's end. A process belongs to an engine when it is in
its group, descends from it, or carries its private temporary folder in its environment, so one that
left the group and lost its parent is found too. Removing things is the back ends'; what a leftover
means is the gate's to say.
"""

import os
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from assay.adapters import server_gpus, server_owner
from assay.adapters.server_workspace import Workspace
from assay.records import Postcondition

_PATIENCE_S = 5.0
"""The kernel takes a moment to bury a killed process, and the driver to give its memory back."""
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Member:
    """One process of an engine; a process id alone is used again."""

    pid: int
    started: float

    def runs(self) -> bool:
        """Whether it still runs."""
        return server_owner.is_running(self.pid, self.started)


def family(leader: int, temporary: Path) -> frozenset[Member]:
    """Returns the processes that belong to an engine of this user, as they are now.

    Args:
        leader: id of the process that leads the engine's group.
        temporary: the engine's own folder for temporary files.
    """
    marker, found = str(temporary), set()
    with suppress(psutil.NoSuchProcess):
        found |= {one.pid for one in psutil.Process(leader).children(recursive=True)}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == leader or _carries(process, marker):
                found.add(process.pid)
    return members(found)


def members(pids: Iterable[int]) -> frozenset[Member]:
    """Returns processes by their ids, with when they started; those that are gone are left out."""
    found = set()
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                found.add(Member(pid, process.create_time()))
    return frozenset(found)


def of_container(container_id: str, pids: Iterable[int]) -> frozenset[Member]:
    """Returns those of these processes that this machine sees in a container's control group.

    An engine in a virtual machine, or a gate in a container, sees other numbers: what is not
    plainly the container's is not taken for it.
    """
    inside = []
    for pid in pids:
        with suppress(OSError):
            if container_id in Path(f"/proc/{pid}/cgroup").read_text():
                inside.append(pid)
    return members(inside)


def kill(left: Collection[Member]) -> None:
    """Kills those that still run, each by its own id."""
    for member in left:
        if member.runs():
            with suppress(psutil.Error):
                psutil.Process(member.pid).kill()


def processes_gone(known: Collection[Member], subject: str) -> Postcondition:
    """Looks whether an engine's processes are gone."""
    _wait(lambda: not any(member.runs() for member in known))
    left = sorted(member.pid for member in known if member.runs())
    detail = f"still running: {', '.join(map(str, left))}" if left else f"{len(known)} had run"
    return Postcondition(what="processes", subject=subject, gone=not left, detail=detail)


def folder_gone(workspace: Workspace) -> tuple[Postcondition, ...]:
    """Looks whether an engine's socket and its private folder are gone."""
    return (
        Postcondition(
            what="socket", subject=str(workspace.socket), gone=not os.path.lexists(workspace.socket)
        ),
        Postcondition(
            what="workspace", subject=str(workspace.root), gone=not os.path.lexists(workspace.root)
        ),
    )


def gpu_memory_gone(
    gpus: int, known: Collection[Member], before: dict[str, int]
) -> tuple[Postcondition, ...]:
    """Looks whether an engine's processes hold memory on a GPU; none where it used no GPU.

    Args:
        gpus: how many the engine was given.
        known: its processes.
        before: bytes in use before it was started, by the GPU's identity.
    """
    if not gpus:
        return ()
    pids = {member.pid for member in known}
    _wait(lambda: not any(server_gpus.still_held(pids).values()))
    found = server_gpus.found()
    if not found:
        detail = "the driver's library does not answer"
        return (Postcondition(what="gpu_memory", subject="all", gone=None, detail=detail),)
    return tuple(
        Postcondition(
            what="gpu_memory",
            subject=gpu.uuid,
            gone=not pids & gpu.owners.keys(),
            detail=f"{before.get(gpu.uuid, 0)} bytes in use before, {gpu.used_bytes} after",
        )
        for gpu in found
    )


def gpu_memory(gpus: int) -> dict[str, int]:
    """Returns the bytes in use on each GPU; empty for an engine that uses none."""
    return {gpu.uuid: gpu.used_bytes for gpu in server_gpus.found()} if gpus else {}


def _carries(process: psutil.Process, marker: str) -> bool:
    return process.environ().get("TMPDIR") == marker


def _wait(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not holds() and time.monotonic() < end:
        time.sleep(_POLL_S)
