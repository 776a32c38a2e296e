"""Small random models, one for each kind of attention and weights that vLLM plans differently.

Each takes a few MB, so that one per cent of its weights is measurable. Their output is noise.
"""

import json
from pathlib import Path

from tiny_model import make_tokenizer

SHAPE = dict(
    hidden_size=256,
    intermediate_size=512,
    num_hidden_layers=4,
    num_attention_heads=8,
    num_key_value_heads=2,
    max_position_embeddings=8192,
    bos_token_id=0,
    eos_token_id=1,
    pad_token_id=None,
)
MLA = dict(
    model_type="deepseek_v2",
    num_key_value_heads=8,
    kv_lora_rank=512,  # with qk_rope_head_dim, the only width that the CPU kernel supports
    qk_nope_head_dim=32,
    qk_rope_head_dim=64,
    v_head_dim=32,
    moe_intermediate_size=128,
    n_routed_experts=4,
    n_shared_experts=1,
    num_experts_per_tok=2,
    first_k_dense_replace=1,
    n_group=1,
    topk_group=1,
    topk_method="greedy",
)
LLAMA = dict(model_type="llama", head_dim=32)
QUANTISED = LLAMA | dict(num_hidden_layers=8)

# Differences from SHAPE, as in config.json.
KINDS: dict[str, dict] = {
    "gqa": dict(model_type="qwen3", head_dim=32),
    "mha": LLAMA | dict(num_key_value_heads=8),
    "opt": dict(
        model_type="opt", ffn_dim=512, word_embed_proj_dim=256, max_position_embeddings=2048
    ),
    "mqa": LLAMA | dict(num_key_value_heads=1),
    "mla": MLA | dict(q_lora_rank=None),
    "mla_q_lora": MLA | dict(q_lora_rank=64),
    "mla_v3": MLA | dict(model_type="deepseek_v3", q_lora_rank=64, topk_method="noaux_tc"),
    "sliding": dict(model_type="mistral", head_dim=32, sliding_window=128),
    "hybrid_sliding": dict(
        model_type="gemma3_text",
        head_dim=32,
        num_hidden_layers=7,
        sliding_window=128,
        query_pre_attn_scalar=32,
        layer_types=["sliding_attention"] * 3
        + ["full_attention"]
        + ["sliding_attention"] * 2
        + ["full_attention"],
    ),
    "hybrid_sliding_even": dict(
        model_type="gemma3_text",
        head_dim=32,
        num_hidden_layers=6,
        sliding_window=128,
        query_pre_attn_scalar=32,
        layer_types=["sliding_attention", "full_attention"] * 3,
    ),
    "gpt_oss": dict(
        model_type="gpt_oss",
        head_dim=32,
        num_hidden_layers=5,
        sliding_window=128,
        num_local_experts=4,
        num_experts_per_tok=2,
        intermediate_size=256,
        layer_types=["sliding_attention", "full_attention"] * 2 + ["sliding_attention"],
    ),
    "moe": dict(
        model_type="qwen3_moe",
        head_dim=32,
        num_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=128,
        decoder_sparse_step=1,
        mlp_only_layers=[],
    ),
    "head_dim": dict(model_type="qwen3", head_dim=64),
    "untied": LLAMA | dict(tie_word_embeddings=False),
    "tied": LLAMA | dict(tie_word_embeddings=True),
    "bias": dict(model_type="qwen2"),
    "mamba_hybrid": dict(
        model_type="falcon_h1",
        head_dim=32,
        mamba_d_ssm=256,
        mamba_n_heads=8,
        mamba_d_head=32,
        mamba_n_groups=1,
        mamba_d_state=32,
        mamba_d_conv=4,
        mamba_expand=1,
        mamba_chunk_size=64,
    ),
    "jamba": dict(
        model_type="jamba",
        attn_layer_period=2,
        attn_layer_offset=1,
        expert_layer_period=2,
        expert_layer_offset=1,
        num_experts=2,
        num_experts_per_tok=1,
        mamba_d_state=16,
        mamba_d_conv=4,
        mamba_expand=2,
        mamba_dt_rank=16,
    ),
    "qwen3_next": dict(
        model_type="qwen3_next",
        head_dim=32,
        linear_num_key_heads=4,
        linear_num_value_heads=8,
        linear_key_head_dim=32,
        linear_value_head_dim=32,
        linear_conv_kernel_dim=4,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=128,
        shared_expert_intermediate_size=128,
        layer_types=["linear_attention", "linear_attention", "linear_attention", "full_attention"],
    ),
    "chunked": dict(
        model_type="llama4_text",
        head_dim=32,
        intermediate_size_mlp=512,
        num_local_experts=4,
        num_experts_per_tok=1,
        attention_chunk_size=128,
        interleave_moe_layer_step=2,
        no_rope_layers=[1, 1, 1, 0],
        layer_types=["chunked_attention"] * 3 + ["full_attention"],
    ),
    "awq": QUANTISED | dict(quantised="awq"),
    "gptq": QUANTISED | dict(quantised="gptq"),
    "fp8": QUANTISED | dict(num_key_value_heads=4, quantised="fp8"),
    "int8": QUANTISED | dict(quantised="int8"),
    "int4": QUANTISED | dict(quantised="int4"),
}
GROUP_SIZE = 64
FP8_BLOCK = 128


