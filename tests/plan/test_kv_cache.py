"""The KV cache of each kind of attention: bytes per token, blocks, groups of layers."""

import pytest
from planned_models import preset

from rollout.plan.memory.kv_cache import kv_cache_of
from rollout.plan.memory.shape import Attention, read_shape
from rollout.plan.memory.weights import count_weights


def cache_of(config, *, length=8192, in_flight=2048, block_size=16):
    shape = read_shape(config)
    return kv_cache_of(
        shape, element_bytes=2, block_size=block_size, in_flight_tokens=in_flight
    ), length


def test_mla_keeps_one_latent_vector_a_token_on_every_device():
    """DeepSeek-V3: 61 layers x (512 + 64) x 2 bytes = 70,272 bytes per token for any TP."""
    config = {
        "model_type": "deepseek_v3", "hidden_size": 7168, "num_hidden_layers": 61,
        "num_attention_heads": 128, "kv_lora_rank": 512, "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 128, "v_head_dim": 128, "q_lora_rank": 1536, "vocab_size": 129280,
        "intermediate_size": 18432, "moe_intermediate_size": 2048, "n_routed_experts": 256,
        "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
        "max_position_embeddings": 163840,
    }  # fmt: skip
    shape = read_shape(config)
    weights = count_weights(shape, "bfloat16", None, None)
    assert weights.num_parameters == pytest.approx(671e9, rel=0.001)  # as in its report
    for devices in (1, 8):
        cache = kv_cache_of(
            shape, element_bytes=2, block_size=64, in_flight_tokens=0, tensor_parallel_size=devices
        )
        assert cache.token_bytes == 61 * 576 * 2


def test_a_sliding_window_holds_no_more_than_its_window_and_what_is_in_flight():
    """Window 1,024, 2,048 tokens in flight: (1,023 + 2,048) / 16 = 192 blocks plus one."""
    mistral = preset("llama3_1_8b") | {"model_type": "mistral", "sliding_window": 1024}
    cache, _ = cache_of(mistral)
    assert cache.blocks_of(100_000) == 193
    assert cache.blocks_of(160) == 11


def test_mixed_layers_form_groups_of_equally_many_layers():
    """Like Gemma 3: of every 6 of 48 layers 5 are sliding, 1 is full: 5 + 1 groups of 8 layers."""
    gemma = preset("llama3_1_8b") | {
        "model_type": "gemma3_text", "num_hidden_layers": 48, "sliding_window": 1024,
        "sliding_window_pattern": 6, "tie_word_embeddings": True, "head_dim": 128,
    }  # fmt: skip
    shape = read_shape(gemma)
    assert [(g.kind, g.num_layers) for g in shape.layers] == [
        (Attention.full, 8),
        (Attention.sliding, 40),
    ]
    cache, _ = cache_of(gemma)
    assert len(cache.groups) == 6
    assert cache.block_bytes == 8 * 16 * 8 * 2 * 128 * 2
    assert cache.blocks_of(8192) == 8192 // 16 + 5 * 193


def test_released_gemma3_configs_leave_much_to_their_class():
    """12B: 48 layers of 224 million parameters, an embedding of 262,208 x 3,840: 11.77 billion."""
    inner = {
        "model_type": "gemma3_text", "hidden_size": 3840, "intermediate_size": 15360,
        "num_attention_heads": 16, "num_hidden_layers": 48, "num_key_value_heads": 8,
        "sliding_window": 1024,
    }  # fmt: skip
    shape = read_shape({"model_type": "gemma3", "text_config": inner})
    weights = count_weights(shape, "bfloat16", None, None)
    assert weights.num_parameters == pytest.approx(11.77e9, rel=0.001)
    assert shape.max_position == 131_072


def test_a_request_needs_one_block_more_than_its_tokens():
    cache, _ = cache_of(preset("llama3_1_8b"))
    assert cache.bytes_of(160) == 11 * cache.block_bytes
    assert cache.longest(11 * cache.block_bytes, 10_000) == 160
    assert cache.longest(cache.block_bytes, 10_000) == 0
