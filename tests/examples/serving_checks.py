"""Checks that need torch: run by `test_checkpoint` with the serving environment's Python.

Prints one JSON object: how far the rescaled model strays from the original one, the output error of
plain and of activation-aware rounding, and whether vLLM's own packing agrees with ours.
"""

import json
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "emotion"
sys.path.append(str(EXAMPLE))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from vllm.model_executor.layers.quantization.utils.quant_utils import awq_pack  # noqa: E402

import awq  # noqa: E402
import scaling  # noqa: E402
from recipe import load_recipe  # noqa: E402
from train import Example, make_deterministic, new_model  # noqa: E402
from vocabulary import learn_tokenizer, prompt  # noqa: E402

TEXTS = ["What a lovely day", "Hôm nay vui quá", "the bus is late again", "😱 who is there"]


def main() -> None:
    """Runs the checks and prints what was measured."""
    architecture = load_recipe(EXAMPLE / "recipe.yaml").architecture
    tokenizer = learn_tokenizer(TEXTS * 5, ["joy", "fear"], 600, 2)
    model = new_model(architecture.model_copy(update={"num_hidden_layers": 2}), tokenizer, 1).eval()
    _disturb(model)
    ids = [tokenizer(prompt(tokenizer, text))["input_ids"] for text in TEXTS]
    examples = [Example(prompt_ids=tuple(one), label_id=0, language="en") for one in ids]
    before = _logits(model, ids)
    plain = _rounding_error(model, scaling.observe(model, examples), clip=False)
    inputs = scaling.scale_in_place(model, scaling.observe(model, examples))
    after = _logits(model, ids)
    aware = _rounding_error(model, inputs, clip=True)
    print(
        json.dumps(
            {
                "strayed": float((before - after).abs().max()),
                "size": float(before.abs().max()),
                "plain_error": plain,
                "aware_error": aware,
                "packs_like_vllm": _packs_like_vllm(),
                "prompt": prompt(tokenizer, "What a lovely day"),
                "label_tokens": [tokenizer.tokenize(label) for label in ("joy", "fear")],
            }
        )
    )


@torch.no_grad()
def _disturb(model: torch.nn.Module) -> None:
    """Gives the untrained model large and small channels, as training does."""
    make_deterministic(1)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.mul_(torch.exp(torch.randn_like(parameter)))
        elif name.endswith("bias"):
            parameter.add_(torch.randn_like(parameter) * 0.1)


@torch.inference_mode()
def _logits(model: torch.nn.Module, ids: list[list[int]]) -> torch.Tensor:
    return torch.stack([model(torch.tensor([one])).logits[0, -1] for one in ids])


def _rounding_error(model: torch.nn.Module, inputs: dict, *, clip: bool) -> float:
    """Returns the squared error of all layers' outputs that rounding causes, summed."""
    total = 0.0
    for name, seen in inputs.items():
        weight = model.get_submodule(name).weight.detach().numpy()
        chosen = scaling.best_clip(weight, seen) if clip else 1.0
        difference = weight - awq.dequantise(awq.quantise(weight, chosen))
        error = np.einsum("oi,ij,oj->", difference, seen.moment, difference, optimize=True)
        # Relative to the layer's output: scaling changes the size of what some layers give.
        total += float(error / np.einsum("oi,ij,oj->", weight, seen.moment, weight, optimize=True))
    return total


def _packs_like_vllm() -> bool:
    nibbles = np.random.default_rng(0).integers(0, 16, size=(128, 64), dtype=np.uint8)
    theirs = awq_pack(torch.from_numpy(nibbles.astype(np.int32)), 4, 128, 64).numpy()
    return bool((theirs == awq.pack(nibbles)).all())


if __name__ == "__main__":
    main()
