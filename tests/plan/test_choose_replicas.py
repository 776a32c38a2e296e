"""How many replicas of which size fit, which size is best, and why: scale=ray."""

from dataclasses import replace

import pytest
from planned_models import NOWHERE, preset

from rollout.config.sections.engine import Device, Engine
from rollout.config.sections.scale import Scale, ScaleOut
from rollout.plan.memory.fit import GIB, Needs, model_size
from rollout.plan.memory.hardware import Hardware, named
from rollout.plan.reason import reason
from rollout.plan.replicas import choose_replicas

TYPICAL = Needs(longest=2560, typical=1536)
LLAMA_70B = preset("llama3_1_8b") | {
    "hidden_size": 8192,
    "intermediate_size": 28_672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
}
LLAMA_405B = LLAMA_70B | {
    "hidden_size": 16_384,
    "intermediate_size": 53_248,
    "num_hidden_layers": 126,
    "num_attention_heads": 128,
}


def divided(shape, devices="8 h100_80gb", nodes=1, needs=TYPICAL, num_samples=None, **settings):
    """Return the ways to divide the devices; what is given of the engine or scale stays."""
    number, device = devices.split()
    hardware = replace(named(device, int(number), NOWHERE), num_nodes=nodes)
    shape = preset(shape) if isinstance(shape, str) else shape
    number = settings.pop("num_replicas", "auto")
    scale = ScaleOut(mode=Scale.ray, num_replicas=number)
    engine, given = Engine(**settings), frozenset(settings)
    size = model_size("m", shape)
    return choose_replicas(size, engine, hardware, needs, scale, given, num_samples)


def size_and_number(options):
    best = options[0].engine
    return best.tensor_parallel_size, best.pipeline_parallel_size, options[0].num_replicas


# Best sizes for requests of 1,536 tokens on 8 H100 (0.9 x 79.1 = 71.2 GiB each). Bytes of weights:
#   qwen3_4b 7.5 GiB: TP 1 leaves 61.7 GiB of KV cache, which is 293 requests.
#   qwen3_14b 27.5 GiB: TP 1 leaves 40.7 GiB = 173 requests, TP 2 53.1 GiB = 453.
#   qwen3_32b 61.0 GiB: TP 1 leaves 10.5 GiB = 28 requests, TP 2 198, TP 4 546.
#   70B 131.4 GiB: TP 1 does not hold them, TP 2 leaves 5.7 GiB.
BEST = [
    ("qwen3_0_6b", (1, 1, 8)),
    ("qwen3_4b", (1, 1, 8)),
    ("qwen3_8b", (1, 1, 8)),
    ("qwen3_14b", (2, 1, 4)),
    ("qwen3_32b", (4, 1, 2)),
    (LLAMA_70B, (8, 1, 1)),
]


@pytest.mark.parametrize(("shape", "best"), BEST)
def test_the_smallest_replicas_whose_kv_cache_holds_many_samples_are_best(shape, best):
    options = divided(shape)
    assert size_and_number(options) == best
    assert options[0].fits


def test_totals_are_those_of_all_replicas():
    """71.19 GiB - 7.492 weights - 1.304 - 0.388 - 0.3 (as in test_fit.py) = 61.706 GiB each."""
    best = divided("qwen3_4b")[0]
    each = 61.706 * GIB // (16 * 147_456) * 16
    assert best.kv_tokens == pytest.approx(8 * each, rel=2e-4)
    assert best.num_concurrent == 8 * 256
    assert best.copy_gib == pytest.approx(7.492, abs=0.001)


def test_the_rate_is_samples_for_each_gib_that_a_step_reads():
    """256 samples of 96 blocks of 16 x 147,456 bytes; with TP 2 half of it, and 72 exchanges."""
    one, two = sorted(divided("qwen3_4b"), key=lambda option: option.engine.world_size)[:2]
    cached_gib = 256 * 96 * 16 * 147_456 / GIB
    assert one.rate == pytest.approx(8 * 256 / (7.492 + cached_gib), rel=1e-3)
    sent_gib = 512 * 2560 * 2 / GIB  # 2 x (2 - 1) / 2 of the activations in bfloat16
    exchanges = 72 * (2 / 72 + 7 * sent_gib)
    assert two.rate == pytest.approx(4 * 512 / (3.746 + cached_gib + exchanges), rel=1e-3)


# Why a size is best, in words.


def test_a_model_too_large_for_a_device_is_explained_by_its_weights():
    """70.55 billion parameters x 2 bytes = 131.4 GiB."""
    options = divided(LLAMA_70B)
    by_size = {option.engine.tensor_parallel_size: option for option in options}
    assert not by_size[1].fits and by_size[1].why.startswith("weights 131.4 + ")
    assert options[-1] is by_size[1]
    assert "with TP 4, weights take 32.9 of the 71.2 GiB" in reason(options)


