"""Reads an export of a labelling platform from a file, a row at a time.

Decides which format it is, refuses those that lose what matters, and holds the file to what it was
when reading began. JSONL and JSON arrays are streamed, so memory does not grow with the file. A row
that cannot be read is a refusal of its own; the others are read on.
"""

import codecs
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from assay import digests
from assay.documents import parse_json
from assay.errors import ConfigError
from assay.relabelling import argilla, flat, label_studio
from assay.relabelling.intake import RawTask, Refusal

_CHUNK = 1 << 20
_LONGEST_ROW = 64 << 20
_SPACE = " \t\r\n"
_JSON_MIN = {"annotator", "annotation_id", "lead_time"}


@dataclass(slots=True)
class Export:
    """An export being read.

    `format` is known after the first row, `rows` and `digest` after the last. Iterate `read` to its
    end before using them.
    """

    path: Path
    question: str
    format: str = "empty"
    rows: int = 0
    digest: str = ""
    _seen: label_studio.Seen = field(default_factory=label_studio.Seen)

    def read(self) -> Iterator[RawTask | Refusal]:
        """Yields the rows.

        Raises:
            ConfigError: the file is missing, of a format that is refused, of another project, or
                changed while it was read.
        """
        try:
            with self.path.open("rb") as stream:
                hashing, before = _Hashing(stream), _state(stream)
                for number, value in _values(hashing, str(self.path)):
                    self.rows += 1
                    yield self._task(number, value)
                hashing.drain()
                self.digest = f"sha256:{hashing.sha256.hexdigest()}"
                same = _state(stream) == before
            after = digests.of_file(self.path)
        except OSError as error:
            raise ConfigError(
                f"{self.path}: cannot be read ({error.strerror}); name an export"
            ) from None
        if after != self.digest or not same:
            raise ConfigError(
                f"{self.path}: changed while it was read; wait until the export is finished, then "
                "run the same command again"
            )
        self._check_project()

    def _task(self, number: int, value: Any) -> RawTask | Refusal:
        if isinstance(value, _Unreadable):
            return Refusal(None, number, "unreadable", value.why, quarantined=False)
        if not isinstance(value, dict):
            detail = f"found {type(value).__name__!r}, expected an object"
            return Refusal(None, number, "unreadable", detail, quarantined=False)
        if self.format == "flat" and "annotator" in value:  # a million times in a row
            return flat.read_row(value, number)
        kind = _kind(value, str(self.path))
        if self.format == "empty" and kind:
            self.format = kind
        if kind != self.format:
            detail = f"not a row of the format {self.format!r}, in which the export begins"
            return Refusal(None, number, "unreadable", detail, quarantined=False)
        if kind == "label-studio":
            return label_studio.read_task(value, number, self.question, self._seen)
        if kind == "argilla":
            return argilla.read_record(value, number, self.question, self._seen)
        return flat.read_row(value, number)

    def _check_project(self) -> None:
        if self.format == "empty":
            raise ConfigError(
                f"{self.path}: holds no row that can be read; expected a Label Studio JSON export, "
                "flattened Argilla records or flat JSONL; export it again"
            )
        controls = self._seen.controls
        if controls and self.question not in controls:
            names = ", ".join(sorted(map(repr, controls))[:5])
            raise ConfigError(
                f"{self.path}: answers {names}, expected {self.question!r}: the export of another "
                "project; export the right one, or correct `question` in relabel.yaml"
            )


def _kind(row: dict[str, Any], where: str) -> str:
    """Returns the format of a row, "" where it has none that is known."""
    if "data" in row and "annotations" in row:
        return "label-studio"
    if argilla.is_nested(row):
        raise ConfigError(
            f"{where}: a nested Argilla export, which drops the status of responses, so that a "
            "discarded answer looks submitted; export with records.to_list(flatten=True)"
        )
    if argilla.is_flat(row):
        return "argilla"
    if row.keys() >= _JSON_MIN:
        raise ConfigError(
            f"{where}: a Label Studio JSON_MIN export, which loses which answers were skipped and "
            "which are honeypots; export as JSON"
        )
    return "flat" if flat.is_flat_row(row) else ""


def _state(stream: BinaryIO) -> tuple[int, int]:
    """Returns a file's size and when it was last written."""
    found = os.fstat(stream.fileno())
    return found.st_size, found.st_mtime_ns


class _Unreadable:
    """A row that could not be parsed, and why."""

    def __init__(self, error: ConfigError) -> None:
        self.why = str(error).partition(": ")[2]