def make_model(kind: str, directory: Path) -> Path:
    """Save a random model of this kind with its tokenizer in `directory` and return the path."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    settings = SHAPE | dict(vocab_size=make_tokenizer(directory)) | KINDS[kind]
    quantised = settings.pop("quantised", None)
    config = AutoConfig.for_model(**settings)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=1)
    model.save_pretrained(directory)
    if quantised:
        _quantise(directory, quantised)
    return directory


def _quantise(directory: Path, method: str) -> None:
    """Replace the decoder layers' linear weights by random quantized ones."""
    from safetensors.torch import load_file, save_file

    scheme, pack = _METHODS[method]
    file = directory / "model.safetensors"
    tensors = {}
    for name, tensor in load_file(file).items():
        linear = name.endswith("_proj.weight")
        packed = pack(*tensor.shape) if linear else {"weight": tensor}
        tensors |= {f"{name.removesuffix('.weight')}.{k}": v for k, v in packed.items()}
    save_file(tensors, file, metadata={"format": "pt"})
    config_file = directory / "config.json"
    config = json.loads(config_file.read_text())
    config_file.write_text(json.dumps(config | {"quantization_config": scheme}, indent=2))


def _integers(*shape: int, dtype: str = "int32"):
    import torch

    kind = getattr(torch, dtype)
    limits = torch.iinfo(kind)
    return torch.randint(limits.min, limits.max, shape, dtype=torch.int64).to(kind)


def _scales(*shape: int, dtype: str = "bfloat16"):
    import torch

    return torch.full(shape, 1e-3, dtype=getattr(torch, dtype))


def _awq(outputs: int, inputs: int) -> dict:
    groups = inputs // GROUP_SIZE
    return {
        "qweight": _integers(inputs, outputs // 8),
        "qzeros": _integers(groups, outputs // 8),
        "scales": _scales(groups, outputs, dtype="float16"),
    }


def _gptq(outputs: int, inputs: int) -> dict:
    import torch

    groups = inputs // GROUP_SIZE
    return {
        "qweight": _integers(inputs // 8, outputs),
        "qzeros": torch.full((groups, outputs // 8), 0x77777777, dtype=torch.int32),
        "scales": _scales(groups, outputs, dtype="float16"),
        "g_idx": torch.arange(inputs, dtype=torch.int32) // GROUP_SIZE,
    }


def _fp8(outputs: int, inputs: int) -> dict:
    import torch

    weight = torch.randn(outputs, inputs).to(torch.float8_e4m3fn)
    blocks = outputs // FP8_BLOCK, inputs // FP8_BLOCK
    return {"weight": weight, "weight_scale_inv": _scales(*blocks, dtype="float32")}


def _int8(outputs: int, inputs: int) -> dict:
    weight = _integers(outputs, inputs, dtype="int8")
    return {"weight": weight, "weight_scale": _scales(outputs, 1)}


def _int4(outputs: int, inputs: int) -> dict:
    import torch

    return {
        "weight_packed": _integers(outputs, inputs // 8),
        "weight_scale": _scales(outputs, inputs // GROUP_SIZE),
        "weight_shape": torch.tensor([outputs, inputs]),
    }


def _compressed(fmt: str, weights: dict, inputs: dict | None) -> dict:
    """Return compressed-tensors' description of one scheme for every linear layer but the head."""
    common = dict(symmetric=True, type="int")
    activations = common | inputs if inputs else None
    group = dict(targets=["Linear"], weights=common | weights, input_activations=activations)
    return {
        "quant_method": "compressed-tensors",
        "format": fmt,
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }


_METHODS = {
    "awq": (
        dict(quant_method="awq", bits=4, group_size=GROUP_SIZE, zero_point=True, version="gemm"),
        _awq,
    ),
    "gptq": (
        dict(quant_method="gptq", bits=4, group_size=GROUP_SIZE, desc_act=False, sym=True),
        _gptq,
    ),
    "fp8": (
        dict(
            quant_method="fp8",
            activation_scheme="dynamic",
            weight_block_size=[FP8_BLOCK, FP8_BLOCK],
        ),
        _fp8,
    ),
    "int8": (
        _compressed(
            "int-quantized",
            dict(num_bits=8, strategy="channel", dynamic=False),
            dict(num_bits=8, strategy="token", dynamic=True),
        ),
        _int8,
    ),
    "int4": (
        _compressed(
            "pack-quantized",
            dict(num_bits=4, strategy="group", group_size=GROUP_SIZE, dynamic=False),
            None,
        ),
        _int4,
    ),
}


if __name__ == "__main__":
    import sys

    print(make_model(sys.argv[1], Path(sys.argv[2])))
