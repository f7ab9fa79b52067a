"""A sample of what users send: JSONL or Parquet, one row a request.

Decides what such a file may hold and how its faults read; what it says about the golden set is
`drift`'s. A column that is absent is unknown, never empty; one that is filled in for some rows only
is an error, because which rows lack it is rarely by chance.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from assay.documents import Document, parse_json, validate
from assay.errors import ConfigError
from assay.golden_health.drift import Sample

MOST_BYTES = 100_000
"""A longer line is no request."""


class TrafficRow(Document):
    """One request, as it enters; only text, label (the model's) and language are looked at."""

    request_id: str | int | None = None
    text: str | None = Field(default=None, max_length=MOST_BYTES)
    label: str | None = Field(default=None, max_length=200)
    lang: str | None = Field(default=None, max_length=35)
    signal: str | None = None
    time: str | int | float | None = None
    model: str | None = None
    confidence: float | None = None


_LOOKED_AT = ("text", "label", "lang")


def read_traffic(path: Path) -> Sample:
    """Reads a sample of traffic.

    Args:
        path: `*.parquet`, or JSONL with one object a line.

    Raises:
        ConfigError: the file cannot be read, a row is not a request, a column is filled in for some
            rows only, or there is no row.
    """
    kept: dict[str, list[str | None]] = {name: [] for name in _LOOKED_AT}
    rows = _parquet(path) if path.suffix == ".parquet" else _jsonl(path)
    for number, value in rows:
        row = validate(value, TrafficRow, f"{path}:{number}")
        for name in _LOOKED_AT:
            kept[name].append(getattr(row, name))
    columns = {name: _whole(path, name, values) for name, values in kept.items()}
    if all(values is None for values in columns.values()):
        raise ConfigError(
            f"{path}: holds no text, label or lang; expected rows such as "
            '{"text": …, "label": …, "lang": …}; export them, or name another file'
        )
    return Sample(texts=columns["text"], labels=columns["label"], languages=columns["lang"])


def _whole(path: Path, name: str, values: list[str | None]) -> list[str] | None:
    filled = [value for value in values if value is not None]
    if not filled:
        return None
    if len(filled) < len(values):
        raise ConfigError(
            f"{path}: {len(values) - len(filled)} of {len(values)} rows lack {name!r}; expected "
            "it in all rows or in none; leave those rows out only if they lack it by chance"
        )
    return filled


def _jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                where = f"{path}:{number}"
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise ConfigError(
                        f"{where}: byte {line[error.start]:#04x} is not UTF-8; expected UTF-8 "
                        "text; convert the file (for example with iconv)"
                    ) from None
                yield number, parse_json(text, where)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name an existing sample of traffic") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def _parquet(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            if strange := sorted(set(names) - TrafficRow.model_fields.keys()):
                raise ConfigError(
                    f"{path}: unknown columns {', '.join(map(repr, strange))}; expected some of "
                    f"{', '.join(TrafficRow.model_fields)}; rename or drop them"
                )
            number = 0
            looked_at = [name for name in names if name in _LOOKED_AT]
            for batch in file.iter_batches(batch_size=10_000, columns=looked_at):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name an existing sample of traffic") from None
    except (ArrowException, OSError) as error:
        raise ConfigError(
            f"{path}: not a Parquet file ({type(error).__name__}); expected one with columns "
            f"{', '.join(_LOOKED_AT)}; export it again"
        ) from None
