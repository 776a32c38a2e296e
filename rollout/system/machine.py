"""Read this machine's devices and memory. Imports neither CUDA nor vLLM."""

import contextlib
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Gpu:
    name: str
    memory_gib: float  # as CUDA reports it, without the driver's reserve
    free: float | None = None  # GiB free now; None: unknown
    capability: float = 8.0  # CUDA's compute capability

    @property
    def free_gib(self) -> float:
        return self.memory_gib if self.free is None else self.free


@dataclass(frozen=True, slots=True)
class Machine:
    gpus: tuple[Gpu, ...]
    num_cpus: int
    memory_gib: float
    available_gib: float
    load_average: float = 0.0  # runnable processes, averaged over the last minute
    num_nodes: int = 1  # of a cluster; `gpus` are those of all nodes then

    def __str__(self) -> str:
        if self.gpus:
            kinds = Counter(f"{gpu.name} ({gpu.memory_gib:.0f} GiB)" for gpu in self.gpus)
            return ", ".join(f"{number} x {kind}" for kind, number in kinds.items())
        return f"no CUDA GPU ({self.num_cpus} CPU cores, {self.memory_gib:.0f} GiB of memory)"


def look() -> Machine:
    """Read the devices this process may use, as CUDA_VISIBLE_DEVICES allows."""
    import psutil

    memory = psutil.virtual_memory()
    limit, left = _memory_limits()
    return Machine(
        gpus=_visible(_gpus()),
        num_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        memory_gib=min(memory.total, limit) / 2**30,
        available_gib=min(memory.available, left) / 2**30,
        load_average=psutil.getloadavg()[0],
    )


def _gpus() -> list[Gpu]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver: no NVIDIA GPU
        return []
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [_gpu(handle) for handle in handles]
    finally:
        pynvml.nvmlShutdown()


def _gpu(handle: Any) -> Gpu:
    """Read a GPU by its NVML handle; its memory excludes the driver's reserve."""
    import pynvml

    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
        reserved = memory.reserved
    except (pynvml.NVMLError, AttributeError, TypeError):  # an older driver
        memory, reserved = pynvml.nvmlDeviceGetMemoryInfo(handle), 0
    try:
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    except pynvml.NVMLError:
        major, minor = 8, 0
    total = (memory.total - reserved) / 2**30
    return Gpu(pynvml.nvmlDeviceGetName(handle), total, memory.free / 2**30, major + minor / 10)


def _visible(gpus: list[Gpu]) -> tuple[Gpu, ...]:
    """Return the GPUs this process may use; one listed by UUID is assumed to equal the first."""
    named = visible_devices(len(gpus))
    return tuple(gpus[device if isinstance(device, int) else 0] for device in named)


def visible_devices(num_gpus: int) -> list[int | str]:
    """Return the indexes or UUIDs of the GPUs in CUDA_VISIBLE_DEVICES, in CUDA's order.

    CUDA stops reading at the first invalid entry.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return list(range(num_gpus))
    visible: list[int | str] = []
    for entry in filter(None, (part.strip() for part in listed.split(","))):
        if entry.isdecimal():
            if int(entry) >= num_gpus:
                break
            visible.append(int(entry))
        elif entry.startswith(("GPU-", "MIG-")) and num_gpus:
            visible.append(entry)
        else:
            break
    return visible


def _memory_limits() -> tuple[float, float]:
    """Return the bytes a container or `ulimit -v` allows, and those left; inf if unlimited."""
    limit = left = float("inf")
    for folder, most, used in (
        ("/sys/fs/cgroup", "memory.max", "memory.current"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        allowed, taken = _number(Path(folder, most)), _number(Path(folder, used))
        if allowed and taken is not None and allowed < 1 << 60:
            # Cached files count as used, but are dropped when memory is needed.
            cached = _number(Path(folder, "memory.stat"), "inactive_file") or 0
            limit, left = min(limit, allowed), min(left, allowed - taken + cached)
    if sys.platform == "linux":
        import resource

        import psutil

        allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
        if allowed != resource.RLIM_INFINITY:
            limit = min(limit, allowed)
            left = min(left, allowed - psutil.Process().memory_info().vms)
    return limit, max(0.0, left)


def num_oom_kills() -> int:
    """Return the number of OOM kills since the kernel started; 0 if unknown."""
    return _number(Path("/proc/vmstat"), "oom_kill") or 0


def boot_id() -> str:
    """Return an id that differs for each boot of the machine; empty if unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _number(file: Path, name: str | None = None) -> int | None:
    """Return the number in a file, or the one after the word `name`; None if there is none."""
    try:
        words = file.read_text().split()
        return int(words[words.index(name) + 1] if name else words[0])
    except (OSError, ValueError, IndexError):
        return None


def resident_gib() -> float:
    """Return the GiB of memory that this process and its descendants hold."""
    import psutil

    this = psutil.Process()
    num_bytes = 0
    for process in (this, *this.children(recursive=True)):
        with contextlib.suppress(psutil.Error):  # it has ended in the meantime
            num_bytes += process.memory_info().rss
    return num_bytes / 2**30