def test_larger_replicas_that_hold_no_more_only_cost_exchanges():
    assert reason(divided("qwen3_4b")) == (
        "TP 1 (8 replicas) holds 2,048 samples at once, and TP 2 (4 replicas) would hold no more, "
        "and exchange data between GPUs twice in each layer"
    )


def test_few_samples_are_answered_soonest_by_one_large_replica():
    options = divided("qwen3_4b", num_samples=8)
    assert size_and_number(options) == (8, 1, 1)
    assert "8 samples do not fill TP 4 (2 replicas)" in reason(options)


def test_a_row_longer_than_a_small_replicas_context_needs_a_larger_one():
    options = divided("qwen3_4b", "4 rtx_4090", needs=Needs(100_000, 8000))
    assert size_and_number(options) == (2, 1, 2)
    assert "the longest row needs 100,000" in reason(options)


def test_a_size_that_was_typed_is_kept():
    options = divided("qwen3_4b", tensor_parallel_size=4)
    assert [size_and_number([option]) for option in options] == [(4, 1, 2)]
    assert reason(options) == "TP 4 is the only size to choose from"


# A number of replicas.


def test_a_number_of_replicas_that_was_typed_gets_the_devices_that_it_can_use():
    options = divided("qwen3_4b", num_replicas=2)
    assert size_and_number(options) == (4, 1, 2)
    assert "TP 2 (2 replicas) would use 4 of 8 devices" in reason(options)


def test_more_replicas_than_there_is_room_for_are_named_with_what_to_type():
    options = divided("qwen3_4b", num_replicas=12)
    assert not any(option.fits for option in options)
    assert "has room for 8 replicas of TP 1; type scale.num_replicas=8, or auto" in reason(options)


# Nodes.


def test_a_tensor_parallel_group_stays_within_a_node():
    options = divided("qwen3_32b", "12 h100_80gb", nodes=2, tensor_parallel_size=4)
    assert options[0].num_replicas == 2  # of the 6 devices of a node, 2 stay idle


def test_stages_that_fit_in_a_node_stay_in_it():
    typed = {"tensor_parallel_size": 1, "pipeline_parallel_size": 3}
    (option,) = divided("qwen3_4b", "16 h100_80gb", nodes=2, **typed)
    assert option.num_replicas == 4  # two in each node of 8, of which 2 devices stay idle


def test_pipeline_stages_are_chosen_only_where_no_node_holds_the_model():
    options = divided(LLAMA_405B, "16 h100_80gb", nodes=2)
    assert size_and_number(options) == (8, 2, 1)
    assert options[0].choice.changed["pipeline_parallel_size"] == 2
    assert "with TP 8, weights 94.5" in reason(options)
    assert size_and_number(divided(LLAMA_70B, "16 h100_80gb", nodes=2)) == (8, 1, 2)


def test_a_group_larger_than_a_node_is_refused_unless_it_may_span_nodes():
    typed = {"tensor_parallel_size": 16}
    (refused,) = divided(LLAMA_405B, "16 h100_80gb", nodes=2, **typed)
    assert not refused.fits
    words = "type engine.tensor_parallel_size=8 engine.pipeline_parallel_size=2, or engine.extra."
    assert words in refused.why
    allowed = typed | {"extra": {"distributed_executor_backend": "ray"}}
    assert divided(LLAMA_405B, "16 h100_80gb", nodes=2, **allowed)[0].fits


# CPUs.


@pytest.mark.parametrize(
    ("num_cpus", "cpus_per_replica", "room", "number"),
    [(2, None, 2, 1), (16, None, 3, 1), (16, 8.0, 2, 2), (16, 1.0, 3, 3)],
)
def test_on_a_cpu_memory_and_cores_limit_the_replicas(num_cpus, cpus_per_replica, room, number):
    """Weights of 1.11 GiB, 1.7 for the process and 4 of KV cache: 3 of them fit in 24 GiB.

    A run with auto starts one that has all cores, unless cpus_per_replica is set.
    """
    hardware = Hardware("CPU", Device.cpu, 1, 32.0, 24.0, batched_tokens=4096, num_cpus=num_cpus)
    scale = ScaleOut(mode=Scale.ray, num_replicas="auto", cpus_per_replica=cpus_per_replica)
    size = model_size("m", preset("qwen3_0_6b"))
    (option,) = choose_replicas(size, Engine(max_model_len=4096), hardware, TYPICAL, scale)
    assert (option.room, option.num_replicas) == (room, number)
    assert "is not known" in reason([option])


def test_a_cpu_without_room_for_a_replica_says_what_one_takes():
    hardware = Hardware("CPU", Device.cpu, 1, 32.0, 24.0, batched_tokens=4096, num_cpus=2)
    scale = ScaleOut(mode=Scale.ray, num_replicas="auto", cpus_per_replica=4.0)
    size = model_size("m", preset("qwen3_0_6b"))
    (option,) = choose_replicas(size, Engine(max_model_len=4096), hardware, TYPICAL, scale)
    assert not option.fits
    assert "lower scale.cpus_per_replica or engine.kv_cache_gib" in option.why
