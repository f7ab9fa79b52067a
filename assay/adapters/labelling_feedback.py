"""Reads feedback and traffic: JSONL and Parquet files, line by line.

Decides how bytes become fields and how a line is named; what the fields must be is left to
`assay.review.requests`. A line that cannot be read is handed on as such, and costs no other; a file
that cannot be read at all, or has other columns, is an error.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.documents import parse_json
from assay.errors import ConfigError
from assay.review.requests import Line, Rejected, RequestRow

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_BATCH_ROWS = 4096
_KNOWN = tuple(RequestRow.model_fields)
_NEEDED = tuple(name for name, field in RequestRow.model_fields.items() if field.is_required())


def read_lines(paths: Iterable[Path]) -> Iterator[Line]:
    """Yields the lines of files, which may be JSONL or (`.parquet`) Parquet.

    Raises:
        ConfigError: a file is missing, cannot be read, or is neither.
    """
    for path in paths:
        if not path.is_file():
            raise ConfigError(f"{path}: no such file; name a JSONL or Parquet file")
        yield from _parquet(path) if path.suffix == ".parquet" else _jsonl(path)


def _jsonl(path: Path) -> Iterator[Line]:
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if text.strip():
                    yield f"{path}:{number}", _fields(text, f"{path}:{number}")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def _fields(line: bytes, where: str) -> dict[str, Any] | Rejected:
    try:
        value = parse_json(line.decode("utf-8"), where)
    except UnicodeDecodeError:
        return Rejected(where=where, why="not UTF-8; convert the file (for example with iconv)")
    except ConfigError as error:
        return Rejected(where=where, why=str(error).removeprefix(f"{where}: "))
    if not isinstance(value, dict):
        return Rejected(where=where, why=f"found {type(value).__name__!r}, expected an object")
    return value


def _parquet(path: Path) -> Iterator[Line]:
    # Imported where it is used: it takes a third of a second, and most inputs are JSONL.
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path) as file:
            _check_columns(path, file)
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}:{number}", row
    except (ArrowInvalid, OSError):
        raise ConfigError(
            f"{path}: not a Parquet file, or a damaged one (read up to row {number}); write it "
            "again, or hand JSONL over under another ending"
        ) from None


def _check_columns(path: Path, file: "ParquetFile") -> None:
    found = set(file.schema_arrow.names)
    wrong = sorted(found - set(_KNOWN)), [name for name in _NEEDED if name not in found]
    if any(wrong):
        unknown, missing = (", ".join(map(repr, names)) or "none" for names in wrong)
        raise ConfigError(
            f"{path}: unknown columns: {unknown}; missing: {missing}; expected "
            f"{', '.join(_NEEDED)} and any of "
            f"{', '.join(name for name in _KNOWN if name not in _NEEDED)}; rename or drop columns"
        )
