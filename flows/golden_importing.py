"""Imports a golden file: read, map, report every row, and write all of it or nothing.

Decides what is written when: the report always, the golden file only when every row was accepted or
left out on purpose, unless the caller takes the rest. Both appear whole or not at all.
"""

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.adapters.row_sources import read_rows
from assay.documents import read_yaml
from assay.errors import ConfigError
from assay.golden_frozen import to_jsonl
from assay.golden_import import GoldenMapping, Imported, import_rows
from assay.golden_set import golden_digest
from assay.task import load_task


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """One import, as asked for. The names are those of the command line's flags."""

    source: str
    mapping: Path
    out: Path
    task: Path = Path("task.yaml")
    split: str | None = None
    report: Path | None = None
    skip_rejected: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What an import did; `digest` of the golden set, None where none was written."""

    imported: Imported
    report: Path
    digest: str | None

    @property
    def written(self) -> bool:
        """Whether the golden file was written."""
        return self.digest is not None

    @property
    def counts(self) -> dict[str, int]:
        """Rows by what became of them."""
        return {name: self.imported.count(name) for name in ("accepted", "rejected", "left out")}

    def to_json(self) -> dict[str, Any]:
        """Returns the result as JSON."""
        return {
            "rows": self.counts,
            "unknown_labels": dict(self.imported.unknown_labels),
            "report": str(self.report),
            "digest": self.digest,
        }


def run_import(request: ImportRequest) -> ImportResult:
    """Imports a golden file.

    Raises:
        ConfigError: the source, the mapping or the task is wrong, or the file exists; nothing was
            written.
        InfrastructureError: a data set of the hub cannot be had.
    """
    if request.out.exists() and not request.force:
        raise ConfigError(f"{request.out}: exists already; name another file, or give --force")
    mapping, task = read_yaml(request.mapping, GoldenMapping), load_task(request.task)
    found = import_rows(read_rows(request.source, request.split), mapping, task.labels)
    if not found.rows:
        raise ConfigError(f"{request.source}: holds no row; expected at least one case")
    report = request.report or request.out.with_name(f"{request.out.stem}.report.jsonl")
    lines = (json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in found.rows)
    _write_whole(report, (line.encode() for line in lines))
    digest = None
    if found.cases and (request.skip_rejected or not found.count("rejected")):
        _write_whole(request.out, [to_jsonl(found.cases)])
        digest = golden_digest(found.cases)
    return ImportResult(imported=found, report=report, digest=digest)


def _write_whole(path: Path, parts: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.writelines(parts)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
