"""The folder of review exports, which is also the memory of what was asked.

::

    <root>/<export id>/
      label_studio.json  label_config.xml   (tasks with predictions, and how they are shown)
      review.jsonl                          (the same, flat, for other tools)
      identities.jsonl                      (what the tasks' names stand for; never leaves)
      asked.jsonl                           (ids, and digests of texts: never asked again)
      rejected.jsonl                        (lines of the inputs that could not be used)
      manifest.json                         (what and why)
      pushed.json                           (where the tasks are, once they are)

An export appears whole, by one rename, or not at all; with it, its memory. Removing a folder makes
its questions open again.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from filelock import FileLock, Timeout
from pydantic import Field

from assay.documents import Document, Identifier, read_jsonl
from assay.errors import ConfigError, InfrastructureError
from assay.relabelling.identities import IdentityRow
from assay.review.admission import Asked

ASKED = "asked.jsonl"
IDENTITIES = "identities.jsonl"
MANIFEST = "manifest.json"
TASKS = "label_studio.json"
CONFIG = "label_config.xml"
_PARTIAL = ".partial-"
_WAIT_S = 10.0


class AskedRow(Document):
    """One line of `asked.jsonl`."""

    id: Identifier
    key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def default_root(home: Path) -> Path:
    """Returns the folder of all exports in Assay's home."""
    return home / "reviews"


def read_asked(root: Path) -> Asked:
    """Returns what the exports under a folder asked about.

    Raises:
        ConfigError: an export's memory is missing or wrong; going on could ask twice.
    """
    ids: set[str] = set()
    keys: set[str] = set()
    for folder in sorted(root.glob("*/")):
        if folder.name.startswith("."):
            continue
        if not (folder / ASKED).is_file():
            raise ConfigError(
                f"{folder}: no {ASKED}; this folder holds review exports only, and each says what "
                "it asked; restore the file, or move the folder elsewhere"
            )
        for _, row in read_jsonl(folder / ASKED, AskedRow):
            ids.add(row.id)
            keys.add(row.key)
    return Asked(ids=frozenset(ids), keys=frozenset(keys))


def read_identities(root: Path) -> dict[str, IdentityRow]:
    """Returns what the names that the exports under a folder gave stand for.

    An export that was made before there were such names has none, and needs none.

    Raises:
        ConfigError: a row is not what it must be.
    """
    return {
        row.name: row
        for file in sorted(root.glob(f"[!.]*/{IDENTITIES}"))
        for _, row in read_jsonl(file, IdentityRow)
    }


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Holds the folder: two exports at once would ask the same questions.

    Raises:
        InfrastructureError: another export holds it.
        ConfigError: the folder cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".lock", timeout=_WAIT_S):
            yield
    except Timeout:
        raise InfrastructureError(
            f"{root}: another review export is writing here; run the command again when it is done"
        ) from None
    except PermissionError as error:
        raise ConfigError(
            f"{root}: cannot be written ({error.strerror}); name another folder with --out"
        ) from None


def write_export(root: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """Writes an export's files, all or none; call it inside `exclusive`.

    What a killed export left is removed. Only the owner may read what is written.

    Raises:
        ConfigError: an export of that name exists.
    """
    for left in root.glob(f"{_PARTIAL}*"):
        shutil.rmtree(left)
    folder = root / name
    if folder.exists():
        raise ConfigError(f"{folder}: exists already, and is never overwritten; use another --out")
    partial = root / f"{_PARTIAL}{name}"
    partial.mkdir(mode=0o700)
    for file, content in files.items():
        with (partial / file).open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    partial.rename(folder)
    return folder


def as_json(value: object) -> bytes:
    """Returns a JSON document's bytes."""
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def as_jsonl(rows: Iterator[Mapping[str, object]]) -> bytes:
    """Returns the bytes of one JSON object a line."""
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
