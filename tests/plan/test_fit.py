"""The planner's sums, each figure derived by hand beside it."""

import json

import pytest
import yaml
from preset_headers import MEANT_FOR, written

from rollout.config.presets import conf_dir, preset_names
from rollout.config.sections.engine import Device, Engine
from rollout.errors import UserError
from rollout.plan.memory.fit import GIB, Limit, Needs, fit, model_size
from rollout.plan.memory.hardware import KINDS, Hardware, named
from rollout.plan.memory.kv_cache import kv_cache_of
from rollout.plan.memory.shape import Attention, read_shape
from rollout.plan.memory.weights import count_weights
from rollout.system.machine import Machine

NOWHERE = Machine((), 2, 24.0, 20.0)
ENGINE = Engine(gpu_memory_utilization=0.95, max_num_seqs=256)


def preset(name):
    return yaml.safe_load((conf_dir() / "model" / f"{name}.yaml").read_text())["shape"]


def on_a100(name, num_devices, **engine):
    size = model_size(name, preset(name))
    values = {"tensor_parallel_size": num_devices, "gpu_memory_utilization": 0.95}
    hardware = named("a100_80gb", num_devices, NOWHERE)
    return fit(size, Engine(**(values | engine)), hardware, Needs(2560, 1536))


# Parameters, as the models' own pages give them; Qwen3-4B by hand:
#   embedding (also the head)                151,936 x 2,560                          388,956,160
#   attention, each of 36 layers: queries    2,560 x 32 x 128                          10,485,760
#     keys and values                        2,560 x 2 x 8 x 128                        5,242,880
#     output                                 32 x 128 x 2,560                          10,485,760
#     norms of queries and keys              2 x 128                                          256
#   feed forward                             3 x 2,560 x 9,728                         74,711,040
#   two norms                                2 x 2,560                                      5,120
#   final norm                                                                              2,560
#   36 x 100,930,816 + 388,956,160 + 2,560 = 4,022,468,096
PARAMETERS = {
    "qwen3_0_6b": 596_049_920,
    "qwen3_1_7b": 1_720_574_976,
    "qwen3_4b": 4_022_468_096,
    "qwen3_8b": 8_190_735_360,
    "qwen3_14b": 14_768_307_200,
    "qwen3_32b": 32_762_123_264,
    "qwen3_30b_a3b": 30_532_122_624,
    "llama3_1_8b": 8_030_261_248,
    "smollm2_135m": 134_515_008,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_counted_to_the_last_one(name):
    weights = count_weights(read_shape(preset(name)), "bfloat16", None, None)
    assert weights.num_parameters == PARAMETERS[name]


# Weights: parameters x 2 bytes; on n devices all but norms and routers divide:
#   qwen3_4b        8,044,936,192 bytes = 7.492 GiB; the rest 3.746 and 1.873
#   qwen3_30b_a3b   61,064,245,248 = 56.871; routers of 48 x 2,048 x 128 x 2 bytes = 24 MiB and
#                   norms stay whole: (56.871 - 0.024) / 2 + 0.024 = 28.447
# KV cache of a token: layers x KV heads / devices x 2 x head_dim x 2 bytes:
#   qwen3_4b        36 x 8 x 2 x 128 x 2 = 147,456      llama3_1_8b  32 x 8 x 2 x 128 x 2 = 131,072
#   qwen3_30b_a3b   48 x 4 x 2 x 128 x 2 =  98,304      qwen3_32b    64 x 8 x 2 x 128 x 2 = 262,144
# KV cache: 0.95 x 79.2 = 75.24 GiB, less weights and the allowances, which are
#   activations: the sampler's 256 x 151,936 x 36 bytes = 1.304 GiB (llama: 128,256: 1.101), or the
#     forward pass of 8,192 tokens if more: 32b alone, 8,192 x 2 x (5 x 5,120 + 3 x 25,600) = 1.562
#   graphs 0.1 + 0.016 x layers x 256 / 512: 36 layers 0.388, 32: 0.356, 64: 0.612;
#     experts twice: 2 x (0.1 + 0.016 x 48 / 2) = 0.968
#   other 0.3, and 0.7 more with several devices
#   qwen3_4b on one: 75.24 - 7.492 - 1.304 - 0.388 - 0.3 = 65.755
# Tokens: blocks of 16 tokens: 65.755 GiB / (16 x 147,456 bytes) = 29,926 blocks = 478,816 tokens.
# Full length: tokens / context: 478,816 / 262,144 = 1.83.
# name, devices: weights, KV GiB, bytes a token and device, KV tokens, full-length requests
GOLDEN = {
    ("qwen3_4b", 1): (7.492, 65.755, 147_456, 478_816, 1.83),
    ("qwen3_4b", 2): (3.746, 68.802, 73_728, 1_001_984, 3.82),
    ("qwen3_4b", 4): (1.873, 70.675, 36_864, 2_058_544, 7.85),
    ("llama3_1_8b", 1): (14.958, 58.526, 131_072, 479_440, 3.66),
    ("llama3_1_8b", 2): (7.479, 65.304, 65_536, 1_069_936, 8.16),
    ("llama3_1_8b", 4): (3.740, 69.043, 32_768, 2_262_400, 17.26),
    ("qwen3_30b_a3b", 1): (56.871, 15.797, 98_304, 172_544, 4.21),
    ("qwen3_30b_a3b", 2): (28.447, 43.521, 49_152, 950_720, 23.21),
    ("qwen3_30b_a3b", 4): (14.236, 57.732, 24_576, 2_522_368, 61.58),
    ("qwen3_32b", 1): (61.024, 11.741, 262_144, 48_080, 1.17),
    ("qwen3_32b", 2): (30.513, 41.811, 131_072, 342_512, 8.36),
    ("qwen3_32b", 4): (15.257, 57.067, 65_536, 934_976, 22.83),
}


@pytest.mark.parametrize(("name", "num_devices"), GOLDEN)
def test_the_golden_table_of_a100s(name, num_devices):
    found = on_a100(name, num_devices)
    weights, kv_gib, token_bytes, kv_tokens, full = GOLDEN[name, num_devices]
    assert found.fits
    assert found.weights_gib == pytest.approx(weights, abs=0.001)
    assert found.kv_cache_gib == pytest.approx(kv_gib, abs=0.002)
    assert found.cache.token_bytes == token_bytes
    assert found.kv_tokens == pytest.approx(kv_tokens, rel=2e-4)
    assert found.full_length == pytest.approx(full, abs=0.01)


def test_kv_heads_are_copied_where_there_are_more_devices_than_heads():
    """30B-A3B has 4 KV heads: on 8 devices each keeps one, as on 4."""
    bytes_of = {n: on_a100("qwen3_30b_a3b", n).cache.token_bytes for n in (4, 8)}
    assert bytes_of[4] == bytes_of[8] == 48 * 1 * 2 * 128 * 2


def test_fp8_halves_the_kv_cache_of_a_token_and_nothing_else():
    plain, small = on_a100("qwen3_4b", 1), on_a100("qwen3_4b", 1, kv_cache_dtype="fp8")
    assert small.cache.token_bytes * 2 == plain.cache.token_bytes
    assert small.kv_cache_gib == plain.kv_cache_gib


def test_pipeline_stages_divide_layers_and_their_cache():
    found = on_a100("qwen3_32b", 1, extra={"pipeline_parallel_size": 2})
    assert found.limit is Limit.devices
    two = fit(
        model_size("m", preset("qwen3_32b")),
        Engine(extra={"pipeline_parallel_size": 2}),
        named("a100_80gb", 2, NOWHERE),
    )
    assert two.cache.token_bytes == 262_144 / 2
    # 64 layers of 487,335,168 parameters halved, and one of the two ends of 151,936 x 5,120
    assert two.weights_gib == pytest.approx((32 * 487_600_384 + 151_936 * 5120) * 2 / GIB, rel=1e-3)


# Quantised: 8B's linear layers hold 36 x 192,937,984 parameters, less norms 8,448 a layer.
QUANTIZED = [
    ({"quant_method": "fp8"}, 1.0),
    ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 1 + 4 / 16384),
    ({"quant_method": "awq", "bits": 4, "group_size": 128}, (4 + 20 / 128) / 8),
    ({"quant_method": "gptq", "bits": 8, "group_size": 32}, (8 + 24 / 32) / 8),
    (
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"a": {"weights": {"num_bits": 4, "group_size": 128}}},
        },
        (4 + 16 / 128) / 8,
    ),
]


