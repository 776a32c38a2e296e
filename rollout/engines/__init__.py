"""Engines by name. Importing this package loads none of them."""

from rollout.config import Backend
from rollout.engines.base import Engine, EnginePlan


def load_engine(plan: EnginePlan) -> Engine:
    """Start the engine that `plan.engine.backend` names; the caller shuts it down."""
    if plan.engine.backend is Backend.scripted:
        from rollout.engines.scripted import ScriptedEngine

        return ScriptedEngine(plan.sampling, plan.engine)
    from rollout.engines.vllm import VllmEngine

    return VllmEngine(plan)
