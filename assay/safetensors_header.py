"""Reads the header of a safetensors file and refuses everything but the plain form.

Decides whether a weights file is exactly a header and the tensors it names: no holes, no overlaps,
nothing behind them, no name twice, no metadata but the framework's name. The tensors' bytes are
never read. What shapes a model should have is left to `awq_layout`.

Format: 8 bytes little-endian header length, that many bytes of JSON, then the tensors' bytes
(huggingface/safetensors, README, section "Format").
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

from pydantic import Field, ValidationError

from assay.artifact_files import MIB, ArtifactFile, check_count, refuse
from assay.documents import Document, describe, parse_json
from assay.errors import ConfigError

_MAX_HEADER = 16 * MIB
_MAX_TENSORS = 200_000
_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "I32": 32, "U32": 32, "I64": 64}
_BITS |= {"U64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F16": 16, "BF16": 16, "F32": 32, "F64": 64}
_FRAMEWORKS: tuple[dict[str, str], ...] = ({}, {"format": "pt"}, {"format": "np"})


class _Entry(Document):
    dtype: str
    shape: list[int] = Field(max_length=8)
    data_offsets: list[int] = Field(min_length=2, max_length=2)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as the header describes it."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """All tensors of a file by name, and how many bytes they take together."""

    tensors: Mapping[str, Tensor]
    data_bytes: int


def read_header(file: ArtifactFile) -> Header:
    """Reads and checks the header of a safetensors file.

    Raises:
        ArtifactError: the file is not exactly a header and its tensors; names file and tensor.
    """
    with file.path.open("rb") as stream:
        raw = _header_bytes(stream, file)
    parsed = _parse(raw, file.name)
    metadata = parsed.pop("__metadata__", {})
    if metadata not in _FRAMEWORKS:
        raise refuse(
            "weights-metadata",
            f"{file.name}: the header's __metadata__ holds more than the framework's name "
            "(expected {'format': 'pt'} or nothing); save the weights without it",
        )
    entries = {name: _entry(name, value, file.name) for name, value in parsed.items()}
    end = _check_contiguous(entries, file.name)
    expected = file.size - 8 - len(raw)
    if end != expected:
        raise refuse(
            "weights-size",
            f"{file.name}: the header names {end} bytes of tensors, the file holds {expected}; "
            "it is truncated or has something behind its tensors; write it again",
        )
    tensors = {n: Tensor(entry.dtype, tuple(entry.shape)) for n, entry in entries.items()}
    return Header(tensors=tensors, data_bytes=end)


def _header_bytes(stream: BinaryIO, file: ArtifactFile) -> bytes:
    length = int.from_bytes(stream.read(8), "little")
    if file.size < 10 or not 2 <= length <= min(_MAX_HEADER, file.size - 8):
        raise refuse(
            "weights-header",
            f"{file.name}: not a safetensors file: the header would have {length} bytes, in a file "
            f"of {file.size} (expected at most {_MAX_HEADER}); save the weights as safetensors",
        )
    return stream.read(length)


def _parse(raw: bytes, name: str) -> dict[str, Any]:
    try:
        text = raw.decode("utf-8")
        check_count(text, name)
        if not text.startswith("{"):
            raise ConfigError(f"{name}: the header does not begin with '{{'")
        parsed = parse_json(text, f"{name} (header)")
    except (UnicodeDecodeError, ConfigError) as error:
        raise refuse("weights-header", f"{name}: broken safetensors header: {error}") from None
    if not isinstance(parsed, dict) or not 1 <= len(parsed) <= _MAX_TENSORS:
        raise refuse("weights-header", f"{name}: expected 1 to {_MAX_TENSORS} tensors")
    return parsed


def _entry(tensor: str, value: Any, name: str) -> _Entry:
    try:
        entry = _Entry.model_validate(value, strict=True)
    except ValidationError as error:
        raise refuse("weights-header", f"{name}: tensor {tensor!r}: {describe(error)}") from None
    begin, end = entry.data_offsets
    bits = _BITS.get(entry.dtype)
    if bits is None:
        raise refuse(
            "weights-dtype",
            f"{name}: tensor {tensor!r} has type {entry.dtype!r}; expected one of "
            f"{', '.join(_BITS)}",
        )
    if min(begin, end, *entry.shape, 0) < 0 or prod(entry.shape) * bits != 8 * (end - begin):
        raise refuse(
            "weights-header",
            f"{name}: tensor {tensor!r} of type {entry.dtype} and shape {entry.shape} cannot lie "
            f"at bytes {begin} to {end}; write the file again",
        )
    return entry


def _check_contiguous(entries: Mapping[str, _Entry], name: str) -> int:
    position = 0
    for tensor, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        if entry.data_offsets[0] != position:
            raise refuse(
                "weights-layout",
                f"{name}: tensor {tensor!r} begins at byte {entry.data_offsets[0]}, expected "
                f"{position}: the tensors overlap or leave a hole; write the file again",
            )
        position = entry.data_offsets[1]
    return position
