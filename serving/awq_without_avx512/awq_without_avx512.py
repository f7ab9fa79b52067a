"""Lets vLLM for CPU serve 4-bit models on processors without AVX-512, which is most laptops.

vLLM 0.32 has two builds of its CPU kernels in one wheel. The one for AVX2 lacks `cpu_gemm_wna16`,
the product of activations and packed 4-bit weights, but vLLM chooses the layer that calls it all
the same: such an engine starts, is healthy, and dies at its first question. This plug-in offers
vLLM another layer where the operation is missing, and does nothing where it is there.

The layer unpacks the weights once, as the model is loaded, and multiplies in float32; the weights
stay in the activations' type, so they take four times the memory of the packed ones. Its answers
differ from the packed kernel's by rounding only: both models of a gate are served in one way.
"""

import os

import torch
from torch.nn import Parameter
from torch.nn.functional import linear
from vllm.logger import init_logger
from vllm.model_executor.kernels.linear import CPUWNA16LinearKernel, register_linear_kernel
from vllm.model_executor.layers.quantization.utils import replace_parameter
from vllm.model_executor.layers.quantization.utils.quant_utils import (
    unpack_quantized_values_into_int32,
)
from vllm.platforms import current_platform

logger = init_logger(f"vllm.{__name__}")

BLOCK = 16  # output channels that CPUWNA16LinearKernel lays side by side
ROWS_WORTH_FLOAT32 = 16
"""From so many rows on, float32 with its conversion beats the processor's emulated bfloat16."""


class UnpackedLinearKernel(CPUWNA16LinearKernel):
    """A layer of 4-bit weights, multiplied unpacked."""

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Replaces the packed weights by plain ones, (outputs, inputs) in the activations' type."""
        super().process_weights_after_loading(layer)  # every format in which weights come, in one
        packed, scales, zeros = self._get_weight_params(layer)
        weights = self.unpacked(packed, scales, zeros)
        replace_parameter(layer, self.w_q_name, Parameter(weights, requires_grad=False))
        for name in (self.w_s_name, self.w_zp_name):
            if name is not None and getattr(layer, name, None) is not None:
                replace_parameter(layer, name, Parameter(torch.empty(0), requires_grad=False))

    def unpacked(
        self, packed: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None
    ) -> torch.Tensor:
        """Returns what the 4-bit weights stand for, (outputs, inputs) in the activations' type.

        Args:
            packed: int32, (outputs / 16, inputs * 2): eight weights a word, blocks of 16 outputs.
            scales: (groups, outputs).
            zeros: int32, (groups, outputs / 8); None where the zero is the middle of the range.
        """
        groups, outputs = scales.shape
        inputs = packed.numel() * 8 // outputs
        words = packed.view(outputs // BLOCK, inputs, BLOCK // 8).permute(1, 0, 2)
        words = words.reshape(inputs, outputs // 8)
        weight_type = self.config.weight_type
        grouped = unpack_quantized_values_into_int32(words, weight_type, 1).view(
            groups, inputs // groups, outputs
        )
        if zeros is None:
            shifts = torch.full((groups, outputs), 8, dtype=torch.int32)
        else:
            shifts = unpack_quantized_values_into_int32(zeros, weight_type, 1)
        values = (grouped - shifts[:, None]).float() * scales.float()[:, None]
        return values.reshape(inputs, outputs).t().contiguous().to(self.config.act_type)

    def apply_weights(
        self, layer: torch.nn.Module, x: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Returns the product, in the type of `x`."""
        return torch.ops.awq_without_avx512.product(x, getattr(layer, self.w_q_name), bias)


# An operation of its own, so that the compiler does not look inside and freeze the choice.
@torch.library.custom_op("awq_without_avx512::product", mutates_args=())
def _product(x: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    if x.numel() < ROWS_WORTH_FLOAT32 * x.shape[-1]:
        return linear(x, weights, bias)
    wide = linear(x.float(), weights.float(), None if bias is None else bias.float())
    return wide.to(x.dtype)


@_product.register_fake
def _(x: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return x.new_empty((*x.shape[:-1], weights.shape[0]))


def register() -> None:
    """Offers the layer where vLLM's own cannot work; vLLM calls this in each of its processes."""
    if not current_platform.is_cpu() or current_platform.get_cpu_architecture().name != "X86":
        return
    current_platform.import_kernels()
    if hasattr(torch.ops._C, "cpu_gemm_wna16"):
        return
    disabled = os.environ.get("VLLM_DISABLED_KERNELS", "").split(",")
    theirs = CPUWNA16LinearKernel.__name__
    if theirs not in disabled:
        os.environ["VLLM_DISABLED_KERNELS"] = ",".join(filter(None, [*disabled, theirs]))
    register_linear_kernel(UnpackedLinearKernel, current_platform._enum)
    logger.info("This processor has no AVX-512: 4-bit layers are multiplied unpacked.")