@pytest.mark.parametrize(("said", "bytes_each"), QUANTIZED)
def test_a_quantised_checkpoint_packs_its_linear_layers(said, bytes_each):
    shape = read_shape(preset("qwen3_8b") | {"quantization_config": said})
    weights = count_weights(shape, "bfloat16", None, None)
    linear = 36 * (4096 * 128 * (32 + 16 + 32) + 3 * 4096 * 12288)
    rest = weights.num_parameters - linear
    assert weights.device_bytes() == pytest.approx(linear * bytes_each + rest * 2, rel=1e-6)


def test_gpt_oss_packs_its_experts_alone_and_pads_them():
    """gpt-oss-120b: users' logs say 64.4 and 66.0 GiB (vllm#33155, vllm#23278).

    Experts: 36 layers x 128 x 3 x 2,880 x 3,072 (padded from 2,880) x 4.25 bits = 60.5 GiB;
    attention, embedding and head 4.0 in bf16.
    """
    shape = read_shape(
        {
            "model_type": "gpt_oss", "hidden_size": 2880, "intermediate_size": 2880,
            "num_hidden_layers": 36, "num_attention_heads": 64, "num_key_value_heads": 8,
            "head_dim": 64, "num_local_experts": 128, "num_experts_per_tok": 4,
            "vocab_size": 201_088, "attention_bias": True, "sliding_window": 128,
            "max_position_embeddings": 131_072, "quantization_config": {"quant_method": "mxfp4"},
        }
    )  # fmt: skip
    assert count_weights(shape, "bfloat16", None, None).device_bytes() / GIB == pytest.approx(
        64.5, abs=0.2
    )
    assert sum(layers.num_layers for layers in shape.layers) == 36


