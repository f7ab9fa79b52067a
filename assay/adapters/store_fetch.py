"""Copies the files of a version into a private folder, each compared with its manifest entry.

Decides by which way a file comes: small ones and those of a local store in one stream each; large
ones of a remote store in parts, through the cache, so that a killed pull continues. Whatever the
way, the bytes are hashed as they are written to the private copy.
"""

import threading
from collections.abc import Mapping
from pathlib import Path

from assay.adapters.store_cache import BlobCache
from assay.adapters.store_copy import copy_stream, in_parallel
from assay.adapters.store_parts import PART, RemoteFile
from assay.adapters.store_transport import Transport
from assay.artifact import FileEntry
from assay.artifact_files import refuse
from assay.errors import ArtifactError, InfrastructureError

_THREADS = 4


class FileFetcher:
    """Fetches files from one transport, by way of a cache where there is one."""

    def __init__(self, transport: Transport, cache: BlobCache | None) -> None:
        self._transport = transport
        self._cache = cache

    def fetch(self, place: str, files: Mapping[str, FileEntry], folder: Path, where: str) -> None:
        """Copies all files of a version.

        Args:
            place: the version's folder in the store.
            files: name → size and digest that each must have.
            folder: an empty private folder.
            where: the version, for messages.

        Raises:
            ArtifactError: a file is not what the manifest promises.
            InfrastructureError: the store cannot be read.
            OSError: nothing can be written here.
        """
        cache = self._cache
        large = [n for n, entry in files.items() if cache is not None and entry.size > PART]

        def stream(name: str, stop: threading.Event) -> None:
            with self._transport.open(f"{place}/{name}") as source:
                found = copy_stream(
                    source, folder / name, limit=files[name].size, name=name, stop=stop
                )
            if found != files[name]:
                raise _changed(where, name, found, files[name])

        in_parallel(stream, files.keys() - set(large), threads=_THREADS)
        if cache is None:
            return
        try:
            for name in large:  # one after the other: the parts of each come in parallel
                remote = RemoteFile(
                    transport=self._transport, path=f"{place}/{name}", size=files[name].size
                )
                _by_way_of(cache, remote, files[name], folder / name)
        finally:
            cache.trim()


def _by_way_of(cache: BlobCache, remote: RemoteFile, promised: FileEntry, target: Path) -> None:
    """Copies a file out of the cache; an entry that was changed there is fetched once more."""
    stop = threading.Event()
    for _ in range(2):
        with cache.blob(promised, remote, stop) as blob:
            try:
                found = copy_stream(blob, target, limit=promised.size, name=target.name, stop=stop)
            except ArtifactError:  # it grew while it was read
                found = None
        if found == promised:
            return
        cache.discard(promised.sha256)
        target.unlink()
    raise InfrastructureError(
        f"{cache.folder}: what is written there does not read back the same; check this machine's "
        "disk and memory, and that nobody else writes to that folder"
    )


def _changed(where: str, name: str, found: FileEntry, promised: FileEntry) -> ArtifactError:
    return refuse(
        "file-digest",
        f"{where}: {name!r} is not the file that was signed (its SHA-256 is "
        f"{found.sha256[:16]}…, expected {promised.sha256[:16]}…); the version was changed after "
        "signing; publish it again from its source",
    )
