"""The trusted store on anything that fsspec opens: a folder, `memory://`, `s3://`, `gs://`, ….

Decides how fsspec's file systems are listed, read and written; what is stored and what may be
believed is left to `sealed_store`. Listings are read afresh, because a cached one hides versions
that somebody else has published.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from assay.adapters.exclusive_files import create_whole
from assay.adapters.sealed_store import Clock, SealedStore, utc_now
from assay.adapters.store_cache import BlobCache
from assay.adapters.store_transport import Entry, reaching, whole_range
from assay.artifact_checks import ArtifactRules
from assay.errors import ConfigError, InfrastructureError
from assay.trust import TrustedKeys

_BLOCK = 8 * 2**20
# By default s3fs holds ten pieces of 50 MiB in memory while it writes one file.
_S3_UPLOAD: Mapping[str, int] = {"chunksize": 8 * 2**20, "max_concurrency": 4}


class FsspecStore(SealedStore):
    """A trusted store under an fsspec URL.

    Args:
        url: a folder, or a URL whose file system is installed.
        trusted: the pinned keys.
        rules: what an artifact may be.
        cache: keeps what is pulled from a store that is not on this machine; without one, a killed
            pull begins anew.
        storage_options: given to the file system (endpoint, profile, …).
        clock: the time of publication.

    Raises:
        ConfigError: the URL's file system is unknown or not installed.
    """

    def __init__(
        self,
        url: str,
        trusted: TrustedKeys,
        *,
        rules: ArtifactRules | None = None,
        cache: BlobCache | None = None,
        storage_options: Mapping[str, Any] | None = None,
        clock: Clock = utc_now,
    ) -> None:
        transport = FsspecTransport(url, storage_options or {})
        super().__init__(transport, trusted, rules=rules, cache=cache, clock=clock)


class FsspecTransport:
    """Moves bytes through one fsspec file system."""

    def __init__(self, url: str, storage_options: Mapping[str, Any]) -> None:
        self._url = url
        try:
            self._fs, root = fsspec.core.url_to_fs(url, **storage_options)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"store {url!r}: {error}; expected a folder or an fsspec URL; for s3://, gs:// and "
                "abfs:// install the extra, for example pip install 'assay-gate[s3]'"
            ) from None
        self._root = str(root).rstrip("/")
        self._local = isinstance(self._fs, LocalFileSystem)
        protocols = {self._fs.protocol} if isinstance(self._fs.protocol, str) else self._fs.protocol
        self._upload_options = _S3_UPLOAD if "s3" in protocols else {}

    @property
    def url(self) -> str:
        """The URL as configured."""
        return self._url

    @property
    def is_local(self) -> bool:
        """Whether the store is a folder of this machine (see `Transport.is_local`)."""
        return self._local

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def entries(self, folder: str) -> Mapping[str, Entry]:
        """Lists a folder (see `Transport.entries`)."""
        with reaching(self._url, f"list {folder or 'the store'}"):
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(self._at(folder), detail=True)
            except (FileNotFoundError, NotADirectoryError):
                self._check_root()
                return {}
        place = self._at(folder).strip("/")
        return {
            _base(item): _entry(item) for item in found if str(item["name"]).strip("/") != place
        }

    def _check_root(self) -> None:
        # Object stores have no folders: an empty root and a missing one look the same there.
        if self._local and not Path(self._root).is_dir():
            raise InfrastructureError(
                f"{self._url}: the store's folder does not exist; mount it, correct the address, "
                "or publish a first version"
            )

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Opens a file for reading (see `Transport.open`)."""
        with (
            reaching(self._url, f"read {path}"),
            self._fs.open(self._at(path), "rb", block_size=_BLOCK) as stream,
        ):
            yield cast(BinaryIO, stream)

    def read(self, path: str, start: int, end: int) -> bytes:
        """Reads a range of a file (see `Transport.read`)."""
        with reaching(self._url, f"read {path}"):
            data = bytes(self._fs.cat_file(self._at(path), start=start, end=end))
        return whole_range(data, self._url, path, start, end)

    def upload(self, source: Path, path: str) -> None:
        """Stores a local file (see `Transport.upload`)."""
        with reaching(self._url, f"write {path}"):
            self._make_parent(path)
            self._fs.put_file(str(source), self._at(path), **self._upload_options)

    def create(self, path: str, data: bytes) -> bool:
        """Stores a small file that must not exist yet (see `Transport.create`)."""
        with reaching(self._url, f"write {path}"):
            self._make_parent(path)
            if self._local:
                return create_whole(Path(self._at(path)), data)
            try:
                with self._fs.open(self._at(path), "xb") as stream:
                    stream.write(data)
            except FileExistsError:
                return False
            return True

    def remove(self, path: str) -> None:
        """Removes a file or folder (see `Transport.remove`)."""
        with reaching(self._url, f"remove {path}"):
            self._fs.invalidate_cache()
            if self._fs.exists(self._at(path)):
                self._fs.rm(self._at(path), recursive=True)

    def _make_parent(self, path: str) -> None:
        self._fs.makedirs(self._at(path).rsplit("/", 1)[0], exist_ok=True)


def _base(item: Mapping[str, Any]) -> str:
    return str(item["name"]).rstrip("/").rsplit("/", 1)[-1]


def _entry(item: Mapping[str, Any]) -> Entry:
    if item.get("islink"):
        return Entry("other")
    if item["type"] == "directory":
        return Entry("folder")
    if item["type"] == "file":
        return Entry("file", int(item.get("size") or 0))
    return Entry("other")
