"""Writes a tiny random AWQ Qwen2 that vLLM serves: `python tiny_model.py FOLDER`.

Runs in the serving environment (torch, tokenizers, safetensors). It answers nonsense, quickly: the
smallest real input for tests of everything around a model. Every quantised layer's input size is a
multiple of the group size, as vLLM's CPU kernel demands.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

HIDDEN, INNER, LAYERS, HEADS, GROUP = 128, 256, 1, 4, 128
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tokenizer(folder: Path) -> int:
    """Writes a byte-level tokenizer without merges; returns its vocabulary's size."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(SPECIAL + alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 1024,
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(vocabulary)


def quantised(name: str, inputs: int, outputs: int) -> dict[str, torch.Tensor]:
    """Returns a random layer in the classic AWQ layout."""
    words = torch.randint(-(2**31), 2**31 - 1, (inputs, outputs // 8), dtype=torch.int32)
    zeros = torch.full((inputs // GROUP, outputs // 8), -0x77777778, dtype=torch.int32)
    scales = torch.full((inputs // GROUP, outputs), 0.01, dtype=torch.float16)
    return {f"{name}.qweight": words, f"{name}.qzeros": zeros, f"{name}.scales": scales}


def tensors(vocabulary_size: int) -> dict[str, torch.Tensor]:
    """Returns every tensor of the checkpoint."""
    half = torch.float16
    result = {
        "model.embed_tokens.weight": torch.randn(vocabulary_size, HIDDEN, dtype=half),
        "lm_head.weight": torch.randn(vocabulary_size, HIDDEN, dtype=half),
        "model.norm.weight": torch.ones(HIDDEN, dtype=half),
    }
    for number in range(LAYERS):
        layer = f"model.layers.{number}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            result[f"{layer}.{norm}.weight"] = torch.ones(HIDDEN, dtype=half)
        for part in "qkvo":
            result |= quantised(f"{layer}.self_attn.{part}_proj", HIDDEN, HIDDEN)
            if part != "o":
                result[f"{layer}.self_attn.{part}_proj.bias"] = torch.zeros(HIDDEN, dtype=half)
        result |= quantised(f"{layer}.mlp.gate_proj", HIDDEN, INNER)
        result |= quantised(f"{layer}.mlp.up_proj", HIDDEN, INNER)
        result |= quantised(f"{layer}.mlp.down_proj", INNER, HIDDEN)
    return result


def write(folder: Path) -> None:
    """Writes the whole model folder."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    size = write_tokenizer(folder)
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "vocab_size": size,
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "bos_token_id": 0,
        "eos_token_id": 2,
        "quantization_config": {
            "quant_method": "awq",
            "bits": 4,
            "group_size": GROUP,
            "zero_point": True,
            "version": "gemm",
        },
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "generation_config.json").write_text(
        json.dumps({"eos_token_id": 2, "pad_token_id": 0})
    )
    save_file(tensors(size), folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    write(Path(sys.argv[1]))
