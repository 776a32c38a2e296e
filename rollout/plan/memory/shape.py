"""The shape of a model, read from its config.json: layers, heads, context, KV cache.

Owns what a config's fields mean, under the names that different families use. Guarantees that
`estimates` names everything that was not read exactly. Must not know about devices, presets, or
where a config came from.
"""

from dataclasses import dataclass
from enum import Enum
from math import ceil
from typing import Any

from rollout.errors import UserError

# Families whose tensors are counted one by one in weights.py.
DENSE = (
    "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "smollm3", "granite",
)  # fmt: skip
EXPERTS = ("qwen2_moe", "qwen3_moe", "mixtral", "gpt_oss", "deepseek_v2", "deepseek_v3")
LATENT = (
    "deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "glm4_moe_lite", "glm_moe_dsa",
    "longcat_flash", "pangu_ultra_moe",
)  # fmt: skip
# RoPE scalings that leave max_position_embeddings as it is (vllm/config/model.py).
ALREADY_SCALED = (
    "default", "su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling",
    "dynamic",
)  # fmt: skip
# Fields that must be numbers, besides those that begin with num_.
NUMBERS = (
    "hidden_size", "intermediate_size", "moe_intermediate_size", "vocab_size", "head_dim", "n_head",
    "shared_expert_intermediate_size", "n_routed_experts", "n_shared_experts", "kv_lora_rank",
    "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "first_k_dense_replace",
    "decoder_sparse_step", "sliding_window", "max_position_embeddings", "n_layer", "n_embd",
    "d_model", "ffn_dim", "n_head_kv", "multi_query_group_num", "sliding_window_pattern",
    "full_attention_interval", "attn_layer_period", "attn_layer_offset", "n_positions",
    "original_max_position_embeddings",
)  # fmt: skip
CONTEXTS = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length",
    "model_max_length", "max_sequence_length", "max_seq_length", "seq_len",
)  # fmt: skip
# Values that released configs leave to their class (transformers, Gemma3TextConfig).
DEFAULTS = {
    "gemma3_text": {
        "vocab_size": 262_208, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
        "max_position_embeddings": 131_072, "sliding_window": 4096,
    },
}  # fmt: skip
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
HIDDEN = ("hidden_size", "n_embd", "d_model")
MOST, MOST_LAYERS = 10**12, 10_000
DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "half": 2, "float": 4}

VOCABULARY_PADDING = 64  # vllm/model_executor/layers/vocab_parallel_embedding.py


class Attention(Enum):
    full = "full"  # every token stays in the KV cache
    sliding = "sliding"  # the last `window` tokens stay
    latent = "latent"  # MLA: one compressed vector per token, shared by all heads