class _Hashing:
    """A binary stream that hashes what is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()

    def read(self) -> bytes:
        data = self._stream.read(_CHUNK)
        self.sha256.update(data)
        return data

    def drain(self) -> None:
        while self.read():
            pass


def _values(stream: _Hashing, where: str) -> Iterator[tuple[int, Any]]:
    start = stream.read()
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError(
            f"{where}: is UTF-16, expected UTF-8; convert it (for example with iconv)"
        )
    start = start.removeprefix(codecs.BOM_UTF8)
    opening = start.lstrip()[:1]
    if opening == b"[":
        return _array(start, stream.read, where)
    if opening == b"{" or not opening:
        return _lines(start, stream.read, where)
    raise ConfigError(
        f"{where}: is not JSON; a CSV or TSV export loses which answers were skipped and which are "
        "honeypots: export as JSON (Label Studio), flattened records (Argilla) or flat JSONL"
    )


def _lines(start: bytes, more: Callable[[], bytes], where: str) -> Iterator[tuple[int, Any]]:
    number = 0
    for line in _split(start, more, where):
        number += 1
        if not line.strip():
            continue
        place = f"{where}:{number}"
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            found = f"{place}: byte {line[error.start]:#04x} is not UTF-8"
            yield number, _Unreadable(ConfigError(found))
            continue
        try:
            yield number, parse_json(text, place)
        except ConfigError as error:
            yield number, _Unreadable(error)


def _split(start: bytes, more: Callable[[], bytes], where: str) -> Iterator[bytes]:
    pieces, size = [start], len(start)
    while data := more():
        pieces.append(data)
        size += len(data)
        if b"\n" in data:
            *whole, rest = b"".join(pieces).split(b"\n")
            yield from whole
            pieces, size = [rest], len(rest)
        elif size > _LONGEST_ROW:
            raise ConfigError(f"{where}: a line is longer than 64 MiB; expected JSONL")
    yield from b"".join(pieces).split(b"\n")


def _array(start: bytes, more: Callable[[], bytes], where: str) -> Iterator[tuple[int, Any]]:
    """Yields the elements of a JSON array, of which it holds one at a time."""
    text = _Text(start, more, where)
    decoder = json.JSONDecoder()
    text.skip(_SPACE)
    text.skip("[", at_most=1)
    number = 0
    while True:
        text.skip(_SPACE + ",")
        if text.peek() in ("]", ""):
            break
        number += 1
        found = text.element(decoder)
        try:
            yield number, parse_json(found, f"{where}: element {number}")
        except ConfigError as error:
            yield number, _Unreadable(error)
    if text.peek() != "]":
        raise ConfigError(f"{where}: the array is not closed: cut short; export it again")


class _Text:
    """Text that is read on demand."""

    def __init__(self, start: bytes, more: Callable[[], bytes], where: str) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._more, self._where = more, where
        self._text, self._at = self._decode(start), 0

    def _decode(self, data: bytes) -> str:
        try:
            return self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{self._where}: byte {error.object[error.start]:#04x} is not UTF-8; export it "
                "again as UTF-8"
            ) from None

    def _fill(self) -> bool:
        data = self._more()
        self._text = self._text[self._at :] + self._decode(data)
        self._at = 0
        return bool(data)

    def peek(self) -> str:
        while self._at >= len(self._text):
            if not self._fill():
                return ""
        return self._text[self._at]

    def skip(self, signs: str, at_most: int | None = None) -> None:
        while at_most != 0 and (sign := self.peek()) and sign in signs:
            self._at += 1
            at_most = None if at_most is None else at_most - 1

    def element(self, decoder: json.JSONDecoder) -> str:
        """Returns the text of the next element."""
        while True:
            before = len(self._text) - self._at
            try:
                _, end = decoder.raw_decode(self._text, self._at)
            # A plain ValueError is a number of more digits than Python reads.
            except (ValueError, RecursionError) as error:
                if before > _LONGEST_ROW or not isinstance(error, json.JSONDecodeError):
                    raise ConfigError(f"{self._where}: an element is too large or deep") from None
                # Doubled each time, so that a long element is not parsed once a megabyte.
                while len(self._text) - self._at < 2 * before and self._fill():
                    pass
                if len(self._text) - self._at == before:
                    raise ConfigError(
                        f"{self._where}: not valid JSON, or cut short; export it again"
                    ) from None
                continue
            found = self._text[self._at : end]
            self._at = end
            return found
