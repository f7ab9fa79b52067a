"""Copies an artifact's files to a private place, hashing every byte on its way.

Memory is bounded by a buffer a thread, whatever the size of the files.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from assay.artifact import FileEntry
from assay.artifact_files import refuse
from assay.errors import InfrastructureError

_BUFFER = 2**20
T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 - not an error: another file's error is the one to report
    """A copy ended early because another one had failed."""


def copy_stream(
    source: BinaryIO, target: Path, *, limit: int, name: str, stop: threading.Event
) -> FileEntry:
    """Writes a stream to a file that must not exist, readable by its owner only.

    Args:
        source: where the bytes come from.
        target: the file to create.
        limit: size in bytes that the stream may have at most.
        name: the file's name, for messages.
        stop: set when the copy need not be finished.

    Returns:
        Size and digest of what was written.

    Raises:
        ArtifactError: the stream is longer than `limit`.
        InfrastructureError: the file cannot be written (disk full).
    """
    digest, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(_BUFFER))
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as sink:
        while count := _read_into(source, buffer):
            if stop.is_set():
                raise Stopped
            size += count
            if size > limit:
                raise refuse(
                    "file-size",
                    f"{name!r} has more than the {limit} bytes that were promised; it was changed "
                    "after signing; publish the version again from its source",
                )
            digest.update(buffer[:count])
            _write(sink, buffer[:count], target)
    return FileEntry(size=size, sha256=digest.hexdigest())


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns the operating system's refusal to write a local copy into an InfrastructureError."""
    try:
        yield
    except OSError as error:
        raise InfrastructureError(
            f"{folder}: no local copy can be made ({error.strerror or error}); check permissions, "
            "free space, and try again"
        ) from error


def _read_into(source: BinaryIO, buffer: memoryview) -> int:
    return int(source.readinto(buffer))  # type: ignore[attr-defined]


def _write(sink: BinaryIO | object, data: memoryview, target: Path) -> None:
    try:
        while data:
            data = data[sink.write(data) :]  # type: ignore[union-attr]
    except OSError as error:
        raise InfrastructureError(
            f"{target.parent}: cannot be written ({error.strerror}); free space there and try again"
        ) from error


def copy_local(source: Path, target: Path, *, size: int, stop: threading.Event) -> FileEntry:
    """Copies a local file that may be changing meanwhile; follows no symbolic link.

    Raises:
        ArtifactError: the file is no longer what it was when it was listed.
        InfrastructureError: it cannot be read, or the copy cannot be written.
    """
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise InfrastructureError(
            f"{source}: cannot be read ({error.strerror}); check its permissions"
        ) from None
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        entry = copy_stream(stream, target, limit=size, name=source.name, stop=stop)
    if entry.size != size:
        raise refuse(
            "changing", f"{source.name!r} is being changed by somebody; publish it once it is done"
        )
    return entry


def in_parallel(
    work: Callable[[str, threading.Event], T], names: Iterable[str], *, threads: int
) -> dict[str, T]:
    """Runs a task for each name in a few threads; the first error stops the others.

    Returns:
        Name → result, in the order of `names`.
    """
    stop = threading.Event()
    ordered = list(names)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        futures = {pool.submit(work, name, stop): name for name in ordered}
        try:
            results = {futures[future]: future.result() for future in as_completed(futures)}
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {name: results[name] for name in ordered}
