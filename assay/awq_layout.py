"""Says which tensors an AWQ checkpoint must hold, from its configuration, and compares.

Decides, from `config.json` and the weights' headers alone, that a checkpoint is the four-bit model
it says it is: each tensor that the architecture has, in the type and shape that AWQ's kernels read,
and not one more. The tensors' values are not looked at.

Layout of a quantised linear layer with `in` inputs, `out` outputs and groups of `g` inputs
(AutoAWQ's "gemm" version, which vLLM reads)::

    qweight I32 [in, out/8]     qzeros I32 [in/g, out/8]     scales F16 [in/g, out]
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator

from assay.artifact_files import refuse
from assay.documents import Document, describe
from assay.safetensors_header import Tensor

_FLOATS = frozenset({"F16", "BF16", "F32"})
_PER_WORD = 8

ARCHITECTURES: Mapping[str, str] = {
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "mistral",
}
"""Architecture → `model_type`: those whose tensors this module can name."""

Count = Field(ge=1, le=2**24, strict=True)


class _Foreign(Document):
    """Part of somebody else's format: fields that decide no tensor are theirs."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class AwqSettings(_Foreign):
    """`quantization_config` of an AWQ checkpoint."""

    quant_method: Literal["awq"]
    bits: Literal[4]
    group_size: Literal[32, 64, 128]
    version: Literal["gemm"] = "gemm"
    zero_point: Literal[True] = True
    modules_to_not_convert: tuple[str, ...] = ()

    @field_validator("version", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("modules_to_not_convert", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return () if value is None else value


class ModelConfig(_Foreign):
    """What `config.json` says about the shape of a decoder."""

    architectures: list[str] = Field(min_length=1, max_length=1)
    model_type: str
    hidden_size: int = Count
    intermediate_size: int = Count
    num_hidden_layers: int = Field(ge=1, le=1024, strict=True)
    num_attention_heads: int = Count
    num_key_value_heads: int | None = Field(default=None, ge=1, strict=True)
    head_dim: int | None = Field(default=None, ge=1, le=2**16, strict=True)
    vocab_size: int = Count
    tie_word_embeddings: bool = False
    attention_bias: bool | None = None
    mlp_bias: bool = False
    quantization_config: AwqSettings

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def quantization(self) -> str:
        """The quantisation in words, for the metadata."""
        return f"awq-{self.quantization_config.bits}bit-g{self.quantization_config.group_size}"


def read_config(value: Mapping[str, Any], allowed: Mapping[str, str]) -> ModelConfig:
    """Validates `config.json` against the architectures that may be served.

    Args:
        value: the parsed document.
        allowed: architecture → `model_type`.

    Raises:
        ArtifactError: not an allowed architecture, not AWQ, or without the sizes.
    """
    try:
        config = ModelConfig.model_validate(value)
    except ValidationError as error:
        raise refuse(
            "config", f"config.json: {describe(error)}; only four-bit AWQ decoders can be served"
        ) from None
    architecture = config.architectures[0]
    if allowed.get(architecture) != config.model_type:
        pairs = ", ".join(f"{name} ({kind})" for name, kind in allowed.items())
        raise refuse(
            "architecture",
            f"config.json: architecture {architecture!r} with model_type {config.model_type!r}; "
            f"expected one of {pairs}",
        )
    return config


def check_tensors(config: ModelConfig, found: Mapping[str, Tensor]) -> None:
    """Compares the weights' headers with what the configuration implies.

    Raises:
        ArtifactError: a tensor is missing, is one too many, or has another type or shape.
    """
    expected: set[str] = set()
    for name, types, shape in _expected(config):
        expected.add(name)
        tensor = found.get(name)
        if tensor is None:
            raise refuse(
                "tensor-missing",
                f"tensor {name!r} is missing; config.json implies one of shape {list(shape)}",
            )
        if tensor.dtype not in types or tensor.shape != shape:
            raise refuse(
                "tensor-shape",
                f"tensor {name!r} is {tensor.dtype} {list(tensor.shape)}; expected "
                f"{' or '.join(sorted(types))} {list(shape)}: config.json and weights disagree",
            )
    extra = sorted(found.keys() - expected)
    if extra:
        raise refuse(
            "tensor-extra",
            f"tensor {extra[0]!r} does not belong to a {config.architectures[0]} "
            f"({len(extra)} such); save the model without it",
        )


Expected = tuple[str, frozenset[str], tuple[int, ...]]


def _expected(config: ModelConfig) -> Iterator[Expected]:
    """Yields name, types and shape of every tensor of the checkpoint."""
    hidden, vocabulary = config.hidden_size, config.vocab_size
    yield "model.embed_tokens.weight", _FLOATS, (vocabulary, hidden)
    yield "model.norm.weight", _FLOATS, (hidden,)
    if not config.tie_word_embeddings:
        yield "lm_head.weight", _FLOATS, (vocabulary, hidden)
    for number in range(config.num_hidden_layers):
        yield from _layer(config, f"model.layers.{number}")


def _layer(config: ModelConfig, prefix: str) -> Iterator[Expected]:
    hidden, inner, head = config.hidden_size, config.intermediate_size, config.head_size
    queries = config.num_attention_heads * head
    values = (config.num_key_value_heads or config.num_attention_heads) * head
    biased = config.model_type == "qwen2" or bool(config.attention_bias)
    output_biased = config.model_type in ("llama", "mistral") and bool(config.attention_bias)
    for norm in ("input_layernorm", "post_attention_layernorm"):
        yield f"{prefix}.{norm}.weight", _FLOATS, (hidden,)
    if config.model_type == "qwen3":
        for norm in ("q_norm", "k_norm"):
            yield f"{prefix}.self_attn.{norm}.weight", _FLOATS, (head,)
    attention = f"{prefix}.self_attn"
    yield from _linear(config, f"{attention}.q_proj", hidden, queries, biased)
    yield from _linear(config, f"{attention}.k_proj", hidden, values, biased)
    yield from _linear(config, f"{attention}.v_proj", hidden, values, biased)
    yield from _linear(config, f"{attention}.o_proj", queries, hidden, output_biased)
    for part in ("gate_proj", "up_proj"):
        yield from _linear(config, f"{prefix}.mlp.{part}", hidden, inner, config.mlp_bias)
    yield from _linear(config, f"{prefix}.mlp.down_proj", inner, hidden, config.mlp_bias)


def _linear(
    config: ModelConfig, name: str, inputs: int, outputs: int, biased: bool
) -> Iterator[Expected]:
    if biased:
        yield f"{name}.bias", _FLOATS, (outputs,)
    settings = config.quantization_config
    # The engine matches these names as parts of a layer's name.
    if any(part in name for part in settings.modules_to_not_convert):
        yield f"{name}.weight", _FLOATS, (outputs, inputs)
        return
    group = settings.group_size
    if inputs % group or outputs % _PER_WORD:
        raise refuse(
            "awq-group",
            f"layer {name!r} has {inputs} inputs and {outputs} outputs; AWQ needs multiples of "
            f"{group} and {_PER_WORD}; choose another group_size or leave the layer unquantised",
        )
    yield f"{name}.qweight", frozenset({"I32"}), (inputs, outputs // _PER_WORD)
    yield f"{name}.qzeros", frozenset({"I32"}), (inputs // group, outputs // _PER_WORD)
    yield f"{name}.scales", frozenset({"F16"}), (inputs // group, outputs)
