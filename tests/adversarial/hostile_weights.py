"""Hostile configurations and weights: headers that lie, bombs, archives, shapes that disagree."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.adversarial.hostile_folders import Build, model, pickled, row, settings
from tests.artifact_factory import (
    GROUP,
    HIDDEN,
    Arrays,
    config,
    header_bytes,
    make_artifact,
    tensors,
    write_safetensors,
)

LAYER = "model.layers.0.mlp.down_proj"


def replaced(name: str, shape: tuple[int, ...], dtype: type) -> Callable[[Arrays], None]:
    return lambda arrays: arrays.update({name: np.zeros(shape, dtype)})


def quantized(**changes: Any) -> dict[str, Any]:
    return {"quantization_config": config()["quantization_config"] | changes}


def header(change: Mapping[str, Any] | bytes, *, tail: bytes = b"") -> Build:
    """Weights whose header is another, or has other entries."""

    def build(folder: Path) -> None:
        arrays = tensors()
        make_artifact(folder / "model")
        raw = change
        if not isinstance(raw, bytes):
            raw = json.dumps(header_bytes(arrays, {"format": "pt"}) | dict(raw)).encode()
        write_safetensors(folder / "model" / "model.safetensors", arrays, header=raw, tail=tail)

    return build


def weights(data: bytes, size: int | None = None) -> Build:
    def build(folder: Path) -> None:
        make_artifact(folder / "model")
        with (folder / "model" / "model.safetensors").open("wb") as stream:
            stream.write(data)
            stream.truncate(size or len(data))

    return build


def zipped() -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("data.pkl", pickled())
    return memory.getvalue()


def zip_in_a_tensor(folder: Path) -> None:
    """Weights that a zip reader opens: the archive is the last tensor's bytes."""
    archive = np.frombuffer(zipped() + b"\0" * (-len(zipped()) % 4), dtype=np.int32)
    make_artifact(
        folder / "model", change_tensors=lambda arrays: arrays.update({"z.archive": archive})
    )


def twice_in_header() -> bytes:
    entry = b'"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}'
    return b"{" + entry + b"," + entry + b"}"


def bomb_header(count: int) -> bytes:
    """A header of the largest size that is read, full of entries."""
    return b'{"a":[' + b"[]," * count + b"[]]}"


def many_tensors(folder: Path) -> None:
    make_artifact(folder / "model")
    entries = ",".join(
        f'"t{n}":{{"dtype":"I8","shape":[0],"data_offsets":[0,0]}}' for n in range(220_000)
    )
    raw = f"{{{entries}}}".encode()
    path = folder / "model" / "model.safetensors"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw)


def index(change: Callable[[dict[str, Any]], object]) -> Build:
    """Three shards whose index says something else."""

    def build(folder: Path) -> None:
        path = make_artifact(folder / "model", shards=3) / "model.safetensors.index.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return build


def shard_twice(folder: Path) -> None:
    """Two shards that both hold a tensor."""
    made = make_artifact(folder / "model", shards=2)
    arrays = tensors()
    for number in (1, 2):
        write_safetensors(made / f"model-{number:05d}-of-00002.safetensors", arrays)


def entry(dtype: str, shape: list[Any], at: list[int]) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": at}


NORM = "model.norm.weight"
ALL = [
    row("an architecture nobody allowed", "architecture",
        settings(architectures=["EvilForCausalLM"])),
    row("another model's type", "architecture", settings(model_type="llama")),
    row("two architectures", "config", settings(architectures=["Qwen2ForCausalLM", "Evil"])),
    row("a billion layers", "config", settings(num_hidden_layers=10**9)),
    row("a method that is not AWQ", "config", settings(**quantized(quant_method="gptq"))),
    row("eight bits called four", "config", settings(**quantized(bits=8))),
    row("a group size without a kernel", "config", settings(**quantized(group_size=1))),
    row("true for a size", "config", settings(hidden_size=True)),
    row("groups that do not divide the layer", "awq-group", settings(**quantized(group_size=128))),
    row("AWQ: qweight of another shape", "tensor-shape", model(
        change_tensors=replaced(f"{LAYER}.qweight", (HIDDEN, HIDDEN), np.int32))),
    row("AWQ: qzeros of another shape", "tensor-shape", model(
        change_tensors=replaced(f"{LAYER}.qzeros", (GROUP, 8), np.int32))),
    row("AWQ: scales in another type", "tensor-shape", model(
        change_tensors=replaced(f"{LAYER}.scales", (HIDDEN // GROUP, HIDDEN), np.float32))),
    row("AWQ: a layer that was not quantised", "tensor-missing", model(
        change_tensors=lambda arrays: arrays.pop(f"{LAYER}.qzeros"))),
    row("AWQ: a tensor too many", "tensor-extra", model(
        change_tensors=replaced("model.layers.7.backdoor", (4,), np.float16))),
    row("a zip behind the tensors", "weights-size", header({}, tail=zipped())),
    row("a zip before the header", "weights-header", weights(zipped())),
    row("a zip that is a tensor", "tensor-extra", zip_in_a_tensor),
    row("a zip in the header's metadata", "weights-metadata",
        header({"__metadata__": {"format": "pt", "x": "PK\u0003\u0004"}})),
    row("a pickle called safetensors", "weights-header", weights(pickled())),
    row("a header of eight gibibytes", "weights-header",
        weights((2**33).to_bytes(8, "little"), 2**34)),
    row("a header longer than its file", "weights-header", weights(b"\xff" * 8 + b"{}")),
    row("a header full of lists", "json-bomb", header(bomb_header(4_000_000))),
    row("a header of a million levels", "weights-header", header(b'{"a":' + b"[" * 1_000_000)),
    row("more tensors than any model has", "weights-header", many_tensors),
    row("a tensor named twice", "weights-header", header(twice_in_header())),
    row("tensors that overlap", "weights-layout", header({"z": entry("I8", [8], [0, 8])})),
    row("a tensor that lies beyond the file", "weights-layout",
        header({"z": entry("I8", [8], [2**40, 2**40 + 8])})),
    row("a shape whose size overflows", "weights-header",
        header({NORM: entry("F16", [2**62, 2**62], [0, 128])})),
    row("a negative shape", "weights-header", header({NORM: entry("F16", [-8, -8], [0, 128])})),
    row("an unknown type", "weights-dtype", header({NORM: entry("OBJ", [64], [0, 128])})),
    row("an index that names another shard", "index", index(
        lambda d: d["weight_map"].update({NORM: "model-00003-of-00003.safetensors"}))),
    row("an index that leaves a tensor out", "index",
        index(lambda d: d["weight_map"].pop(NORM))),
    row("an index that names a path", "index",
        index(lambda d: d["weight_map"].update({NORM: "../../other/model.safetensors"}))),
    row("an index of another size", "index",
        index(lambda d: d["metadata"].update({"total_size": 2**60}))),
    row("a shard that is missing", "shard-names", model(
        shards=3, files={"model-00002-of-00003.safetensors": None})),
    row("a tensor in two shards", "tensor-twice", shard_twice),
]  # fmt: skip
