"""The activation-aware part of AWQ: protect the weights that meet large inputs before rounding.

Lin et al., "AWQ" (MLSys 2024): scale an input channel of a layer up by s and whatever produces that
channel down by s. Nothing changes, except that rounding now costs that channel less.
s = mean |input| ** ratio, the ratio found by trying; afterwards each group's range is clipped where
that lowers the layer's error (section 3.2 and AutoAWQ's `search_best_clip`). Errors are those of
the layer's output on real prompts, computed from the inputs' second moments.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import Qwen2ForCausalLM

from awq import GROUP_SIZE, Floats, dequantise, quantise
from train import Example

RATIOS = np.linspace(0.0, 1.0, 21)
CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a layer was fed with: mean |x| by channel, and E[x x^T] of shape [in, in]."""

    magnitude: Floats
    moment: Floats

    def scaled(self, scale: Floats) -> "Inputs":
        """Return what the layer is fed with after its inputs were divided by `scale`."""
        return Inputs(magnitude=self.magnitude / scale, moment=self.moment / np.outer(scale, scale))


def linear_names(model: Qwen2ForCausalLM) -> list[str]:
    """Return the names of the layers that are quantised: all linear ones but the read-out."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    ]


@torch.inference_mode()
def observe(model: Qwen2ForCausalLM, examples: Sequence[Example]) -> dict[str, Inputs]:
    """Feed `examples` through `model` one by one and describe the inputs of each linear layer."""
    seen: dict[str, list[Floats]] = {name: [] for name in linear_names(model)}

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def keep(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            seen[name].append(inputs[0][0].float().numpy())

        return model.get_submodule(name).register_forward_pre_hook(keep)

    handles = [watch(name) for name in seen]
    for example in examples:
        model.model(torch.tensor([example.prompt_ids]), use_cache=False)
    for handle in handles:
        handle.remove()
    result = {}
    for name, parts in seen.items():
        x = np.concatenate(parts)
        moment: Floats = (x.T @ x / len(x)).astype(np.float32)
        result[name] = Inputs(magnitude=np.abs(x).mean(axis=0), moment=moment)
    return result


def _error(weight: Floats, approximation: Floats, moment: Floats) -> float:
    """Return the mean squared error of a layer's output, summed over its outputs."""
    difference = weight - approximation
    return float(np.einsum("oi,ij,oj->", difference, moment, difference, optimize=True))


def best_scale(weights: Sequence[Floats], inputs: Inputs) -> Floats:
    """Return the scale by input channel under which `weights`, which share `inputs`, round best."""
    stacked = np.concatenate(list(weights))
    best, lowest = np.ones_like(inputs.magnitude), np.inf
    for ratio in RATIOS:
        scale = np.maximum(inputs.magnitude, 1e-4) ** ratio
        scale = (scale / np.sqrt(scale.max() * scale.min())).astype(np.float32)
        error = _error(stacked, dequantise(quantise(stacked * scale)) / scale, inputs.moment)
        if error < lowest:
            best, lowest = scale, error
    return best


def best_clip(weight: Floats, inputs: Inputs) -> Floats:
    """Return for each output and group, shape [out, in / group], the clip with the least error."""
    out, size = weight.shape
    groups = size // GROUP_SIZE
    blocks = np.stack(
        [
            inputs.moment[
                g * GROUP_SIZE : (g + 1) * GROUP_SIZE, g * GROUP_SIZE : (g + 1) * GROUP_SIZE
            ]
            for g in range(groups)
        ]
    )
    errors = []
    for clip in CLIPS:
        difference = (weight - dequantise(quantise(weight, clip))).reshape(out, groups, GROUP_SIZE)
        errors.append(np.einsum("ogi,gij,ogj->og", difference, blocks, difference, optimize=True))
    best: Floats = np.asarray(CLIPS, dtype=np.float32)[np.argmin(np.stack(errors), axis=0)]
    return best


def _numpy(parameter: torch.Tensor) -> Floats:
    array: Floats = parameter.detach().float().numpy()
    return array


def _groups(
    model: Qwen2ForCausalLM,
) -> Iterator[tuple[torch.Tensor, list[torch.Tensor], list[str]]]:
    """Yield, per place where a scale fits: what produces the channels, and who reads them.

    The producer is given by its weight (its rows, or a norm's entries) and, where it has one, its
    bias; the readers by name.
    """
    for index, layer in enumerate(model.model.layers):
        prefix, attention, mlp = f"model.layers.{index}", layer.self_attn, layer.mlp
        yield (
            layer.input_layernorm.weight, [],
            [f"{prefix}.self_attn.{name}_proj" for name in "qkv"],
        )  # fmt: skip
        # Each value channel meets one input of o_proj only where no head is shared.
        if attention.v_proj.out_features == attention.o_proj.in_features:
            yield attention.v_proj.weight, [attention.v_proj.bias], [f"{prefix}.self_attn.o_proj"]
        yield (
            layer.post_attention_layernorm.weight, [],
            [f"{prefix}.mlp.gate_proj", f"{prefix}.mlp.up_proj"],
        )  # fmt: skip
        yield mlp.up_proj.weight, [], [f"{prefix}.mlp.down_proj"]


@torch.no_grad()
def scale_in_place(model: Qwen2ForCausalLM, inputs: dict[str, Inputs]) -> dict[str, Inputs]:
    """Rescale `model` without changing what it computes, so that it rounds well.

    Returns:
        The inputs as they are after scaling.
    """
    after = dict(inputs)
    for producer, biases, readers in _groups(model):
        weights = [model.get_submodule(name).weight for name in readers]
        scale = best_scale([_numpy(weight) for weight in weights], inputs[readers[0]])
        factor = torch.from_numpy(scale)
        for tensor in (producer, *biases):
            tensor.div_(factor[:, None] if tensor.dim() == 2 else factor)
        for name, weight in zip(readers, weights, strict=True):
            weight.mul_(factor)
            after[name] = inputs[name].scaled(scale)
    return after
