"""The size of a model's weights on one device: counted per tensor, or read from the files.

Exact for the families in shape.py, and for any checkpoint with readable safetensors headers.
Follows how vLLM's layers divide among devices: linear layers, heads, experts and the vocabulary
are split; norms and routers are copied.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from rollout.plan.memory.checkpoint import loaded_bytes, read_headers
from rollout.plan.memory.shape import (
    Shape,
    dtype_bytes,
    head_dim,
    is_latent,
    is_tied,
    kv_heads,
    num_experts,
    padded,
    rounded,
)

# Bits per parameter of a quantized linear layer, with scales and zero points, if the method states
# no group size: 4 bits in groups of 128 add 16 bits of scale and 4 bits of zero point per group.
ONLINE_BITS = {
    "fp8": 8.0, "fp8_per_tensor": 8.0, "fp8_per_block": 8.0, "fp8_per_channel": 8.0, "mxfp8": 8.25,
    "bitsandbytes": 4.5, "experts_int8": 8.0, "int8_per_channel_weight_only": 8.0, "mxfp4": 4.25,
}  # fmt: skip
MXFP4_PADDING = 256  # vLLM rounds the experts' inner size up to a multiple of it


class Division(Enum):
    """How the devices of one model divide a tensor."""

    even = "even"
    kv_heads = "kv_heads"  # evenly up to the number of KV heads; then copied
    vocabulary = "vocabulary"  # evenly, padded to 64
    copied = "copied"


@dataclass(frozen=True, slots=True)
class Part:
    """Tensors of one kind, over all layers."""

    name: str
    num_parameters: int
    division: Division = Division.even
    in_layers: bool = True  # False: at one end of the model, not divided by pipeline stages
    is_packed: bool = True  # whether a quantized checkpoint packs it; else it keeps the dtype


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's weights: `parts` as counted, and the size read from the files."""

    parts: tuple[Part, ...]
    packed_bytes: float  # per parameter of a linear layer, quantized if the model is
    plain_bytes: float  # per other parameter
    num_kv_heads: int
    saved_bytes: float | None  # all tensors of the checkpoint once loaded; None: not read
    quantization: str | None

    @property
    def num_parameters(self) -> int:
        return sum(part.num_parameters for part in self.parts)

    def device_bytes(self, tensor_parallel_size: int = 1, pipeline_parallel_size: int = 1) -> float:
        """Return the bytes on the fullest device.

        If the files were read, their sum is exact for one device, and is divided among several in
        proportion to the counted parts.
        """
        counted = self._counted(tensor_parallel_size, pipeline_parallel_size)
        if self.saved_bytes is None:
            return counted
        return self.saved_bytes * counted / self._counted(1, 1)

    def _counted(self, tp: int, pp: int) -> float:
        ends = [0.0, 0.0]  # the first stage holds the embedding, the last one the rest
        within = 0.0
        for part in self.parts:
            size = _on_one(part, tp, self.num_kv_heads)
            size *= self.packed_bytes if part.is_packed else self.plain_bytes
            if part.in_layers:
                within += size
            else:
                ends[0 if part.name == "embedding" else 1] += size
        return within / pp + (sum(ends) if pp == 1 else max(ends))


