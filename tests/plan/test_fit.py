"""Whether a model fits: memory on A100s, derived by hand below, and verdicts with numbers."""

import pytest
from planned_models import NOWHERE, preset
from preset_headers import MEANT_FOR, written

from rollout.config.presets import conf_dir, preset_names
from rollout.config.sections.engine import Device, Engine
from rollout.errors import UserError
from rollout.plan.memory.fit import GIB, Limit, Needs, fit, model_size
from rollout.plan.memory.hardware import KINDS, Hardware, named
from rollout.plan.memory.shape import read_shape


def on_a100(name, num_devices, **engine):
    size = model_size(name, preset(name))
    values = {"tensor_parallel_size": num_devices, "gpu_memory_utilization": 0.95}
    hardware = named("a100_80gb", num_devices, NOWHERE)
    return fit(size, Engine(**(values | engine)), hardware, Needs(2560, 1536))


# Weights: parameters x 2 bytes; n devices divide all but norms and routers:
#   qwen3_4b        8,044,936,192 bytes = 7.492 GiB; the rest 3.746 and 1.873
#   qwen3_30b_a3b   61,064,245,248 = 56.871; routers of 48 x 2,048 x 128 x 2 bytes = 24 MiB and
#                   norms are copied: (56.871 - 0.024) / 2 + 0.024 = 28.447
# KV cache of a token: layers x KV heads / devices x 2 x head_dim x 2 bytes:
#   qwen3_4b        36 x 8 x 2 x 128 x 2 = 147,456      llama3_1_8b  32 x 8 x 2 x 128 x 2 = 131,072
#   qwen3_30b_a3b   48 x 4 x 2 x 128 x 2 =  98,304      qwen3_32b    64 x 8 x 2 x 128 x 2 = 262,144
# KV cache: 0.95 x 79.2 = 75.24 GiB, less weights and these allowances:
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
    """30B-A3B has 4 KV heads: each of 8 devices keeps one, as with 4 devices."""
    bytes_of = {n: on_a100("qwen3_30b_a3b", n).cache.token_bytes for n in (4, 8)}
    assert bytes_of[4] == bytes_of[8] == 48 * 1 * 2 * 128 * 2


def test_fp8_halves_the_kv_cache_of_a_token_and_nothing_else():
    plain, small = on_a100("qwen3_4b", 1), on_a100("qwen3_4b", 1, kv_cache_dtype="fp8")
    assert small.cache.token_bytes * 2 == plain.cache.token_bytes
    assert small.kv_cache_gib == plain.kv_cache_gib


def test_pipeline_stages_divide_layers_and_their_cache():
    found = on_a100("qwen3_32b", 1, pipeline_parallel_size=2)
    assert found.limit is Limit.devices
    two = fit(
        model_size("m", preset("qwen3_32b")),
        Engine(pipeline_parallel_size=2),
        named("a100_80gb", 2, NOWHERE),
    )
    assert two.cache.token_bytes == 262_144 / 2
    # half of 64 layers of 487,335,168 parameters, and one of the two ends of 151,936 x 5,120
    assert two.weights_gib == pytest.approx((32 * 487_600_384 + 151_936 * 5120) * 2 / GIB, rel=1e-3)


@pytest.mark.parametrize("extra", [{"block_size": "abc"}, {"kv_cache_memory_bytes": "4GB"}])
def test_an_extra_that_is_no_number_is_refused(extra):
    size = model_size("m", preset("qwen3_4b"))
    with pytest.raises(UserError, match="must be a number"):
        fit(size, Engine(extra=extra), named("a100_80gb", 1, NOWHERE))


# Verdicts.


@pytest.mark.parametrize(
    ("device", "engine", "limit", "words"),
    [
        ("a100_80gb", {"tensor_parallel_size": 2}, Limit.devices, "needs 2 GPUs, found 1"),
        ("a100_80gb", {"device": Device.cpu}, Limit.device, "needs a CPU"),
        ("rtx_4090", {}, Limit.context, "262,144 tokens needs 36.0 GiB"),
        ("t4", {"max_model_len": 8192}, Limit.dtype, "engine.dtype=float16"),
        ("h200_141gb", {"max_model_len": 262_145}, Limit.model, "own context of 262,144"),
        ("a100_80gb", {"gpu_memory_utilization": 0.999}, Limit.free, "78.70 of 79.20 GiB are free"),
        ("a100_80gb", {"kv_cache_gib": 100.0}, Limit.free, "KV cache 100.0 GiB exceed"),
    ],
)
def test_a_misfit_has_a_reason_with_numbers(device, engine, limit, words):
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


def test_overrides_of_the_config_count():
    size = model_size("m", preset("qwen3_8b"), None, {"max_position_embeddings": 65_536})
    assert size.shape.max_position == 65_536


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
def test_preset_headers_agree_with_the_planner(name):
    """To update them: python tests/support/preset_headers.py --write."""
    assert (conf_dir() / "engine" / f"{name}.yaml").read_text() == written(name)
