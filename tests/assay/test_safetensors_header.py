"""Headers of weights files: the plain form is read, everything else is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.artifact_files import ArtifactFile
from assay.errors import ArtifactError
from assay.safetensors_header import Tensor, read_header
from tests.artifact_factory import header_bytes, write_safetensors

ARRAYS = {
    "a": np.arange(6, dtype=np.int32).reshape(2, 3),
    "b": np.zeros((0, 4), np.float16),
    "c": np.ones(5, np.float32),
}


def written(path: Path, **kwargs: Any) -> ArtifactFile:
    write_safetensors(path, ARRAYS, **kwargs)
    return ArtifactFile(name=path.name, path=path, size=path.stat().st_size)


def with_header(path: Path, header: Any) -> ArtifactFile:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return written(path, header=data)


def test_a_plain_file_is_read(tmp_path: Path) -> None:
    header = read_header(written(tmp_path / "m", metadata={"format": "pt"}))
    assert header.tensors["a"] == Tensor("I32", (2, 3))
    assert header.tensors["b"] == Tensor("F16", (0, 4))
    assert header.data_bytes == 24 + 20


def change(**entries: Any) -> dict[str, Any]:
    return header_bytes(ARRAYS) | entries


def entry(dtype: Any = "I32", shape: Any = (2, 3), at: Any = (0, 24)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": at}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b'{"a":{"dtype":"I8","shape":[44],"data_offsets":[0,44]},' * 2 + b"}", "weights-header"),
        (
            b'{"a":{"dtype":"I8","shape":[44],"data_offsets":[0,44]},'
            b'"a":{"dtype":"I8","shape":[44],"data_offsets":[0,44]}}',
            "weights-header",
        ),
        (b' {"a":{"dtype":"I8","shape":[44],"data_offsets":[0,44]}}', "weights-header"),
        (b"[]", "weights-header"),
        (b"{}", "weights-header"),
        (b"\xff\xfe", "weights-header"),
        (b"{" * 100_000, "weights-header"),
        (change(a=entry(dtype="I33")), "weights-dtype"),
        (change(a=entry(at=(0, 20))), "weights-header"),
        (change(a=entry(shape=(-2, -3))), "weights-header"),
        (change(a=entry(shape=(2.0, 3))), "weights-header"),
        (change(a=entry(shape=(2, True))), "weights-header"),
        (change(a=entry(shape=(2**62, 2**62))), "weights-header"),
        (change(a=entry(at=(0, 24, 30))), "weights-header"),
        (change(a=entry() | {"pickle": "x"}), "weights-header"),
        (change(d=entry()), "weights-layout"),
        (change(a=entry(shape=(1, 3), at=(12, 24))), "weights-layout"),
        ({k: v for k, v in change().items() if k != "a"}, "weights-layout"),
        ({k: v for k, v in change().items() if k != "c"}, "weights-size"),
        (change(__metadata__={"format": "pt", "note": "x"}), "weights-metadata"),
        (change(__metadata__={"format": {"a": 1}}), "weights-metadata"),
        (change(__metadata__=[]), "weights-metadata"),
    ],
)
def test_a_header_that_is_not_plain_is_refused(tmp_path: Path, header: Any, code: str) -> None:
    with pytest.raises(ArtifactError, match=rf"\[{code}\]"):
        read_header(with_header(tmp_path / "m", header))


def test_something_behind_the_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="something behind"):
        read_header(written(tmp_path / "m", tail=b"PK\x05\x06"))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "m")
    data = file.path.read_bytes()[:-1]
    file.path.write_bytes(data)
    with pytest.raises(ArtifactError, match="truncated"):
        read_header(ArtifactFile(name="m", path=file.path, size=len(data)))


@pytest.mark.parametrize(
    "data", [b"", b"\x08", b"\xff" * 8 + b"{}", (2**40).to_bytes(8, "little") + b"{}", b"\x80\x04."]
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="not a safetensors file"):
        read_header(ArtifactFile(name="m", path=path, size=len(data)))


def test_an_enormous_header_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "m"
    with path.open("wb") as stream:
        stream.write((2**33).to_bytes(8, "little"))
        stream.truncate(2**34)
    with pytest.raises(ArtifactError, match=r"\[weights-header\]"):
        read_header(ArtifactFile(name="m", path=path, size=2**34))


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, 10**6), value=st.integers(0, 255), extra=st.binary(max_size=40))
def test_a_damaged_header_is_refused_or_harmless_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int, extra: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    header = json.dumps(header_bytes(ARRAYS, {"format": "pt"})).encode()
    damaged = bytearray(header)
    damaged[position % len(header)] = value
    damaged[position % len(header) : position % len(header)] = extra
    file = with_header(path, bytes(damaged))
    try:
        read = read_header(file)
    except ArtifactError:
        return
    assert read.data_bytes == 44