NONSENSE = [
    {"num_hidden_layers": -3},
    {"num_key_value_heads": 0},
    {"quantization_config": "awq"},
    {"quantization_config": {"quant_method": "awq", "bits": "x"}},
]


@pytest.mark.parametrize("said", NONSENSE)
def test_what_no_config_says_is_refused(said):
    with pytest.raises(UserError, match="says"):
        read_shape(preset("qwen3_4b") | said)


@pytest.mark.parametrize(
    "extra", [{"pipeline_parallel_size": "abc"}, {"kv_cache_memory_bytes": "4GB"}]
)
def test_an_extra_that_is_no_number_is_refused(extra):
    size = model_size("m", preset("qwen3_4b"))
    with pytest.raises(UserError, match="must be a number"):
        fit(size, Engine(extra=extra), named("a100_80gb", 1, NOWHERE))


def test_quantising_while_loading_counts_too():
    shape = read_shape(preset("qwen3_8b"))
    plain, packed = (count_weights(shape, "bfloat16", q, None) for q in (None, "fp8"))
    assert packed.device_bytes() < 0.6 * plain.device_bytes()


def test_headers_are_read_where_the_files_are_here(tmp_path):
    """A family that is not known tensor by tensor: one device holds what the files hold."""
    header = {"a.weight": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}}
    raw = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(40))
    shape = read_shape(preset("qwen3_4b") | {"model_type": "new_thing"})
    weights = count_weights(shape, "bfloat16", None, tmp_path)
    assert weights.device_bytes() == 20  # saved in 32 bits, loaded in 16
    assert "new_thing" in shape.estimates[0]


# Kinds of attention.


def cache_of(config, *, length=8192, in_flight=2048, block_size=16):
    shape = read_shape(config)
    return kv_cache_of(
        shape, element_bytes=2, block_size=block_size, in_flight_tokens=in_flight
    ), length


def test_mla_keeps_one_latent_vector_a_token_on_every_device():
    """DeepSeek-V3: 61 layers x (512 + 64) x 2 bytes = 70,272 bytes a token, whatever the TP."""
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
    assert weights.num_parameters == pytest.approx(671e9, rel=0.001)  # as its report says
    for devices in (1, 8):
        cache = kv_cache_of(
            shape, element_bytes=2, block_size=64, in_flight_tokens=0, tensor_parallel_size=devices
        )
        assert cache.token_bytes == 61 * 576 * 2


def test_a_sliding_window_holds_no_more_than_its_window_and_what_is_in_flight():
    """Window 1,024, 2,048 tokens in flight: (1,023 + 2,048) / 16 = 192 blocks and one more."""
    mistral = preset("llama3_1_8b") | {"model_type": "mistral", "sliding_window": 1024}
    cache, _ = cache_of(mistral)
    assert cache.blocks_of(100_000) == 193
    assert cache.blocks_of(160) == 11


