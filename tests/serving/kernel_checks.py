"""Checks that need vLLM: run by `test_awq_without_avx512` with the serving environment's Python.

Prints one JSON object: which kernel vLLM chooses here for a 4-bit layer, and how far a layer's
products stray from those with the weights that the file stands for.
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "examples" / "emotion"))

import numpy as np
import torch
from awq_without_avx512 import UnpackedLinearKernel
from vllm.config import VllmConfig, set_current_vllm_config
from vllm.distributed import ensure_model_parallel_initialized, init_distributed_environment
from vllm.model_executor.kernels import linear
from vllm.model_executor.layers.quantization.auto_awq import (
    _convert_awq_to_standard_format,
)
from vllm.model_executor.parameter import (
    GroupQuantScaleParameter,
    PackedvLLMParameter,
)
from vllm.platforms import current_platform
from vllm.plugins import load_general_plugins
from vllm.scalar_type import scalar_types

import awq

INPUTS, OUTPUTS = 256, 96


def main() -> None:
    """Runs the checks and prints what was measured."""
    with tempfile.TemporaryDirectory() as folder, set_current_vllm_config(VllmConfig()):
        # vLLM's parameters ask for their share of a model, which is all of it.
        init_distributed_environment(1, 0, f"file://{folder}/meeting", 0, "gloo")
        ensure_model_parallel_initialized(1, 1)
        print(json.dumps(_measured()))


def _measured() -> dict[str, object]:
    torch.manual_seed(3)
    load_general_plugins()
    current_platform.import_kernels()
    config = linear.MPLinearLayerConfig(
        full_weight_shape=(INPUTS, OUTPUTS),
        partition_weight_shape=(INPUTS, OUTPUTS),
        weight_type=scalar_types.uint4,
        act_type=torch.bfloat16,
        group_size=awq.GROUP_SIZE,
        zero_points=True,
    )
    packed_op = hasattr(torch.ops._C, "cpu_gemm_wna16")
    strayed = {rows: _strayed(UnpackedLinearKernel, config, rows) for rows in (1, 3, 40)}
    theirs = _strayed(linear.CPUWNA16LinearKernel, config, 3) if packed_op else None
    return {
        "has_packed_kernel": packed_op,
        "chosen": linear.choose_mp_linear_kernel(config).__name__,
        "strayed": strayed,
        "packed_kernel_strayed": theirs,
    }


def _strayed(kernel_type: type, config: linear.MPLinearLayerConfig, rows: int) -> float:
    """Returns the greatest error of a product, by the greatest product."""
    weight = np.random.default_rng(5).normal(size=(OUTPUTS, INPUTS)).astype(np.float32)
    stored = awq.quantise(weight)
    layer = _layer(stored)
    kernel = kernel_type(
        config, w_q_param_name="qweight", w_s_param_name="scales", w_zp_param_name="qzeros"
    )
    _convert_awq_to_standard_format(layer, "qweight", "qzeros", awq.BITS)
    kernel.process_weights_after_loading(layer)
    x, bias = torch.randn(rows, INPUTS).bfloat16(), torch.randn(OUTPUTS).bfloat16()
    found = kernel.apply_weights(layer, x, bias).float()
    expected = x.float() @ torch.from_numpy(awq.dequantise(stored)).T + bias.float()
    return float((found - expected).abs().max() / expected.abs().max())


def _layer(stored: awq.PackedLinear) -> torch.nn.Module:
    layer = torch.nn.Module()
    layer.bias = None
    packing = {"input_dim": 0, "output_dim": 1, "weight_loader": None}
    for name in ("qweight", "qzeros"):
        words = torch.from_numpy(getattr(stored, name))
        packed = PackedvLLMParameter(
            data=words, packed_dim=1, packed_factor=awq.PER_WORD, **packing
        )
        layer.register_parameter(name, packed)
    scales = torch.from_numpy(stored.scales).bfloat16()
    layer.register_parameter("scales", GroupQuantScaleParameter(data=scales, **packing))
    return layer


if __name__ == "__main__":
    main()