@dataclass(frozen=True, slots=True)
class CachedLayers:
    """Layers with the same kind of KV cache."""

    kind: Attention
    num_layers: int
    num_kv_heads: int  # of the whole model; 1 for MLA
    key_dim: int
    value_dim: int  # 0 for MLA
    window: int | None = None

    def token_elements(self, tensor_parallel_size: int) -> int:
        """Return the values that one token takes in one layer on one device.

        KV heads are divided among the devices. With fewer heads than devices, each device keeps a
        copy of one (vllm/config/model.py, get_num_kv_heads). MLA's latent vector is copied to
        every device.
        """
        heads = max(1, self.num_kv_heads // tensor_parallel_size)
        return heads * (self.key_dim + self.value_dim)


@dataclass(frozen=True, slots=True)
class Shape:
    """A model as the planner sees it; weights.py counts tensors from `config`."""

    config: dict[str, Any]  # of the text model
    model_type: str
    hidden_size: int
    num_layers: int
    num_heads: int
    vocab_size: int
    max_position: int  # the model's context in tokens
    saved_dtype: str
    layers: tuple[CachedLayers, ...]
    estimates: tuple[str, ...]  # what could not be counted exactly

    @property
    def num_kv_heads(self) -> int:
        return max((group.num_kv_heads for group in self.layers), default=self.num_heads)

    @property
    def is_rope_scaled(self) -> bool:
        """Whether its context may be longer than max_position_embeddings."""
        scaling = self.config.get("rope_scaling") or self.config.get("rope_parameters") or {}
        if not isinstance(scaling, dict):
            return True
        kind = scaling.get("rope_type") or scaling.get("type") or "default"
        return kind != "default"

    @property
    def states_context(self) -> bool:
        """Whether its config states the longest sequence."""
        return bool(_stated_context(self.config))

    @property
    def is_counted(self) -> bool:
        """Whether its tensors are counted one by one."""
        return self.model_type in (*DENSE, *EXPERTS) and self.vocab_size > 0


def read_shape(config: dict[str, Any]) -> Shape:
    """Return the shape that `config` (a parsed config.json) describes.

    Raises UserError if a field that every model needs is missing or invalid.
    """
    estimates = []
    text = config
    if isinstance(inner := config.get("text_config"), dict):
        text = {k: v for k, v in config.items() if k in ("quantization_config", "dtype")} | inner
        estimates.append("image or audio encoders are not counted")
    text = DEFAULTS.get(str(text.get("model_type")), {}) | text
    _check(text)
    heads, hidden = _first(text, *HEADS), _first(text, *HIDDEN)
    num_layers = _first(text, "num_hidden_layers", "n_layer", "n_layers", "num_layers")
    if not (heads > 0 and hidden > 0 and num_layers > 0 and heads <= hidden):
        sizes = {
            "hidden_size": hidden, "num_hidden_layers": num_layers, "num_attention_heads": heads,
        }  # fmt: skip
        missing = [name for name, value in sizes.items() if not value] or list(sizes)
        raise UserError(
            f"its config.json lacks a consistent {' and '.join(missing)}, so its memory can't be "
            f"counted; type model.shape.{missing[0]}=N, or correct config.json"
        )
    if not text.get("vocab_size"):
        estimates.append("vocab_size is missing: embedding and output head are not counted")
    if not _stated_context(text):
        estimates.append("the context is missing: 2,048 tokens are assumed")
    model_type = str(text.get("model_type") or config.get("model_type") or "")
    layers, remarks = _cached_layers(text, model_type, num_layers, heads, hidden)
    estimates += remarks
    if model_type not in (*DENSE, *EXPERTS):
        estimates.append(
            f"tensors of model_type {model_type or 'unnamed'!r} are counted as Llama's"
        )
    return Shape(
        config=text,
        model_type=model_type,
        hidden_size=hidden,
        num_layers=num_layers,
        num_heads=heads,
        vocab_size=_first(text, "vocab_size") or 0,
        max_position=_context(text, model_type),
        saved_dtype=str(text.get("dtype") or text.get("torch_dtype") or "float32"),
        layers=layers,
        estimates=tuple(estimates),
    )


def _check(config: dict[str, Any]) -> None:
    """Refuse values that no config.json has, before anything is computed from them."""
    for name, value in config.items():
        if (name in NUMBERS or name.startswith("num_")) and value is not None:
            _check_number(name, value)
    for name in ("num_key_value_heads", "num_kv_heads", "vocab_size"):
        if config.get(name) == 0:
            raise UserError(f"its config.json has {name}=0, which no model has; correct it")
    alone = config.get("mlp_only_layers")
    if alone is not None and not isinstance(alone, list):
        raise UserError(f"its config.json has mlp_only_layers={alone}, which should be a list")
    method = config.get("quantization_config")
    if method is None:
        return
    if not isinstance(method, dict):
        raise UserError(
            f"its config.json has quantization_config={method}, which should be a mapping, such as "
            "{quant_method: awq, bits: 4, group_size: 128}"
        )
    blocks = method.get("weight_block_size")
    named = [(name, method.get(name)) for name in ("bits", "w_bit", "q_group_size")]
    named += [("weight_block_size", size) for size in (blocks if isinstance(blocks, list) else ())]
    for name, value in named:
        if value is not None:
            _check_number(f"quantization_config.{name}", value)
    size = method.get("group_size")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool)):
        raise UserError(
            f"its config.json has quantization_config.group_size={size}, which should be an integer"
        )


