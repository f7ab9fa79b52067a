"""Keeps files of the trusted store on this machine, by the SHA-256 of their bytes.

Decides what is kept, for how long, and who may use it at the same time; never whether bytes may be
believed. Every use copies an entry into a private place and hashes it on the way, so an entry that
somebody changed is found out, thrown away and fetched again: the cache saves the network, and no
trust rests on it. (Sealing entries by permissions would not stop their owner, and the copy has to
be read once anyway.)

::

    <folder>/<sha256>            a whole file; its time of change is when it was last used
    <folder>/<sha256>.part       one that is being fetched, or that a killed pull left
    <folder>/<sha256>.journal    which of its parts are there

Processes share it through locks on the files themselves, which end with their holder: a fetcher
holds its `.part` alone, a reader shares the entry, and only what nobody holds is evicted, least
recently used first.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from assay.adapters.store_copy import Stopped
from assay.adapters.store_parts import RemoteFile, fetch_parts
from assay.artifact import FileEntry
from assay.artifact_files import refuse

_POLL_S = 0.05
_ENTRY_LETTERS = 64


class BlobCache:
    """Files by digest, at most `limit_bytes` of them between pulls.

    Args:
        folder: private to its owner; made when first used.
        limit_bytes: what may lie there once a pull is over; 0 keeps nothing but unfinished files
            of a pull that still runs.
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes

    @contextmanager
    def blob(
        self, promised: FileEntry, source: RemoteFile, stop: threading.Event
    ) -> Iterator[BinaryIO]:
        """Opens a file's bytes, fetching them first where they are not here.

        What is read must still be compared with `promised`; see `discard`.

        Raises:
            ArtifactError: the store holds other bytes under this name than those promised.
            InfrastructureError: the store cannot be read.
            OSError: the cache cannot be written.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = self._kept(promised)
        while descriptor is None:
            descriptor = self._fetched(promised, source, stop)
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            stream.seek(0)
            yield stream

    def discard(self, sha256: str) -> None:
        """Forgets an entry that turned out not to hold what its name says."""
        self._entry(sha256).unlink(missing_ok=True)

    def trim(self) -> list[str]:
        """Evicts the least recently used files until the rest fit; returns the names evicted."""
        found = []
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            if path.suffix != ".journal":
                with suppress(FileNotFoundError):
                    status = path.lstat()
                    found.append((status.st_mtime_ns, status.st_blocks * 512, path))
        used, evicted = sum(size for _, size, _ in found), []
        for _, size, path in sorted(found):
            if used <= self.limit_bytes:
                break
            if _evict(path):
                used -= size
                evicted.append(path.name)
        return evicted

    def _entry(self, sha256: str) -> Path:
        return self.folder / sha256

    def _kept(self, promised: FileEntry) -> int | None:
        """Opens and shares an entry; one of the wrong size cannot be it, and is thrown away."""
        path = self._entry(promised.sha256)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except OSError:  # a link: nothing that this cache has made
            path.unlink()
            return None
        if os.fstat(descriptor).st_size != promised.size:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        with suppress(OSError):
            os.utime(path)
        return descriptor

    def _fetched(
        self, promised: FileEntry, source: RemoteFile, stop: threading.Event
    ) -> int | None:
        """Fetches a file, alone; None when another process has ended it meanwhile."""
        partial = self.folder / f"{promised.sha256}.part"
        journal = self.folder / f"{promised.sha256}.journal"
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            _lock_alone(descriptor, stop)
            if not _is_at(descriptor, partial):  # renamed meanwhile: what is open is the entry
                os.close(descriptor)
                return self._kept(promised)
            kept = self._kept(promised)
            if kept is not None:  # fetched just before the file that is open was made
                partial.unlink()
                os.close(descriptor)
                return kept
            self._fetch(promised, source, descriptor, partial, journal, stop)
            os.fchmod(descriptor, 0o400)
            os.replace(partial, self._entry(promised.sha256))
            journal.unlink(missing_ok=True)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _fetch(
        self,
        promised: FileEntry,
        source: RemoteFile,
        descriptor: int,
        partial: Path,
        journal: Path,
        stop: threading.Event,
    ) -> None:
        digest, resumed = fetch_parts(source, descriptor, journal, stop)
        if digest != promised.sha256 and resumed:
            # What was here before may be at fault (a power cut, a full disk): not the store yet.
            journal.unlink(missing_ok=True)
            digest, _ = fetch_parts(source, descriptor, journal, stop)
        if digest != promised.sha256:
            partial.unlink(missing_ok=True)
            journal.unlink(missing_ok=True)
            raise refuse(
                "file-digest",
                f"{source.transport.url}/{source.path}: is not the file that was signed (its "
                f"SHA-256 is {digest[:16]}…, expected {promised.sha256[:16]}…); the version was "
                "changed after signing; publish it again from its source",
            )


def _lock_alone(descriptor: int, stop: threading.Event) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if stop.is_set():
                raise Stopped from None
            time.sleep(_POLL_S)
        else:
            return


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether a path still names the open file: its fetcher may have renamed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _evict(path: Path) -> bool:
    """Removes a file that nobody holds."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_at(descriptor, path):
            return False
        path.unlink()
        path.with_name(path.name[:_ENTRY_LETTERS] + ".journal").unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
