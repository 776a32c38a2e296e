"""Read what a run's devices are doing now: memory, utilization, power and energy, through NVML.

Nothing here raises: what NVML can't tell is None. NVML is started at the first reading and stays
open, because starting it takes a second where there are many GPUs.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rollout.system.machine import resident_gib, visible_devices

READING_S = 2.0  # between two readings of a meter, which take milliseconds


@dataclass(frozen=True, slots=True)
class Usage:
    """What the devices of a run do now, named as in EngineStats; None: unknown."""

    memory_gib: float | None = None
    gpu_utilization: float | None = None
    power_w: float | None = None
    energy_j: float | None = None


class Meter:
    """Tells the usage often, and reads it every READING_S."""

    def __init__(self) -> None:
        self._read_at, self._last = float("-inf"), Usage()

    def usage(self, num_gpus: int, fresh: bool = False) -> Usage:
        """Return the last reading; a new one if it is old, or has to be `fresh`."""
        now = time.monotonic()
        if fresh or now - self._read_at >= READING_S:
            self._read_at, self._last = now, usage(num_gpus)
        return self._last


def usage(num_gpus: int) -> Usage:
    """Return the usage of a run on the first `num_gpus` visible GPUs; 0: on the CPU.

    On GPUs, by any process: the memory in use on the fullest one; the share of the last sample
    period (a sixth of a second to a second) in which a kernel ran, on average over the GPUs; the
    sum of their power draws, and of the energy they used since their driver was loaded. A sum is
    None unless every GPU tells its part. Slices of a GPU (MIG) tell only their memory.

    On a CPU: the resident memory of this process and its descendants, which counts shared pages
    once for each process.
    """
    return _of_gpus(num_gpus) if num_gpus else Usage(memory_gib=resident_gib())


def _of_gpus(num_gpus: int) -> Usage:
    import pynvml

    try:
        handles = _handles(num_gpus)
        used = [pynvml.nvmlDeviceGetMemoryInfo(handle).used for handle in handles]
    except pynvml.NVMLError:  # no driver, no permission, or memory shared with the CPU
        handles, used = [], []
    if len(handles) < num_gpus:  # the others are on other nodes
        return Usage(max(used) / 2**30 if used else None)
    busy = _sum(lambda handle: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu, handles)
    milliwatts = _sum(pynvml.nvmlDeviceGetPowerUsage, handles)
    millijoules = _sum(pynvml.nvmlDeviceGetTotalEnergyConsumption, handles)
    return Usage(
        memory_gib=max(used) / 2**30,
        gpu_utilization=None if busy is None else busy / 100 / num_gpus,
        power_w=None if milliwatts is None else milliwatts / 1000,
        energy_j=None if millijoules is None else millijoules / 1000,
    )


def _handles(num_gpus: int) -> list[Any]:
    """Return NVML's handles of the first `num_gpus` visible GPUs. Raises NVMLError."""
    import pynvml

    try:
        num_found = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError_Uninitialized:
        pynvml.nvmlInit()
        num_found = pynvml.nvmlDeviceGetCount()
    return [
        pynvml.nvmlDeviceGetHandleByIndex(device)
        if isinstance(device, int)
        else pynvml.nvmlDeviceGetHandleByUUID(device)
        for device in visible_devices(num_found)[:num_gpus]
    ]


def _sum(read: Callable[[Any], int], handles: list[Any]) -> int | None:
    """Return the sum over all handles; None if one of them can't tell."""
    import pynvml

    try:
        return sum(map(read, handles))
    except pynvml.NVMLError:  # not supported, or no permission
        return None