def _on_one(part: Part, tp: int, num_kv_heads: int) -> float:
    """Return the parameters of `part` on one of `tp` devices."""
    if part.division is Division.copied:
        return part.num_parameters
    if part.division is Division.kv_heads:
        return part.num_parameters * max(1, num_kv_heads // tp) / num_kv_heads
    return part.num_parameters / tp


def count_weights(
    shape: Shape, dtype: str, quantization: str | None, saved: Path | None
) -> Weights:
    """Count the weights of a model loaded in `dtype`.

    `quantization` is the engine's, applied while loading; a quantized checkpoint's own method
    comes first. `saved` is the checkpoint's directory, or None if it is not on this machine.
    """
    plain = float(dtype_bytes(dtype, shape))
    method, packed = _packed_bytes(shape.config, plain)
    if method is None and quantization in ONLINE_BITS:
        method, packed = quantization, ONLINE_BITS[quantization] / 8
    headers = read_headers(saved) if saved else None
    saved_bytes = None
    if headers and quantization in (None, method):
        saved_bytes = loaded_bytes(headers, shape, plain)
        if method is not None and shape.config.get("quantization_config") is None:
            saved_bytes = None  # quantized while loading: the files have the size before that
    parts = _parts(shape)
    if is_mxfp4(shape.config):  # it packs only the experts
        parts = (replace(p, is_packed=p.is_packed and p.name == "experts") for p in parts)
    return Weights(
        parts=tuple(parts),
        packed_bytes=packed,
        plain_bytes=plain,
        num_kv_heads=max(1, kv_heads(shape.config)),
        saved_bytes=saved_bytes,
        quantization=method,
    )


def _parts(shape: Shape) -> Iterator[Part]:
    config, layers, hidden = shape.config, shape.num_layers, shape.hidden_size
    vocabulary = padded(shape.vocab_size)
    yield Part("embedding", vocabulary * hidden, Division.vocabulary, False, False)
    if not is_tied(shape):
        yield Part("output head", vocabulary * hidden, Division.vocabulary, False, False)
    yield Part("final norm", hidden, Division.copied, False, False)
    if is_latent(config, shape.model_type):
        yield from _latent_attention(shape)
    else:
        yield from _attention(shape)
    num_norms = 4 if shape.model_type in ("gemma2", "gemma3_text") else 2
    yield Part("norms", layers * num_norms * hidden, Division.copied, True, False)
    yield from _feed_forward(shape)


def _attention(shape: Shape) -> Iterator[Part]:
    config, layers, hidden = shape.config, shape.num_layers, shape.hidden_size
    dim, heads, num_kv = head_dim(config), shape.num_heads, kv_heads(config)
    yield Part("queries", layers * hidden * heads * dim)
    yield Part("keys and values", layers * hidden * 2 * num_kv * dim, Division.kv_heads)
    yield Part("attention output", layers * heads * dim * hidden)
    kind = shape.model_type
    if kind in ("qwen2", "qwen2_moe") or config.get("attention_bias"):
        yield Part("query biases", layers * heads * dim, is_packed=False)
        kv_biases = layers * 2 * num_kv * dim
        yield Part("key and value biases", kv_biases, Division.kv_heads, is_packed=False)
        if kind not in ("qwen2", "qwen2_moe"):
            yield Part("attention output biases", layers * hidden, Division.copied, True, False)
    if kind in ("qwen3", "qwen3_moe", "gemma3_text"):
        yield Part("query and key norms", layers * 2 * dim, Division.copied, True, False)
    if kind == "gpt_oss":
        yield Part("attention sinks", layers * heads, is_packed=False)


def _latent_attention(shape: Shape) -> Iterator[Part]:
    """MLA of DeepSeek-V2 (arXiv:2405.04434, section 2.1): low-rank queries, keys and values."""
    config, layers, hidden = shape.config, shape.num_layers, shape.hidden_size
    heads, rank, value = shape.num_heads, config["kv_lora_rank"], config.get("v_head_dim", 0)
    nope, rope = config.get("qk_nope_head_dim", 0), config.get("qk_rope_head_dim", 0)
    if q_rank := config.get("q_lora_rank"):
        yield Part("queries, down", layers * hidden * q_rank, Division.copied)
        yield Part("query norms", layers * q_rank, Division.copied, True, False)
    yield Part("queries", layers * (q_rank or hidden) * heads * (nope + rope))
    yield Part("keys and values, down", layers * hidden * (rank + rope), Division.copied)
    yield Part("key and value norms", layers * rank, Division.copied, True, False)
    yield Part("keys and values, up", layers * rank * heads * (nope + value))
    yield Part("attention output", layers * heads * value * hidden)


def _feed_forward(shape: Shape) -> Iterator[Part]:
    config, hidden = shape.config, shape.hidden_size
    dense, sparse = expert_layers(shape)
    inner = config.get("intermediate_size") or config.get("ffn_dim") or 4 * hidden
    if dense:
        yield Part("feed forward", dense * 3 * hidden * inner)
        if config.get("mlp_bias"):
            yield Part("feed forward biases", dense * (2 * inner + hidden), is_packed=False)
    if not sparse:
        return
    experts, width = num_experts(config), config.get("moe_intermediate_size") or inner
    sides = hidden * width
    if is_mxfp4(config):
        sides = hidden * rounded(width, MXFP4_PADDING)
    yield Part("experts", sparse * experts * 3 * sides)
    yield Part("router", sparse * hidden * experts, Division.copied, True, False)
    if shape.model_type == "gpt_oss":
        biases = sparse * experts * (2 * width + hidden)
        yield Part("expert biases", biases, is_packed=False)
        yield Part("router biases", sparse * experts, Division.copied, True, False)
    if shape.model_type == "deepseek_v3":
        yield Part("router corrections", sparse * experts, Division.copied, True, False)
    shared = config.get("shared_expert_intermediate_size") or 0
    shared = shared or (config.get("n_shared_experts") or 0) * width
    if shared:
        yield Part("shared experts", sparse * 3 * hidden * shared)
    if shape.model_type == "qwen2_moe":
        yield Part("shared expert gates", sparse * hidden, Division.copied, True, False)


def expert_layers(shape: Shape) -> tuple[int, int]:
    """Return the numbers of dense layers and of layers with experts."""
    config, layers = shape.config, shape.num_layers
    if not num_experts(config):
        return layers, 0
    first = config.get("first_k_dense_replace") or 0
    step = config.get("decoder_sparse_step") or config.get("moe_layer_freq") or 1
    step = step if isinstance(step, int) else 1
    alone = set(config.get("mlp_only_layers") or ())
    sparse = sum(
        i >= first
        and i not in alone
        and (i + 1 if "decoder_sparse_step" in config else i) % step == 0
        for i in range(layers)
    )
    return layers - sparse, sparse


def _packed_bytes(config: dict[str, Any], plain: float) -> tuple[str | None, float]:
    """Return a quantized checkpoint's method and the bytes per parameter of its linear layers.

    Bits and group size are the checkpoint's. Each group has a scale of 16 bits; GPTQ and AWQ add
    a zero point of `bits` (arXiv:2210.17323, arXiv:2306.00978). mxfp4 has 8 bits per block of 32
    (OCP Microscaling Formats 1.0); fp8 in blocks has 32 bits per block.
    """
    stated = config.get("quantization_config") or config.get("compression_config")
    if not isinstance(stated, dict):
        return None, plain
    method = str(stated.get("quant_method") or "unknown").lower()
    if method in ("awq", "gptq", "gptq_marlin", "awq_marlin", "auto-round"):
        bits, group = stated.get("bits") or stated.get("w_bit") or 4, _group(stated)
        return method, (bits + (16 + bits) / group) / 8
    if method == "fp8":
        block = stated.get("weight_block_size")
        scale = 32 / (block[0] * block[1]) if isinstance(block, list) and len(block) == 2 else 0
        return method, (8 + scale) / 8
    if method == "mxfp4":
        return method, (4 + 8 / 32) / 8
    if method == "compressed-tensors":
        groups = stated.get("config_groups")
        groups = groups if isinstance(groups, dict) else {}
        schemes = [g.get("weights") or {} for g in groups.values() if isinstance(g, dict)]
        scheme = schemes[0] if schemes else {}
        bits, group = scheme.get("num_bits") or 8, scheme.get("group_size") or 0
        return method, (bits + (16 / group if group > 0 else 0)) / 8
    if method == "bitsandbytes":
        return method, 1.0 if stated.get("load_in_8bit") else ONLINE_BITS["bitsandbytes"] / 8
    if method == "modelopt":
        is_fp4 = "fp4" in str(stated.get("quant_algo") or "nvfp4").lower()
        return method, (4 + 8 / 16) / 8 if is_fp4 else 1.0
    bits = stated.get("bits") or UNKNOWN_BITS
    return method, (bits if isinstance(bits, int | float) else UNKNOWN_BITS) / 8


KNOWN_METHODS = (
    "awq", "gptq", "gptq_marlin", "awq_marlin", "auto-round", "fp8", "mxfp4", "compressed-tensors",
    "bitsandbytes", "modelopt",
)  # fmt: skip
UNKNOWN_BITS = 4  # the fewest that are common: a model that does not fit so does not fit at all


def _group(stated: dict[str, Any]) -> int:
    """Return the parameters that share a scale; -1 (a whole row) counts as a very long group."""
    size = stated.get("group_size") or stated.get("q_group_size") or 128
    return size if size > 0 else 1 << 20


def is_mxfp4(config: dict[str, Any]) -> bool:
    stated = config.get("quantization_config")
    return isinstance(stated, dict) and str(stated.get("quant_method")).lower() == "mxfp4"
