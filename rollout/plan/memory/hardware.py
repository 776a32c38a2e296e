"""The devices to plan for: those of this machine, or a kind known by name.

Owns the table of GPU kinds. Memory is the total that the CUDA runtime reports (cudaMemGetInfo),
the base of gpu_memory_utilization; it is less than the label and than nvidia-smi's figure. Must
not know models or presets.
"""

import re
from dataclasses import dataclass, replace

from rollout.config.sections.engine import Device
from rollout.errors import UserError, did_you_mean
from rollout.system.machine import Machine


@dataclass(frozen=True, slots=True)
class Hardware:
    """Devices of one kind."""

    label: str
    device: Device  # cpu or cuda
    num_devices: int  # 1 for a CPU
    memory_gib: float  # of one device, or of the host
    free_gib: float  # of the fullest device, now
    capability: float = 8.0  # CUDA's compute capability
    batched_tokens: int = 8192  # vLLM's default of tokens per step
    num_nodes: int = 1  # machines that the devices are in, as many in each
    num_cpus: int = 0  # cores of a node; 0: unknown

    @property
    def devices_per_node(self) -> int:
        return self.num_devices // self.num_nodes

    @property
    def has_bfloat16(self) -> bool:
        return self.device is Device.cpu or self.capability >= 8.0

    @property
    def has_fp8(self) -> bool:
        """Whether weights and KV cache can be fp8 (compute capability 8.9 and later)."""
        return self.device is Device.cuda and self.capability >= 8.9

    def __str__(self) -> str:
        number = f"{self.num_devices} x " if self.device is Device.cuda else ""
        nodes = f" on {self.num_nodes} nodes" if self.num_nodes > 1 else ""
        return f"{number}{self.label} ({self.memory_gib:.1f} GiB){nodes}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of GPU."""

    label: str
    memory_gib: float
    capability: float  # CUDA's compute capability


# GiB as in "total capacity" and "Free memory on device (x/y GiB)" of vLLM's issue threads.
KINDS = {
    "a100_40gb": Kind("A100 40 GB", 39.4, 8.0),
    "a100_80gb": Kind("A100 80 GB", 79.2, 8.0),
    "h100_80gb": Kind("H100 80 GB", 79.1, 9.0),
    "h100_nvl": Kind("H100 NVL 94 GB", 93.0, 9.0),
    "h20_96gb": Kind("H20 96 GB", 95.0, 9.0),
    "h200_141gb": Kind("H200 141 GB", 139.8, 9.0),
    "b200_180gb": Kind("B200 180 GB", 178.3, 10.0),
    "rtx_pro_6000": Kind("RTX PRO 6000 96 GB", 95.0, 12.0),
    "a6000": Kind("RTX A6000 48 GB", 47.5, 8.6),
    "l40s": Kind("L40S 48 GB", 44.4, 8.9),
    "l4": Kind("L4 24 GB", 22.0, 8.9),
    "a10": Kind("A10 24 GB", 22.0, 8.6),
    "rtx_3090": Kind("RTX 3090 24 GB", 23.6, 8.6),
    "rtx_4090": Kind("RTX 4090 24 GB", 23.5, 8.9),
    "rtx_5090": Kind("RTX 5090 32 GB", 31.3, 12.0),
    "t4": Kind("T4 16 GB", 14.6, 7.5),
    "v100_16gb": Kind("V100 16 GB", 15.8, 7.0),
    "v100_32gb": Kind("V100 32 GB", 31.7, 7.0),
}
IDLE_GIB = 0.5  # in use on an idle GPU


def named(name: str, num_devices: int, machine: Machine) -> Hardware:
    """Return idle devices of the kind `name` (see KINDS), or `cpu` for this machine's.

    Raises UserError for an unknown name.
    """
    name = name.lower().replace("-", "_")
    if name == "cpu":
        if num_devices > 1:
            raise UserError(
                f"num_devices={num_devices}: a CPU counts as one device; leave num_devices out"
            )
        return cpu_of(machine)
    kind = KINDS.get(name)
    if kind is None:
        memory_gib = _memory_of(name)
        kind = Kind(f"GPU with {memory_gib:.3g} GiB", memory_gib, 8.9)
    return _gpus(kind, num_devices, kind.memory_gib - IDLE_GIB)


def _gpus(kind: Kind, num_devices: int, free_gib: float) -> Hardware:
    return Hardware(
        kind.label,
        Device.cuda,
        num_devices,
        kind.memory_gib,
        free_gib,
        kind.capability,
        _batched_tokens(kind),
    )


def _memory_of(name: str) -> float:
    """Return the GiB of a device named by its memory: `48gib`, or `48gb`, which is 44.7 GiB.

    Raises UserError for another name.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(gib|gb)", name)
    if match and float(match[1]) >= 1:
        return float(match[1]) * (1 if match[2] == "gib" else 1e9 / 2**30)
    like = [known for known in KINDS if name in known]
    hint = f" Did you mean {' or '.join(like)}?" if like else did_you_mean(name, [*KINDS, "cpu"])
    raise UserError(
        f"device={name} is unknown.{hint} Choose from: {', '.join([*KINDS, 'cpu'])}; for another "
        "GPU type its memory: device=48gib"
    )


def found(machine: Machine, device: Device) -> Hardware:
    """Return the devices of this machine that an engine on `device` uses."""
    if device is Device.cpu or not machine.gpus:
        return cpu_of(machine)
    smallest = min(machine.gpus, key=lambda gpu: gpu.memory_gib)
    kind = Kind(smallest.name, smallest.memory_gib, smallest.capability)
    free_gib = min(gpu.free_gib for gpu in machine.gpus)
    return replace(_gpus(kind, len(machine.gpus), free_gib), num_nodes=machine.num_nodes)


def cpu_of(machine: Machine) -> Hardware:
    return Hardware(
        f"CPU, {machine.num_cpus} cores",
        Device.cpu,
        1,
        machine.memory_gib,
        machine.available_gib,
        batched_tokens=4096,
        num_cpus=machine.num_cpus,
        num_nodes=machine.num_nodes,
    )


def _batched_tokens(kind: Kind) -> int:
    """Return vLLM's default for offline use (vllm/engine/arg_utils.py, get_batch_defaults)."""
    is_a100 = "a100" in kind.label.lower()
    return 16384 if kind.memory_gib >= (160 if is_a100 else 70) else 8192
