"""Rows of tables that other tools write: CSV, JSONL, Parquet, and Hugging Face data sets.

Decides by a source's name how it is read, and that a row that cannot be read is said and passed
over, while a file that is none at all is an error; leaves what the columns mean to
`assay.golden_import`. Everything streams but the data sets' own indexes.

==================  ==============================================================================
source              read as
==================  ==============================================================================
`*.csv`, `*.tsv`    a header and rows, UTF-8
`*.jsonl`           one JSON object a line
`*.parquet`         a table
a folder            what `datasets.save_to_disk` wrote
`hf:NAME@SPLIT`     a data set of the hub, or of a local folder; `hf:NAME:CONFIG@SPLIT` names one of
                    several configurations
==================  ==============================================================================
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assay.documents import parse_json
from assay.errors import ConfigError, InfrastructureError

Row = tuple[str, Mapping[str, Any] | str]
"""Where a row stands, and its columns; or why it has none."""

_HUB = "hf:"
_LONGEST_FIELD = 10 * 2**20


def read_rows(source: str, split: str | None = None) -> Iterator[Row]:
    """Yields the rows of a source.

    Args:
        source: a path, or `hf:…`.
        split: for a saved data set with several splits: which one.

    Raises:
        ConfigError: no such source, or not what its name says.
        InfrastructureError: the hub does not answer.
    """
    if source.startswith(_HUB):
        return _hub(source.removeprefix(_HUB), split)
    path = Path(source)
    if path.is_dir():
        return _saved(path, split)
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(
            f"{source}: expected a file that ends in {', '.join(readers)}, a folder that "
            "`save_to_disk` wrote, or hf:NAME@SPLIT; convert it, or rename it"
        )
    if not path.is_file():
        raise ConfigError(f"{source}: no such file; name an existing one")
    return reader(path)


def _csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_FIELD)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter=delimiter, strict=True)
            names = reader.fieldnames or ()
            if len(set(names)) < len(names):
                raise ConfigError(f"{path}:1: a column is named twice; give each its own name")
            for row in reader:
                place = f"{path.name}:{reader.line_num}"
                if None in row or None in row.values():
                    yield place, f"has not the {len(names)} fields of the header"
                else:
                    yield place, dict(row)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error.reason}); convert it with iconv") from None
    except csv.Error as error:
        raise ConfigError(f"{path}: not a table ({error}); correct its quotes") from None


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            place = f"{path.name}:{number}"
            try:
                value = parse_json(line.decode("utf-8-sig" if number == 1 else "utf-8"), place)
            except UnicodeDecodeError:
                yield place, "not UTF-8"
            except ConfigError as error:
                yield place, str(error).removeprefix(f"{place}: ")
            else:
                yield place, value if isinstance(value, dict) else "not a JSON object"


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"{path.name}:row {number}", row
    except pa.ArrowException as error:
        raise ConfigError(f"{path}: not Parquet ({type(error).__name__}); convert it") from None


def _hub(name: str, split: str | None) -> Iterator[Row]:
    import datasets

    found, _, asked = name.partition("@")
    # A path may hold a colon on no system that we run on; a configuration follows the last one.
    repository, _, config = found.partition(":")
    wanted = split or asked
    if not wanted:
        raise ConfigError(f"hf:{name}: names no split; expected hf:NAME@SPLIT, such as @test")
    try:
        table = datasets.load_dataset(repository, config or None, split=wanted)
    except (OSError, ConnectionError) as error:
        raise InfrastructureError(
            f"hf:{name}: cannot be had ({type(error).__name__}: {str(error)[:200]}); check the "
            "name and the network, or download it and name its folder"
        ) from error
    except (ValueError, datasets.exceptions.DatasetsError) as error:
        raise ConfigError(f"hf:{name}: {str(error)[:300]}; correct the name") from None
    return _table(table, name)


def _saved(path: Path, split: str | None) -> Iterator[Row]:
    import datasets

    try:
        found = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: not a data set that `save_to_disk` wrote ({type(error).__name__}); for a "
            f"folder of files use hf:{path}@SPLIT"
        ) from None
    if isinstance(found, datasets.DatasetDict):
        if split not in found:
            raise ConfigError(
                f"{path}: --split: found {split!r}, expected one of {sorted(found)!r}; name one"
            )
        found = found[split]
    return _table(found, path.name)


def _table(table: Any, name: str) -> Iterator[Row]:
    """Yields rows with the names of class labels in the place of their numbers."""
    names = {
        column: feature
        for column, feature in table.features.items()
        if type(feature).__name__ == "ClassLabel"
    }
    for number, row in enumerate(table, start=1):
        named = {
            column: feature.int2str(row[column])
            for column, feature in names.items()
            if isinstance(row[column], int) and row[column] >= 0
        }
        yield f"{name}:row {number}", {**row, **named}