def test_mixed_layers_form_groups_of_equally_many_layers():
    """Gemma-3-like, 5 sliding and 1 full in each 6 of 48 layers: groups of 8 layers, 5 + 1."""
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


def test_overrides_of_the_config_count():
    size = model_size("m", preset("qwen3_8b"), None, {"max_position_embeddings": 65_536})
    assert size.shape.max_position == 65_536


def test_a_request_needs_one_block_more_than_its_tokens():
    cache, _ = cache_of(preset("llama3_1_8b"))
    assert cache.bytes_of(160) == 11 * cache.block_bytes
    assert cache.longest(11 * cache.block_bytes, 10_000) == 160
    assert cache.longest(cache.block_bytes, 10_000) == 0


# Verdicts.


@pytest.mark.parametrize(
    ("device", "engine", "limit", "words"),
    [
        ("a100_80gb", {"tensor_parallel_size": 2}, Limit.devices, "needs 2 GPUs, and there is 1"),
        ("a100_80gb", {"device": Device.cpu}, Limit.device, "needs a CPU"),
        ("rtx_4090", {}, Limit.context, "262,144 tokens needs 36.0 GiB"),
        ("t4", {"max_model_len": 8192}, Limit.dtype, "engine.dtype=float16"),
        ("h200_141gb", {"max_model_len": 262_145}, Limit.model, "own context of 262,144"),
        ("a100_80gb", {"gpu_memory_utilization": 0.999}, Limit.free, "78.70 of 79.20 are free"),
        ("a100_80gb", {"kv_cache_gib": 100.0}, Limit.free, "KV cache 100.0 GiB are more"),
    ],
)
def test_what_does_not_fit_says_why_with_numbers(device, engine, limit, words):
    size = model_size("m", preset("qwen3_4b"))
    found = fit(size, Engine(**engine), named(device, 1, NOWHERE))
    assert not found.fits
    assert found.limit is limit
    assert words in found.why


def test_weights_alone_can_be_too_much():
    found = fit(model_size("m", preset("qwen3_32b")), Engine(), named("rtx_4090", 1, NOWHERE))
    assert found.limit is Limit.weights
    assert found.why.startswith("weights 61.0 + ")


def test_heads_must_divide_among_devices():
    found = fit(
        model_size("m", preset("smollm2_135m")),
        Engine(tensor_parallel_size=2),
        named("a100_80gb", 2, NOWHERE),
    )
    assert found.limit is Limit.heads
    assert "9 attention heads" in found.why


def test_on_a_cpu_weights_kv_cache_and_the_process_share_the_memory():
    hardware = Hardware("CPU", Device.cpu, 1, 24.0, 20.0, batched_tokens=4096)
    size = model_size("m", preset("qwen3_4b"))
    found = fit(size, Engine(max_model_len=8192), hardware)
    assert found.fits
    assert found.kv_cache_gib == 4.0
    assert found.kv_tokens == 4 * GIB // (32 * 147_456) * 32
    assert fit(size, Engine(kv_cache_gib=15.0), hardware).limit is Limit.free


# Shapes.


def test_every_model_preset_states_its_shape():
    for name in preset_names("model"):
        if name != "custom":
            assert read_shape(preset(name)).is_counted, name


def test_rope_scaling_lengthens_the_context_where_the_config_says_so():
    base = preset("llama3_1_8b")
    linear = base | {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}
    llama3 = base | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}
    assert read_shape(linear).max_position == 2 * 131_072
    assert read_shape(llama3).max_position == 131_072


def test_a_config_without_the_essentials_is_refused():
    with pytest.raises(UserError, match="hidden_size"):
        read_shape({"model_type": "llama"})


def test_devices_have_names_or_sizes():
    assert named("48gib", 2, NOWHERE).memory_gib == 48
    assert named("24gb", 1, NOWHERE).memory_gib == pytest.approx(22.35, abs=0.01)
    assert named("RTX-4090", 1, NOWHERE).label == "RTX 4090 24 GB"
    with pytest.raises(UserError, match="Did you mean a100_80gb"):
        named("a100_80", 1, NOWHERE)
    assert all(kind.memory_gib < 200 for kind in KINDS.values())


@pytest.mark.parametrize("name", MEANT_FOR)
def test_preset_headers_say_what_the_planner_says(name):
    """python -m tests.preset_headers --write puts them right."""
    assert (conf_dir() / "engine" / f"{name}.yaml").read_text() == written(name)
