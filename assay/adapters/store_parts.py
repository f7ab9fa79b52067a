"""Fetches one large file in parts, several at a time, and goes on where a killed pull stopped.

Decides which parts are still missing and what the digest of the whole is; leaves reading a part to
the `Transport` and what the digest must be to the caller. A part counts as fetched once its mark in
the journal is set, which happens after its bytes are written::

    <digest>.part      the file itself, sparse until it is whole
    <digest>.journal   one byte a part: 1 when it is there

A kill leaves both as they are. A power cut may keep a mark and lose its bytes, so the digest is
always taken over the file as it is read back, and a wrong one after going on is no verdict about
the store: the caller begins anew.
"""

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from assay.adapters.store_copy import Stopped
from assay.adapters.store_transport import Transport

PART = 4 * 2**20
CONNECTIONS = 6
_DONE = b"\x01"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file of the store: where its bytes are read from, and how many there are."""

    transport: Transport
    path: str
    size: int

    def parts(self) -> list[tuple[int, int]]:
        """Returns the ranges [start, end) of the parts, in order."""
        return [(at, min(at + PART, self.size)) for at in range(0, self.size, PART)]


def fetch_parts(
    source: RemoteFile, descriptor: int, journal: Path, stop: threading.Event
) -> tuple[str, bool]:
    """Fetches what is missing of a file.

    Args:
        source: the file in the store.
        descriptor: the local file, open for reading and writing; nobody else writes to it.
        journal: says which parts are there already; made if need be, left in place.
        stop: set when the file is no longer wanted.

    Returns:
        Hex SHA-256 of the whole file as it is now, and whether any part was there before.

    Raises:
        InfrastructureError: a part cannot be read; what was fetched stays for the next time.
        OSError: the local file cannot be written.
    """
    parts = source.parts()
    resumable = os.fstat(descriptor).st_size == source.size
    os.ftruncate(descriptor, source.size)
    with _marks(journal, len(parts), keep=resumable) as marks:
        done = os.pread(marks, len(parts), 0)

        def fetch(number: int) -> None:
            if stop.is_set():
                raise Stopped
            start, end = parts[number]
            _write_at(descriptor, source.transport.read(source.path, start, end), start)
            os.pwrite(marks, _DONE, number)

        with ThreadPoolExecutor(max_workers=CONNECTIONS) as pool:
            pending = {
                number: pool.submit(fetch, number)
                for number in range(len(parts))
                if done[number : number + 1] != _DONE
            }
            try:
                return _digest(descriptor, parts, pending), _DONE in done
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _digest(descriptor: int, parts: list[tuple[int, int]], pending: dict[int, Future[None]]) -> str:
    """Hashes the file from its beginning, waiting for each part: as fast as parts arrive."""
    digest = hashlib.sha256()
    for number, (start, end) in enumerate(parts):
        if number in pending:
            pending.pop(number).result()
        digest.update(os.pread(descriptor, end - start, start))
    return digest.hexdigest()


@contextmanager
def _marks(journal: Path, count: int, *, keep: bool) -> Iterator[int]:
    descriptor = os.open(journal, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if not keep or os.fstat(descriptor).st_size != count:
            os.ftruncate(descriptor, 0)
            os.ftruncate(descriptor, count)
        yield descriptor
    finally:
        os.close(descriptor)


def _write_at(descriptor: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, position)
        view, position = view[written:], position + written
