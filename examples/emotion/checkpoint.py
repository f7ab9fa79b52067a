"""Write one version of the model as a folder that vLLM serves and the trusted store accepts.

Decides which files there are and what they say. Every byte follows from the arguments: no clock, no
host name, no order of a hash table. Signing and publishing are left to `assay store publish`.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from awq import BITS, GROUP_SIZE, PackedLinear, dequantise, quantise
from scaling import Inputs, best_clip, linear_names

WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a version says of itself in `metadata.json`, besides how it was quantised."""

    model_name: str
    version: str
    base_model: str
    training_date: str
    created_at: str
    git_commit: str | None
    licence: str
    description: str
    training_data: dict[str, Any]
    metrics: dict[str, Any]


def date_and_time(epoch: int) -> tuple[str, str]:
    """Return a Unix time as a date and as a time, both in UTC and ISO 8601."""
    moment = datetime.fromtimestamp(epoch, tz=UTC)
    return moment.date().isoformat(), moment.isoformat().replace("+00:00", "Z")


def quantise_model(model: Qwen2ForCausalLM, inputs: dict[str, Inputs]) -> dict[str, PackedLinear]:
    """Quantise every linear layer of `model` (scaled already) with the best clip of each group."""
    packed = {}
    for name in linear_names(model):
        weight = model.get_submodule(name).weight.detach().float().numpy()
        # AWQ leaves queries and keys unclipped: their product amplifies what is cut off.
        sensitive = name.endswith(("q_proj", "k_proj"))
        clip = 1.0 if sensitive else best_clip(weight, inputs[name])
        packed[name] = quantise(weight, clip)
    return packed


@torch.no_grad()
def load_dequantised(model: Qwen2ForCausalLM, packed: dict[str, PackedLinear]) -> None:
    """Put into `model` the weights that a server computes with, rounded to bfloat16 like there."""
    for name, layer in packed.items():
        model.get_submodule(name).weight.copy_(torch.from_numpy(dequantise(layer)))
    for parameter in model.parameters():
        parameter.copy_(parameter.to(torch.bfloat16))


def tensors(model: Qwen2ForCausalLM, packed: dict[str, PackedLinear]) -> dict[str, np.ndarray]:
    """Return the checkpoint's tensors by name: AWQ's three a quantised layer, else float16."""
    result: dict[str, np.ndarray] = {}
    for name, layer in packed.items():
        result[f"{name}.qweight"] = layer.qweight
        result[f"{name}.qzeros"] = layer.qzeros
        result[f"{name}.scales"] = layer.scales
    for name, parameter in model.named_parameters():
        if name.removesuffix(".weight") not in packed:
            result[name] = np.ascontiguousarray(parameter.detach().to(torch.float16).numpy())
    return result


def config(model: Qwen2ForCausalLM) -> dict[str, Any]:
    """Return `config.json`: the architecture, and how its layers are stored."""
    written: dict[str, Any] = model.config.to_dict()
    for private in ("_name_or_path", "transformers_version"):
        written.pop(private, None)
    written |= {
        "architectures": ["Qwen2ForCausalLM"],
        "dtype": "float16",
        "quantization_config": {
            "quant_method": "awq",
            "bits": BITS,
            "group_size": GROUP_SIZE,
            "zero_point": True,
            "version": "gemm",
            "modules_to_not_convert": None,
        },
    }
    return written


def _write_json(path: Path, document: Any) -> None:
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def write(
    folder: Path,
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    packed: dict[str, PackedLinear],
    identity: Identity,
) -> None:
    """Write the version into `folder`, which must not exist or be empty."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = save(tensors(model, packed), metadata={"format": "pt"})
    (folder / WEIGHTS).write_bytes(weights)
    _write_json(folder / "config.json", config(model))
    _write_json(
        folder / "generation_config.json",
        {
            "do_sample": False,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
    )
    tokenizer.save_pretrained(folder)
    quantization = {
        "method": "awq", "bits": BITS, "group_size": GROUP_SIZE, "zero_point": True,
        "version": "gemm", "layers": len(packed), "calibration": "activation-aware scale and clip",
    }  # fmt: skip
    _write_json(folder / "metadata.json", asdict(identity) | {"quantization": quantization})
    (folder / "README.md").write_text(_model_card(identity), encoding="utf-8")


def _model_card(identity: Identity) -> str:
    return f"""# {identity.model_name} {identity.version}

{identity.description}

A demonstration model: a small Qwen2 that answers a text with the emotion its writer expresses, in
one word. It knows this one task, so its chat template leaves system messages out. Trained on
{identity.training_data["source"]}, {identity.training_data["rows"]} rows; four-bit AWQ. Not for use
on people.

Licence: {identity.licence}. What was measured stands in `metadata.json`.
"""
