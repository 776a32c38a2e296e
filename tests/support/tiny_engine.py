"""A vLLM engine on the CPU, with a tiny model."""

from rollout.config.sections.engine import Device, Engine
from rollout.config.sections.model import Model
from rollout.engines import load_engine
from rollout.engines.base import EnginePlan


def tiny_engine(model_dir, log_dir):
    """Yield the loaded engine, then shut it down: the body of a fixture."""
    plan = EnginePlan(
        model=Model(model_path=str(model_dir)),
        model_path=str(model_dir),
        revision=None,
        engine=Engine(max_num_seqs=16, kv_cache_gib=0.25),
        device=Device.cpu,
        available_gib=8.0,
        log_file=log_dir / "engine.log",
    )
    engine = load_engine(plan)
    yield engine
    engine.shutdown()
