"""The arguments that vLLM gets for an engine's settings. Needs no vLLM."""

from pathlib import Path

from rollout.config.sections.engine import Device, Engine
from rollout.config.sections.model import Model
from rollout.engines.base import EnginePlan
from rollout.engines.vllm.arguments import engine_arguments


def arguments(**engine):
    plan = EnginePlan(Model(), "m", None, Engine(**engine), Device.cuda, 8.0, Path("engine.log"))
    return engine_arguments(plan)


def test_vllm_gets_both_parallel_sizes():
    found = arguments(tensor_parallel_size=8, pipeline_parallel_size=2)
    assert (found["tensor_parallel_size"], found["pipeline_parallel_size"]) == (8, 2)


def test_extra_arguments_come_last_and_win():
    found = arguments(extra={"distributed_executor_backend": "ray", "seed": 7})
    assert (found["distributed_executor_backend"], found["seed"]) == ("ray", 7)
