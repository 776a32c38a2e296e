"""Engines by name. Importing this package loads none of them."""

from rollout.config import Backend, Sampling
from rollout.engines.base import Engine, EnginePlan


def load_engine(plan: EnginePlan) -> Engine:
    """Start the engine that `plan.engine.backend` names; the caller shuts it down."""
    if plan.engine.backend is Backend.scripted:
        from rollout.engines.scripted import ScriptedEngine

        return ScriptedEngine(plan.engine)
    from rollout.engines.vllm import VllmEngine

    return VllmEngine(plan)


def check_sampling(plan: EnginePlan, sampling: Sampling) -> None:
    """Refuse sampling settings that no engine of this kind takes, before one is loaded.

    Imports the engine's library, so it belongs where an engine is about to be loaded. Raises
    UserError.
    """
    if plan.engine.backend is Backend.vllm:
        from rollout.engines import vllm

        vllm.check_sampling(plan, sampling)
