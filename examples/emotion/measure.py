"""Measure a built version on labelled cases without a server: a quick look, not the gate.

    python examples/emotion/measure.py MODEL_FOLDER... --cases golden_data/cases

Computes with the dequantised weights in bfloat16, as vLLM does. What counts is what the gate
measures on the real engine; this is for the recipe's author.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from awq import PackedLinear, dequantise
from checkpoint import WEIGHTS
from corpus import read_rows
from train import Example, encode, predict
from vocabulary import END


def f1_by_class(truth: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """Return the F1 of each class; NaN for a class of which `truth` has no case."""
    scores = np.full(classes, np.nan)
    for index in range(classes):
        hits = int(((truth == index) & (answers == index)).sum())
        support, predicted = int((truth == index).sum()), int((answers == index).sum())
        if support:
            scores[index] = 2 * hits / (support + predicted)
    return scores


def score(
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    labels: Sequence[str],
) -> dict[str, Any]:
    """Return per-class F1, their mean and the share of answers that free decoding would spoil.

    Raises:
        ValueError: A label has no example: its F1, and so the mean, does not exist.
    """
    ids = [tokenizer.convert_tokens_to_ids(label) for label in labels]
    answers, strayed = predict(model, examples, ids, tokenizer.convert_tokens_to_ids(END))
    truth = np.array([ids.index(example.label_id) for example in examples])
    scores = f1_by_class(truth, answers, len(labels))
    if np.isnan(scores).any():
        missing = [label for label, value in zip(labels, scores, strict=True) if np.isnan(value)]
        raise ValueError(f"no cases of {missing}; expected some of every label")
    result = {label: round(float(value), 4) for label, value in zip(labels, scores, strict=True)}
    return result | {
        "macro": round(float(scores.mean()), 4),
        "accuracy": round(float((truth == answers).mean()), 4),
        "invalid_share": round(strayed / len(examples), 4),
        "cases": len(examples),
    }


def load(folder: Path) -> tuple[Qwen2ForCausalLM, PreTrainedTokenizerFast]:
    """Load a built version with the weights its server would compute with."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config.pop("quantization_config")
    model = Qwen2ForCausalLM(Qwen2Config(**config)).float()
    stored = load_file(folder / WEIGHTS)
    state = {}
    for name, array in stored.items():
        if name.endswith(".qweight"):
            layer = name.removesuffix(".qweight")
            packed = PackedLinear(
                qweight=array, qzeros=stored[f"{layer}.qzeros"], scales=stored[f"{layer}.scales"]
            )
            state[f"{layer}.weight"] = torch.from_numpy(dequantise(packed))
        elif not name.endswith((".qzeros", ".scales")):
            state[name] = torch.from_numpy(array)
    rounded = {name: tensor.to(torch.bfloat16).float() for name, tensor in state.items()}
    missing, unexpected = model.load_state_dict(rounded, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise ValueError(f"{folder}: tensors missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    return model.bfloat16().eval(), AutoTokenizer.from_pretrained(folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line of scores a model, language and set of cases."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--cases", required=True, type=Path, help="JSONL file or folder")
    arguments = parser.parse_args(argv)
    rows = read_rows(arguments.cases)
    labels = sorted({row["label"] for row in rows})
    print(
        "version  language  macro  " + "  ".join(f"{label[:8]:8}" for label in labels) + "  invalid"
    )
    for folder in arguments.models:
        model, tokenizer = load(folder)
        examples = encode(rows, tokenizer)
        for language in ("all", *sorted({row["lang"] for row in rows})):
            chosen = [e for e in examples if language in ("all", e.language)]
            scores = score(model, tokenizer, chosen, labels)
            classes = "  ".join(f"{scores[label]:8.3f}" for label in labels)
            print(
                f"{folder.name:7}  {language:8}  {scores['macro']:.3f}  {classes}"
                f"  {scores['invalid_share']:7.3f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
