"""Who started a server, so that what a dead owner left behind can be told from what is in use.

Decides whether an owner is alive; leaves removing things to the back ends. An owner is one process
of one machine, written `host:pid:start`, `start` in whole seconds since the epoch: a process id
alone is reused.
"""

import os
import socket

import psutil

_SAME_PROCESS_S = 2.0
"""How far two readings of one process's start may lie apart (the clock may be corrected)."""


def this_process() -> str:
    """Returns the owner that this process is."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{int(psutil.Process(pid).create_time())}"


def is_dead(owner: str) -> bool:
    """Whether an owner is known to be gone.

    An owner of another machine, or one that cannot be read, is never known to be gone: its servers
    end by their own deadline.
    """
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    start = owner.rpartition(":")[2]
    if host != socket.gethostname() or not rest.isdigit() or not start.isdigit():
        return False
    return not is_running(int(rest), float(start))


def is_running(pid: int, started: float) -> bool:
    """Whether the process that had this id and start (seconds since the epoch) still runs."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) <= _SAME_PROCESS_S
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
