"""The planner against real vLLM: planned figures equal those of the loaded engine."""

import json
import re

import pytest
from attention_models import make_model

from rollout.config.sections.engine import Device, Engine
from rollout.config.sections.model import Model
from rollout.engines import load_engine
from rollout.engines.base import EnginePlan
from rollout.plan.memory.fit import Needs, fit, model_size
from rollout.plan.memory.hardware import Hardware

pytestmark = pytest.mark.vllm
CPU = Hardware("CPU", Device.cpu, 1, 16.0, 12.0, batched_tokens=4096)
KINDS = ("gqa", "mha", "mla_q_lora", "sliding", "hybrid_sliding")  # benchmarks/planner.py has 16
KV_CACHES_MIB = (4, 17, 64)


def plan_for(model, log_file, **engine):
    return EnginePlan(
        model=Model(model_path=str(model)),
        model_path=str(model),
        revision=None,
        engine=Engine(**engine),
        device=Device.cpu,
        available_gib=12.0,
        log_file=log_file,
    )


@pytest.fixture
def held(monkeypatch):
    """Bytes of the parameters, before the CPU backend repacks them."""
    from vllm.model_executor.model_loader import base_loader

    found = []
    process = base_loader.process_weights_after_loading

    def weigh(model, *arguments, **options):
        found.append(sum(p.numel() * p.element_size() for p in model.parameters()))
        return process(model, *arguments, **options)

    monkeypatch.setattr(base_loader, "process_weights_after_loading", weigh)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_kv_tokens_and_weights_are_what_vllm_then_has(kind, tmp_path, held):
    model = make_model(kind, tmp_path / kind)
    size = model_size(kind, json.loads((model / "config.json").read_text()), model)
    for mib in KV_CACHES_MIB:
        settings = {"max_num_seqs": 16, "max_model_len": 512, "kv_cache_gib": mib / 1024}
        planned = fit(size, Engine(**settings), CPU, Needs())
        log = tmp_path / f"{mib}.log"
        engine = load_engine(plan_for(model, log, **settings))
        engine.shutdown()
        held_tokens = engine.facts.details["kv_cache_tokens"]
        logged = re.findall(r"KV cache size: ([\d,]+) tokens", log.read_text())
        assert set(logged) <= {f"{held_tokens:,}"}  # a process logs each number once
        assert planned.fits
        assert planned.kv_tokens == pytest.approx(held_tokens, rel=0.02)
        assert planned.weights_gib * 2**30 == pytest.approx(held[-1], rel=0.01)


def test_the_smallest_kv_cache_that_fits_is_known_to_the_byte(tmp_path):
    """One block less than one full-length request and the unused block is refused."""
    from rollout.errors import UserError

    model = make_model("gqa", tmp_path / "gqa")
    size = model_size("gqa", json.loads((model / "config.json").read_text()), model)
    settings = {"max_num_seqs": 16, "max_model_len": 512}
    enough = fit(size, Engine(**settings), CPU).cache.bytes_of(512)
    load_engine(
        plan_for(model, tmp_path / "a.log", kv_cache_gib=enough / 2**30, **settings)
    ).shutdown()
    with pytest.raises(UserError) as refused:
        load_engine(
            plan_for(model, tmp_path / "b.log", kv_cache_gib=(enough - 4096) / 2**30, **settings)
        )
    assert refused.value.fault.kind == "kv_cache_too_small"
