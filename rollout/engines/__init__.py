"""Requests in, finished rows out, even if engines die. Importing this package loads no engine."""

from rollout.config.sections.engine import Backend, Device
from rollout.config.sections.engine import Engine as Settings
from rollout.config.sections.model import Model
from rollout.config.sections.sampling import Sampling
from rollout.config.sections.scale import Scale, ScaleOut
from rollout.engines.base import Engine, EnginePlan
from rollout.engines.log_watch import LogReader
from rollout.rows.reasoning import Splitter
from rollout.system import machine
from rollout.system.machine import Machine


def load_engine(plan: EnginePlan) -> Engine:
    """Start the engine that `plan.engine.backend` names; the caller shuts it down."""
    if plan.engine.backend is Backend.scripted:
        from rollout.engines.scripted import ScriptedEngine

        return ScriptedEngine(plan.engine)
    from rollout.engines.vllm.engine import VllmEngine

    return VllmEngine(plan)


def log_reader(plan: EnginePlan) -> LogReader | None:
    """Return how to read the log of the plan's engines; None: they write nothing of interest."""
    if plan.engine.backend is Backend.scripted:
        return None
    from rollout.engines.vllm import log

    return LogReader("vllm", log.FIRST_PHASE, log.phase_of, log.complaint_of)


def look(scale: ScaleOut) -> Machine:
    """Return the machine that engines run on: this one, or the nodes of a Ray cluster elsewhere.

    Connects to that cluster. Raises UserError if it does not answer.
    """
    if scale.mode is Scale.ray:
        from rollout.engines.ray import cluster

        if cluster.address_of(scale):
            return cluster.Cluster(scale).machine()
    return machine.look()


def refuse_too_many(scale: ScaleOut, engine: Settings, device: Device, here: Machine) -> None:
    """Raise UserError if Ray is started here and this machine can't hold the replicas.

    A cluster elsewhere may grow.
    """
    if scale.mode is Scale.local:
        return
    from rollout.engines import placement
    from rollout.engines.ray.cluster import address_of

    if address_of(scale):
        return
    num_gpus = len(here.gpus)
    cpus = scale.cpus_per_replica  # null: the cores are divided, at least one for each
    bundles, _ = placement.bundles_of(engine, device, cpus, scale.resources, num_gpus)
    has = {"CPU": float(here.num_cpus), "GPU": float(num_gpus)}
    placement.refuse_too_many(scale.num_replicas, bundles, has)


def check_sampling(plan: EnginePlan, sampling: Sampling) -> None:
    """Refuse sampling settings that this kind of engine does not accept, before one is loaded.

    Imports the engine's library, so call it only when an engine is about to be loaded. Raises
    UserError.
    """
    if plan.engine.backend is Backend.vllm:
        from rollout.engines.vllm import sampling as vllm

        vllm.check_sampling(plan, sampling)


def reasoning_splitter(name: str, model_path: str, model: Model) -> Splitter:
    """Return vLLM's reasoning parser of that name. Imports vLLM, but loads only the tokenizer.

    Raises UserError if there is no such parser, or it does not fit the model.
    """
    from rollout.engines.vllm import reasoning

    return reasoning.reasoning_splitter(name, model_path, model)
