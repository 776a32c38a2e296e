"""What a model's weights take on one device: counted tensor by tensor, or read from the files.

Parameters are exact for the families in shape.py, and for any checkpoint whose safetensors
headers can be read; how they divide among devices follows vLLM's layers: columns and rows of
linear layers, heads, experts and the vocabulary are divided, norms and routers are copied.
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

# Bits a parameter of a quantised linear layer takes, scales and zero points included, where the
# method says no group size: 4-bit with groups of 128 keeps 16 bits of scale and 4 of zero point.
ONLINE_BITS = {
    "fp8": 8.0, "fp8_per_tensor": 8.0, "fp8_per_block": 8.0, "fp8_per_channel": 8.0, "mxfp8": 8.25,
    "bitsandbytes": 4.5, "experts_int8": 8.0, "int8_per_channel_weight_only": 8.0, "mxfp4": 4.25,
}  # fmt: skip
MXFP4_PADDING = 256  # vLLM rounds the experts' inner side up to it


class Division(Enum):
    """How devices that share one copy of the model divide a tensor."""

    even = "even"
    kv_heads = "kv_heads"  # evenly, as far as there are KV heads; then copied
    vocabulary = "vocabulary"  # evenly, padded to 64
    copied = "copied"


@dataclass(frozen=True, slots=True)
class Part:
    """Tensors of one kind, in all layers."""

    name: str
    num_parameters: int
    division: Division = Division.even
    in_layers: bool = True  # else at one end of the model: pipeline stages do not divide it
    is_packed: bool = True  # whether a quantised checkpoint packs it; else it keeps the dtype


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's weights: `parts` as counted, and the bytes in the files where they were read."""

    parts: tuple[Part, ...]
    packed_bytes: float  # a parameter of a quantised linear layer; the dtype's where there is none
    plain_bytes: float  # any other parameter
    num_kv_heads: int
    saved_bytes: float | None  # all tensors of the checkpoint, as they are loaded
    quantization: str | None

    @property
    def num_parameters(self) -> int:
        return sum(part.num_parameters for part in self.parts)

    def device_bytes(self, tensor_parallel_size: int = 1, pipeline_parallel_size: int = 1) -> float:
        """Bytes on the fullest device.

        Where the files were read, their sum is exact for one device, and the parts say how it
        divides among several.
        """
        counted = self._counted(tensor_parallel_size, pipeline_parallel_size)
        if self.saved_bytes is None:
            return counted
        return self.saved_bytes * counted / self._counted(1, 1)

    def _counted(self, tp: int, pp: int) -> float:
        ends = [0.0, 0.0]  # the first stage keeps the embedding, the last one all else
        within = 0.0
        for part in self.parts:
            size = _on_one(part, tp, self.num_kv_heads)
            size *= self.packed_bytes if part.is_packed else self.plain_bytes
            if part.in_layers:
                within += size
            else:
                ends[0 if part.name == "embedding" else 1] += size
        if pp == 1:
            return within + sum(ends)
        return within / pp + max(ends)


def _on_one(part: Part, tp: int, num_kv_heads: int) -> float:
    """Parameters of `part` on one of `tp` devices."""
    if part.division is Division.copied:
        return part.num_parameters
    if part.division is Division.kv_heads:
        return part.num_parameters * max(1, num_kv_heads // tp) / num_kv_heads
    return part.num_parameters / tp


def count_weights(
    shape: Shape, dtype: str, quantization: str | None, saved: Path | None
) -> Weights:
    """The weights of a model loaded in `dtype`; `saved` is its checkpoint's directory, if here.

    `quantization` is the engine's (quantised while loading); a checkpoint that is quantised
    says so itself.
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
            saved_bytes = None  # quantised while loading: the files say nothing of that
    parts = _parts(shape)
    if is_mxfp4(shape.config):  # which packs experts alone
        parts = (replace(p, is_packed=p.is_packed and p.name == "experts") for p in parts)
    return Weights(
        parts=tuple(parts),
        packed_bytes=packed,
        plain_bytes=plain,
        num_kv_heads=max(1, kv_heads(shape.config)),
        saved_bytes=saved_bytes,
        quantization=method,
    )


# Tensors, counted.


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
    """MLA as DeepSeek-V2 has it (arXiv:2405.04434, section 2.1): low-rank queries, keys, values."""
    config, layers, hidden, heads = (
        shape.config,
        shape.num_layers,
        shape.hidden_size,
        shape.num_heads,
    )
    nope, rope = config.get("qk_nope_head_dim", 0), config.get("qk_rope_head_dim", 0)
    value, rank, q_rank = (
        config.get("v_head_dim", 0),
        config["kv_lora_rank"],
        config.get("q_lora_rank"),
    )
    if q_rank:
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
    """How many layers are dense, and how many have experts."""
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


# Quantised checkpoints.


def _packed_bytes(config: dict[str, Any], plain: float) -> tuple[str | None, float]:
    """A quantised checkpoint's method, and bytes per parameter of its linear layers.

    Bits and group size as the checkpoint says: each group has a scale of 16 bits, and GPTQ and
    AWQ a zero point of `bits` (arXiv:2210.17323, arXiv:2306.00978); mxfp4 has 8 bits a block of
    32 (OCP Microscaling Formats 1.0); fp8 in blocks has 32 bits a block.
    """
    said = config.get("quantization_config") or config.get("compression_config")
    if not isinstance(said, dict):
        return None, plain
    method = str(said.get("quant_method") or "unknown").lower()
    if method in ("awq", "gptq", "gptq_marlin", "awq_marlin", "auto-round"):
        bits, group = said.get("bits") or said.get("w_bit") or 4, _group(said)
        return method, (bits + (16 + bits) / group) / 8
    if method == "fp8":
        block = said.get("weight_block_size")
        scale = 32 / (block[0] * block[1]) if isinstance(block, list) and len(block) == 2 else 0
        return method, (8 + scale) / 8
    if method == "mxfp4":
        return method, (4 + 8 / 32) / 8
    if method == "compressed-tensors":
        groups = said.get("config_groups")
        groups = groups if isinstance(groups, dict) else {}
        schemes = [g.get("weights") or {} for g in groups.values() if isinstance(g, dict)]
        scheme = schemes[0] if schemes else {}
        bits, group = scheme.get("num_bits") or 8, scheme.get("group_size") or 0
        return method, (bits + (16 / group if group > 0 else 0)) / 8
    if method == "bitsandbytes":
        return method, 1.0 if said.get("load_in_8bit") else ONLINE_BITS["bitsandbytes"] / 8
    if method == "modelopt":
        is_fp4 = "fp4" in str(said.get("quant_algo") or "nvfp4").lower()
        return method, (4 + 8 / 16) / 8 if is_fp4 else 1.0
    bits = said.get("bits") or UNKNOWN_BITS
    return method, (bits if isinstance(bits, int | float) else UNKNOWN_BITS) / 8


KNOWN_METHODS = (
    "awq", "gptq", "gptq_marlin", "awq_marlin", "auto-round", "fp8", "mxfp4", "compressed-tensors",
    "bitsandbytes", "modelopt",
)  # fmt: skip
UNKNOWN_BITS = 4  # the least that is common: what does not fit so fits in no other way


def _group(said: dict[str, Any]) -> int:
    """Parameters that share a scale; -1 (a whole row) is taken as a very long group."""
    size = said.get("group_size") or said.get("q_group_size") or 128
    return size if size > 0 else 1 << 20


def is_mxfp4(config: dict[str, Any]) -> bool:
    said = config.get("quantization_config")
    return isinstance(said, dict) and str(said.get("quant_method")).lower() == "mxfp4"
