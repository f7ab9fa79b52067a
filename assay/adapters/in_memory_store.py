"""The trusted store in a dictionary: for tests of everything that needs a store but no disk.

It runs the same rules as every store (`sealed_store`): it signs, verifies and refuses. Only the
place that holds the bytes is a fake.
"""

import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from assay.adapters.sealed_store import Clock, SealedStore, utc_now
from assay.adapters.store_cache import BlobCache
from assay.adapters.store_transport import Entry, whole_range
from assay.artifact_checks import ArtifactRules
from assay.errors import InfrastructureError
from assay.trust import TrustedKeys


class InMemoryTransport:
    """Holds files as bytes by path; `reachable = False` plays a store that is down."""

    url = "in-memory store"
    is_local = False

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.reachable = True
        self._lock = threading.Lock()

    def _reach(self) -> None:
        if not self.reachable:
            raise InfrastructureError(f"{self.url}: cannot be reached; try again")

    def entries(self, folder: str) -> Mapping[str, Entry]:
        """Lists a folder (see `Transport.entries`)."""
        self._reach()
        prefix = f"{folder}/" if folder else ""
        found: dict[str, Entry] = {}
        with self._lock:
            inside = {path: data for path, data in self.files.items() if path.startswith(prefix)}
        for path, data in inside.items():
            name, _, below = path.removeprefix(prefix).partition("/")
            found[name] = Entry("folder") if below else Entry("file", len(data))
        return found

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Opens a file for reading (see `Transport.open`)."""
        self._reach()
        if path not in self.files:
            raise InfrastructureError(f"{self.url}: cannot read {path}: no such file")
        yield io.BytesIO(self.files[path])

    def read(self, path: str, start: int, end: int) -> bytes:
        """Reads a range of a file (see `Transport.read`)."""
        with self.open(path) as stream:
            stream.seek(start)
            return whole_range(stream.read(end - start), self.url, path, start, end)

    def upload(self, source: Path, path: str) -> None:
        """Stores a local file (see `Transport.upload`)."""
        self._reach()
        with self._lock:
            self.files[path] = source.read_bytes()

    def create(self, path: str, data: bytes) -> bool:
        """Stores a small file that must not exist yet (see `Transport.create`)."""
        self._reach()
        with self._lock:
            if path in self.files:
                return False
            self.files[path] = data
            return True

    def remove(self, path: str) -> None:
        """Removes a file or folder (see `Transport.remove`)."""
        self._reach()
        with self._lock:
            for name in [n for n in self.files if n == path or n.startswith(f"{path}/")]:
                del self.files[name]


class InMemoryStore(SealedStore):
    """A trusted store that lives as long as the object; `transport` holds its bytes."""

    def __init__(
        self,
        trusted: TrustedKeys,
        *,
        rules: ArtifactRules | None = None,
        cache: BlobCache | None = None,
        clock: Clock = utc_now,
        transport: InMemoryTransport | None = None,
    ) -> None:
        self.transport = transport or InMemoryTransport()
        super().__init__(self.transport, trusted, rules=rules, cache=cache, clock=clock)
