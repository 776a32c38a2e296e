"""The settings lowered when memory runs out: in order, each rung smaller, down to a floor."""

import pytest
import yaml

from rollout.config.presets import conf_dir
from rollout.config.sections.engine import Device, Engine
from rollout.engines.memory_faults import MemoryFault, OomKind
from rollout.plan.ladder import LEAST_SEQS, Ladder
from rollout.plan.memory.fit import Needs, model_size
from rollout.plan.memory.hardware import Hardware

GPU = Hardware("A100", Device.cuda, 1, 79.2, 78.7)
CPU = Hardware("CPU", Device.cpu, 1, 16.0, 12.0, batched_tokens=4096)
SHAPE = yaml.safe_load((conf_dir() / "model" / "qwen3_4b.yaml").read_text())["shape"]
SIZE = model_size("m", SHAPE)


def descent(hardware, kind, engine=None, needs=None, **numbers):
    """Return every rung from `engine` to the floor, and the last engine."""
    engine, rungs = engine or Engine(), []
    ladder = Ladder(SIZE, hardware, needs or Needs(4096, 2048))
    while rung := ladder.next(engine, MemoryFault(kind, numbers, "")):
        engine = rung.engine
        rungs.append(rung)
        assert len(rungs) < 40, "it must end"
    return rungs, engine


@pytest.mark.parametrize("hardware", [GPU, CPU])
@pytest.mark.parametrize("kind", list(OomKind))
def test_every_descent_ends_and_never_cuts_into_the_data(hardware, kind):
    rungs, last = descent(hardware, kind)
    assert last.max_num_seqs >= LEAST_SEQS
    assert last.max_model_len is None or last.max_model_len >= 4096
    assert all(rung.changed for rung in rungs)


def test_a_full_gpu_is_asked_for_less():
    rungs, _ = descent(GPU, OomKind.no_free_memory, free_gib=39.6, total_gib=79.2)
    assert [str(rung) for rung in rungs] == ["engine.gpu_memory_utilization=0.48"]


def test_a_kv_cache_that_is_too_small_first_gets_more_then_the_context_less():
    rungs, _ = descent(GPU, OomKind.kv_cache_too_small, estimated_max_model_len=100_100)
    assert [r.changed for r in rungs[:3]] == [
        {"gpu_memory_utilization": 0.95},
        {"max_model_len": 100_096},
        {"max_model_len": 4096},
    ]


def test_a_context_is_not_shortened_for_data_that_were_not_counted():
    needs = Needs(2560, 1536, is_estimate=True)
    rungs, _ = descent(
        GPU, OomKind.kv_cache_too_small, needs=needs, estimated_max_model_len=100_000
    )
    assert not any("max_model_len" in rung.changed for rung in rungs)


def test_the_profile_run_gets_smaller_steps_then_fewer_samples_then_no_graphs():
    rungs, last = descent(GPU, OomKind.profile, Engine(max_num_seqs=32))
    assert [next(iter(r.changed.items())) for r in rungs] == [
        ("max_num_batched_tokens", 4096), ("max_num_batched_tokens", 2048),
        ("max_num_batched_tokens", 1024), ("max_num_seqs", 16), ("max_num_seqs", 8),
        ("enforce_eager", True),
    ]  # fmt: skip
    assert last.gpu_memory_utilization == Engine().gpu_memory_utilization


def test_graphs_get_more_room_and_are_then_disabled():
    rungs, last = descent(GPU, OomKind.graphs)
    assert rungs[0].changed == {"gpu_memory_utilization": 0.85}
    assert last.gpu_memory_utilization == 0.5
    assert last.enforce_eager


def test_weights_that_do_not_fit_a_gpu_have_no_rung():
    assert descent(GPU, OomKind.weights)[0] == []


def test_on_a_cpu_the_kv_cache_is_halved_down_to_one_request():
    """4,096 tokens of 144 KiB plus one block: 0.567 GiB, and 2 % to spare."""
    rungs, last = descent(CPU, OomKind.killed, Engine(max_num_seqs=8))
    assert [r.changed["kv_cache_gib"] for r in rungs[:2]] == [1.5, 0.75]
    assert last.kv_cache_gib == pytest.approx(0.567 * 1.02, rel=0.01)
    assert last.max_model_len >= 4096


def test_on_a_cpu_a_cache_too_small_grows_where_there_is_memory():
    engine = Engine(kv_cache_gib=0.5, max_model_len=8192)
    rungs, _ = descent(CPU, OomKind.kv_cache_too_small, engine, needed_gib=1.13)
    assert rungs[0].changed["kv_cache_gib"] > 1.13


def test_the_kv_caches_dtype_is_changed_last_and_only_where_allowed():
    kept, _ = descent(GPU, OomKind.running)
    assert not any("kv_cache_dtype" in rung.changed for rung in kept)
    allowed, last = descent(GPU, OomKind.running, Engine(on_oom_kv_cache_dtype="fp8"))
    assert allowed[-1].changed == {"kv_cache_dtype": "fp8"}
    assert last.kv_cache_dtype == "fp8"


def test_without_a_model_only_the_number_of_samples_is_lowered():
    rung = Ladder(None, CPU, Needs()).next(Engine(), MemoryFault(OomKind.host, {}, ""))
    assert rung.changed == {"max_num_seqs": 128}