def _check_number(name: str, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    most = MOST_LAYERS if "layer" in name else MOST
    if not is_number or not 0 <= value <= most or value != int(value):
        raise UserError(
            f"its config.json has {name}={value!r}, which should be a whole number up to {most:,}"
        )


def head_dim(config: dict[str, Any]) -> int:
    """Return the size of one attention head: as stated, or hidden_size / num_attention_heads."""
    heads = _first(config, *HEADS)
    return config.get("head_dim") or _first(config, *HIDDEN) // heads


def kv_heads(config: dict[str, Any]) -> int:
    """Return the KV heads of the whole model; as many as heads if not stated (MHA)."""
    if config.get("multi_query") and "num_kv_heads" not in config:
        return 1
    names = ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num")
    return _first(config, *names, *HEADS)


def is_latent(config: dict[str, Any], model_type: str) -> bool:
    """Whether it caches MLA's latent vectors (DeepSeek-V2, arXiv:2405.04434, section 2.1)."""
    return model_type in LATENT and bool(config.get("kv_lora_rank"))


def _first(config: dict[str, Any], *names: str) -> int:
    return next((int(config[n]) for n in names if isinstance(config.get(n), int | float)), 0)


def _cached_layers(
    config: dict[str, Any], model_type: str, num_layers: int, heads: int, hidden: int
) -> tuple[tuple[CachedLayers, ...], list[str]]:
    if is_latent(config, model_type):
        dim = config["kv_lora_rank"] + config.get("qk_rope_head_dim", 0)
        return (CachedLayers(Attention.latent, num_layers, 1, dim, 0),), []
    dim, num_kv_heads = head_dim(config), kv_heads(config)
    kinds = _layer_kinds(config, model_type, num_layers)
    remarks = []
    if num_other := sum(kind not in ("full", "sliding") for kind in kinds):
        remarks.append(f"the state of {num_other} layers without attention is not counted")
    if config.get("global_head_dim") or config.get("num_global_key_value_heads"):
        remarks.append("full-attention layers are counted with the other layers' heads")
    if config.get("num_kv_shared_layers"):
        remarks.append("layers that share another layer's KV cache are counted with their own")
    found = []
    for kind in (Attention.full, Attention.sliding):
        if number := kinds.count(kind.value):
            window = config.get("sliding_window") if kind is Attention.sliding else None
            found.append(CachedLayers(kind, number, num_kv_heads, dim, dim, window))
    return tuple(found), remarks


def _layer_kinds(config: dict[str, Any], model_type: str, num_layers: int) -> list[str]:
    """Return full, sliding or other for each layer; vLLM caches chunked attention in full."""
    window = config.get("sliding_window")
    if config.get("use_sliding_window") is False:
        window = None
    stated = config.get("layer_types")
    if isinstance(stated, list) and len(stated) == num_layers:
        names = {"full_attention": "full", "attention": "full", "chunked_attention": "full"}
        names["sliding_attention"] = "sliding" if window else "full"
        return [names.get(str(kind), "other") for kind in stated]
    every = config.get("full_attention_interval") or config.get("attn_layer_period")
    if every and model_type not in (*DENSE, *EXPERTS):  # hybrids with a state instead of a cache
        offset = config.get("attn_layer_offset", every - 1)
        return ["full" if i % every == offset % every else "other" for i in range(num_layers)]
    if not window or model_type in ("qwen2", "qwen3", "qwen2_moe", "qwen3_moe"):
        return ["full"] * num_layers
    pattern = config.get("sliding_window_pattern") or config.get("_sliding_window_pattern")
    if model_type == "gemma3_text":
        pattern = pattern or 6
    if model_type in ("gemma2", "gpt_oss"):
        pattern = 2
    if not isinstance(pattern, int) or pattern < 2:
        return ["sliding"] * num_layers
    return ["sliding" if (i + 1) % pattern else "full" for i in range(num_layers)]


def _stated_context(config: dict[str, Any]) -> int:
    stated = [config.get(name) for name in CONTEXTS]
    return min((int(n) for n in stated if isinstance(n, int | float) and 0 < n < MOST), default=0)


def _context(config: dict[str, Any], model_type: str) -> int:
    """Return the tokens of the longest sequence, as vLLM derives it (vllm/config/model.py)."""
    longest = _stated_context(config) or 2048
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if not isinstance(rope, dict):
        return longest
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "longrope":
        return int(config.get("original_max_position_embeddings") or longest)
    if kind in ALREADY_SCALED or "gemma3" in model_type:
        return longest
    factor = rope.get("factor")
    is_number = isinstance(factor, int | float) and 0 < factor < MOST
    return int(longest * factor) if is_number else longest


def is_tied(shape: Shape) -> bool:
    """Whether the output head shares the embedding's weights; the default depends on the family."""
    by_default = shape.model_type.startswith("gemma")
    return bool(shape.config.get("tie_word_embeddings", by_default))


def padded(vocab_size: int) -> int:
    return rounded(vocab_size, VOCABULARY_PADDING)


def rounded(number: int, multiple: int) -> int:
    return ceil(number / multiple) * multiple


def is_quantized(config: dict[str, Any]) -> bool:
    return isinstance(config.get("quantization_config") or config.get("compression_config"), dict)


def dtype_bytes(dtype: str, shape: Shape) -> int:
    """Return the bytes of one value; auto is the checkpoint's dtype, with float32 as 16 bits."""
    if dtype == "auto":
        dtype = shape.saved_dtype.removeprefix("torch.")
        dtype = "bfloat16" if dtype == "float32" else dtype
    return DTYPE_BYTES.get(dtype, 2)


def num_experts(config: dict[str, Any]) -> int:
    """Return the number of experts per layer; 0 for a dense model."""
    names = ("num_experts", "num_local_experts", "n_routed_experts")
    return next((int(config[n]) for n in names if config.get(n)), 0)
