"""The seam between the trusted store's rules and the places that hold its bytes.

A transport moves bytes and knows nothing about artifacts: what is stored under which name, and
whether it may be believed, is `sealed_store`'s.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from assay.errors import AssayError, InfrastructureError


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a folder of the store. `other` is a link or a special file."""

    kind: Literal["file", "folder", "other"]
    size: int = 0


class Transport(Protocol):
    """Reads and writes a tree of files. Paths are relative to its root, with '/'.

    Every method raises InfrastructureError when the place cannot be reached, read or written.
    """

    @property
    def url(self) -> str:
        """Where the store is, for messages; holds no secret."""
        ...

    def entries(self, folder: str) -> Mapping[str, Entry]:
        """Lists a folder; empty when there is no such folder (but for the root: an error)."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether the bytes lie on this machine, where a cached copy would be a copy of a copy."""
        ...

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Opens a file for reading from its beginning."""
        ...

    def read(self, path: str, start: int, end: int) -> bytes:
        """Reads the bytes from `start` up to `end`; may be called from several threads.

        Raises InfrastructureError also when the file is shorter than that.
        """
        ...

    def upload(self, source: Path, path: str) -> None:
        """Stores a local file, replacing what is there."""
        ...

    def create(self, path: str, data: bytes) -> bool:
        """Stores a small file that must not exist yet; False when it does."""
        ...

    def remove(self, path: str) -> None:
        """Removes a file or a folder with all in it; nothing happens when it is not there."""
        ...


@contextmanager
def reaching(url: str, doing: str) -> Iterator[None]:
    """Turns whatever a storage library raises into an InfrastructureError.

    Every back end has errors of its own (botocore, aiohttp, gcsfs, …) without a common class; all
    of them mean that the store did not do what it was asked.
    """
    try:
        yield
    except AssayError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"[:300]
        raise InfrastructureError(
            f"{url}: cannot {doing} ({said}); check the store's address, network and credentials, "
            "then try again"
        ) from error


def whole_range(data: bytes, url: str, path: str, start: int, end: int) -> bytes:
    """Returns a range's bytes once they are as many as were asked for.

    Raises:
        InfrastructureError: the place sent fewer or more (a truncated object, a broken proxy).
    """
    if len(data) != end - start:
        raise InfrastructureError(
            f"{url}: asked for bytes {start} to {end} of {path}, got {len(data)} of "
            f"{end - start}; the object was cut short or replaced, or the connection broke: try "
            "again, and publish the version again if it stays so"
        )
    return data
