"""Writes a tiny but complete AWQ artifact, and signs for it: numpy only, no torch.

`make_artifact(folder)` writes what the checks accept; each keyword makes one thing different, so
that a test says exactly what is wrong with its artifact. The weights are random: it is a model in
form, not in mind.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from assay.adapters.signer_model_signing import generate_keypair
from assay.trust import TrustedKeys, trusted_key

HIDDEN, INNER, HEADS, VOCABULARY, GROUP = 64, 64, 4, 40, 32
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
Arrays = dict[str, npt.NDArray[Any]]
_DTYPES = {"float16": "F16", "float32": "F32", "int32": "I32", "int64": "I64"}


def header_bytes(arrays: Mapping[str, npt.NDArray[Any]], metadata: Any = None) -> dict[str, Any]:
    """Returns the header of a safetensors file that holds the arrays, in their order."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    position = 0
    for name, array in arrays.items():
        end = position + array.nbytes
        header[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [position, end],
        }
        position = end
    return header


def write_safetensors(
    path: Path,
    arrays: Mapping[str, npt.NDArray[Any]],
    *,
    header: bytes | None = None,
    metadata: Any = None,
    tail: bytes = b"",
) -> None:
    """Writes a safetensors file; `header` replaces the true one, `tail` follows the tensors."""
    if header is None:
        header = json.dumps(header_bytes(arrays, metadata)).encode()
        header += b" " * (-len(header) % 8)
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        for array in arrays.values():
            stream.write(array.tobytes())
        stream.write(tail)


def config(**changes: Any) -> dict[str, Any]:
    """Returns a `config.json`; a change to None removes the key."""
    settings: dict[str, Any] = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": 1,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 2,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 128,
        "tie_word_embeddings": True,
        "quantization_config": {
            "quant_method": "awq",
            "bits": 4,
            "group_size": GROUP,
            "zero_point": True,
            "version": "gemm",
            "modules_to_not_convert": None,
        },
    } | changes
    return {key: value for key, value in settings.items() if value is not None}


def tensors(seed: int = 0, *, filler_bytes: int = 0) -> Arrays:
    """Returns the tensors of the default configuration; `filler_bytes` widens the vocabulary."""
    random = np.random.default_rng(seed)
    vocabulary = VOCABULARY + filler_bytes // (2 * HIDDEN)
    values = HIDDEN // HEADS * 2

    def half(*shape: int) -> npt.NDArray[Any]:
        return random.standard_normal(shape, dtype=np.float32).astype(np.float16)

    def linear(name: str, inputs: int, outputs: int) -> Arrays:
        words = random.integers(-(2**31), 2**31, (inputs, outputs // 8), dtype=np.int64)
        zeros = np.full((inputs // GROUP, outputs // 8), -0x77777778, dtype=np.int32)
        return {
            f"{name}.qweight": words.astype(np.int32),
            f"{name}.qzeros": zeros,
            f"{name}.scales": half(inputs // GROUP, outputs),
        }

    layer, attention = "model.layers.0", "model.layers.0.self_attn"
    result: Arrays = {
        "model.embed_tokens.weight": half(vocabulary, HIDDEN),
        "model.norm.weight": half(HIDDEN),
        f"{layer}.input_layernorm.weight": half(HIDDEN),
        f"{layer}.post_attention_layernorm.weight": half(HIDDEN),
    }
    for part, outputs in (("q", HIDDEN), ("k", values), ("v", values)):
        result |= linear(f"{attention}.{part}_proj", HIDDEN, outputs)
        result[f"{attention}.{part}_proj.bias"] = half(outputs)
    result |= linear(f"{attention}.o_proj", HIDDEN, HIDDEN)
    for part in ("gate", "up", "down"):
        result |= linear(f"{layer}.mlp.{part}_proj", HIDDEN, INNER)
    return result


def make_artifact(
    folder: Path,
    *,
    seed: int = 0,
    shards: int = 1,
    filler_bytes: int = 0,
    settings: Mapping[str, Any] | None = None,
    template: str | None = TEMPLATE,
    metadata: Mapping[str, Any] | None = None,
    files: Mapping[str, str | bytes | None] | None = None,
    change_tensors: Callable[[Arrays], None] | None = None,
) -> Path:
    """Writes an artifact and returns its folder.

    Args:
        folder: created if need be.
        seed: of the random weights; another seed is another model.
        shards: in how many files the weights lie; more than one come with an index.
        filler_bytes: makes the embedding larger by about so many bytes.
        settings: changes to `config.json`.
        template: the chat template, None for an artifact without one.
        metadata: `metadata.json`; None leaves the file out.
        files: further files, or others in place of those above; None removes one.
        change_tensors: changes the tensors before they are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays = tensors(seed, filler_bytes=filler_bytes)
    vocabulary = arrays["model.embed_tokens.weight"].shape[0]
    if change_tensors is not None:
        change_tensors(arrays)
    documents: dict[str, Any] = {
        "config.json": config(**({"vocab_size": vocabulary} | dict(settings or {}))),
        "generation_config.json": {"do_sample": False, "eos_token_id": 2, "pad_token_id": 0},
        "tokenizer.json": {"model": {"type": "BPE", "vocab": {"https://": 0}, "merges": []}},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"},
        "special_tokens_map.json": {"eos_token": "<|im_end|>"},
        "vocab.json": {"auto_map": 1, "../": 2},
    }
    if metadata is not None:
        documents["metadata.json"] = dict(metadata)
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=1))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "README.md").write_text("# A tiny model\n")
    (folder / "LICENSE").write_text("Apache-2.0\n")
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    write_weights(folder, arrays, shards)
    for name, content in (files or {}).items():
        if content is None:
            (folder / name).unlink()
        else:
            data = content.encode() if isinstance(content, str) else content
            (folder / name).write_bytes(data)
    return folder


def write_weights(folder: Path, arrays: Arrays, shards: int) -> None:
    """Writes the weights into one file, or into several with an index."""
    if shards == 1:
        write_safetensors(folder / "model.safetensors", arrays, metadata={"format": "pt"})
        return
    index: dict[str, str] = {}
    for number in range(shards):
        name = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = {tensor: arrays[tensor] for tensor in list(arrays)[number::shards]}
        write_safetensors(folder / name, part, metadata={"format": "pt"})
        index |= dict.fromkeys(part, name)
    size = sum(array.nbytes for array in arrays.values())
    document = {"metadata": {"total_size": size}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(document))


@dataclass(frozen=True, slots=True)
class Keys:
    """A key pair on disk, with the trust in it."""

    private: Path
    public: Path

    @property
    def trusted(self) -> TrustedKeys:
        """Trusts this key alone."""
        return TrustedKeys((trusted_key(self.public, name=self.public.stem),))


def make_keys(folder: Path, name: str = "release") -> Keys:
    """Makes a key pair."""
    keys = Keys(folder / f"{name}.key", folder / f"{name}.pub")
    generate_keypair(keys.private, keys.public)
    return keys
