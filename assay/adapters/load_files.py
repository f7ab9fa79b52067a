"""Every timed request of a load on disk, so that memory does not grow with its length.

Decides two forms: JSONL, readable up to the last whole line after a kill, and Parquet, a sixth of
its size, readable when it was closed. Leaves figures to `assay.load.summary`. No text of a case or
an answer is written, only times, counts and ids.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from pydantic import TypeAdapter, ValidationError

from assay.documents import describe
from assay.errors import ConfigError, InfrastructureError
from assay.load.samples import TimedRequest

if TYPE_CHECKING:
    import pyarrow as pa

_BUFFER_BYTES = 1 << 20
_ROWS = 20_000
_COLUMNS = tuple(field.name for field in fields(TimedRequest))


def open_requests(path: Path) -> "RequestFile":
    """Returns the writer of a new file: Parquet by the suffix `.parquet`, else JSONL.

    Raises:
        ConfigError: the file exists, or its folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("xb").close()
    except FileExistsError:
        raise ConfigError(f"{path}: exists already; expected a new file; name another") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); name another") from None
    return ParquetFile(path) if path.suffix == ".parquet" else RequestFile(path)


class RequestFile:
    """Takes timed requests, one JSON object a line; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] = path.open("wb", buffering=_BUFFER_BYTES)

    def __call__(self, request: TimedRequest) -> None:
        """Takes one request.

        Raises:
            InfrastructureError: the disk is full, or gone.
        """
        row = {name: getattr(request, name) for name in _COLUMNS}
        line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
        with _disk(self.path):
            self._file.write(line)

    def __enter__(self) -> Self:
        """Enters the context in which the file is open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Writes what is left and closes the file."""
        with _disk(self.path):
            self._file.close()


class ParquetFile(RequestFile):
    """JSONL beside the file while the load runs, turned into Parquet when it is over.

    A row group takes 50 ms to write, which the requests due meanwhile would be late by.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path.with_suffix(".jsonl.part"))
        self._final = path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the lines and turns them into Parquet."""
        super().__exit__(kind, error, trace)
        with _disk(self._final):
            _write_parquet(self.path, self._final)
            self.path.unlink()


def _write_parquet(lines: Path, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(pa)
    with lines.open("rb") as rows, pq.ParquetWriter(path, schema) as writer:
        while chunk := [json.loads(row) for row in islice(rows, _ROWS)]:
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))


def read_requests(path: Path) -> Iterator[TimedRequest]:
    """Yields the requests of a file in its order, a line or a row group at a time.

    A last line that a kill cut short is left out.

    Raises:
        ConfigError: the file cannot be read, or holds something else; names the line.
    """
    if path.suffix == ".parquet":
        yield from _read_parquet(path)
        return
    reader = TypeAdapter(TimedRequest)
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield reader.validate_json(line)
                except ValidationError as error:
                    raise ConfigError(
                        f"{path}:{number}: {describe(error)}; expected a timed request"
                    ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def _read_parquet(path: Path) -> Iterator[TimedRequest]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    reader = TypeAdapter(TimedRequest)
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    yield reader.validate_python(row)
    except (OSError, pa.ArrowException, ValidationError) as error:
        raise ConfigError(
            f"{path}: holds no timed requests ({type(error).__name__}); expected a file that "
            "`assay loadtest` wrote and closed"
        ) from None


def _schema(pa: Any) -> "pa.Schema":
    kinds = {
        "index": pa.int64(),
        "case_id": pa.string(),
        "request_id": pa.string(),
        "status": pa.string(),
        "error_kind": pa.string(),
        "gaps_ms": pa.list_(pa.float64()),
        "prompt_tokens": pa.int64(),
        "completion_tokens": pa.int64(),
        "warm_up": pa.bool_(),
    }
    return pa.schema([(name, kinds.get(name, pa.float64())) for name in _COLUMNS])


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Turns an error of the disk into one that says which file."""
    try:
        yield
    except OSError as error:
        raise InfrastructureError(
            f"{path}: not written ({error.strerror}); make room, or leave --out away"
        ) from error
