"""Does a model fit an engine preset on given devices: weights, allowances, KV cache, limits.

Owns the sum. A GPU's share is `gpu_memory_utilization` of its memory (vllm/v1/worker/utils.py,
request_memory); of it weights, activations and CUDA graphs are taken, and the rest is KV cache
(gpu_worker.py, determine_available_memory). Weights and KV bytes are counted; what activations,
graphs and CUDA itself take is an allowance, an estimate. Must not know presets' names or runs.
"""

import os
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from pathlib import Path
from typing import Any

from rollout.config.sections.engine import Device, Engine
from rollout.engines.base import CPU_BLOCK_SIZE, cpu_kv_cache_gib
from rollout.errors import UserError
from rollout.plan.memory.allowances import Allowance, allowances
from rollout.plan.memory.hardware import Hardware
from rollout.plan.memory.kv_cache import KVCache, kv_cache_of
from rollout.plan.memory.shape import Attention, Shape, dtype_bytes, read_shape
from rollout.plan.memory.weights import KNOWN_METHODS, ONLINE_BITS, Weights, count_weights

GIB = 2**30
GPU_BLOCK_SIZE, MLA_BLOCK_SIZE_GPU, MLA_BLOCK_SIZE_CPU = 16, 64, 16
STEPS_IN_FLIGHT = 2  # vLLM schedules the next step while one runs, on GPUs


class Limit(Enum):
    """What keeps an engine from more samples side by side, or from starting at all."""

    none = "max_num_seqs"  # memory would allow more
    kv_cache = "KV cache"
    context = "KV cache for one full-length request"
    model = "the model's context"
    weights = "weights"
    free = "free memory"
    devices = "number of devices"
    heads = "tensor_parallel_size"
    dtype = "dtype"
    device = "device"


@dataclass(frozen=True, slots=True)
class ModelSize:
    """A model that can be planned for."""

    name: str
    shape: Shape
    checkpoint: Path | None  # its directory, where the files are here

    _counted: dict[Any, Weights] = field(default_factory=dict, repr=False, compare=False)

    def weights(self, engine: Engine) -> Weights:
        """Its weights with these settings; counted once for many tries."""
        key = engine.dtype, engine.quantization
        if key not in self._counted:
            self._counted[key] = count_weights(self.shape, *key, self.checkpoint)
        return self._counted[key]

    def context(self, engine: Engine) -> int:
        """Tokens of the longest sequence that an engine takes: as set, or the model's own."""
        return engine.max_model_len or self.shape.max_position

    def is_certain(self, engine: Engine) -> bool:
        """Whether its weights are counted, not guessed: its family is known, or its files are."""
        weights = self.weights(engine)
        is_known = weights.quantization in (None, *KNOWN_METHODS, *ONLINE_BITS)
        return weights.saved_bytes is not None or (self.shape.is_counted and is_known)


@dataclass(frozen=True, slots=True)
class Needs:
    """What the data ask of an engine, in tokens; None where they were not counted."""

    longest: int | None = None  # the longest prompt with its response
    typical: int | None = None  # a mean prompt with half of its longest response
    is_estimate: bool = False  # whether they are assumed


@dataclass(frozen=True, slots=True)
class Fit:
    """What an engine would hold; GiB per device."""

    engine: Engine
    hardware: Hardware
    fits: bool
    limit: Limit
    why: str  # one clause with the numbers; "" where it fits
    weights_gib: float
    allowance: Allowance
    budget_gib: float  # what the engine may take of a device
    kv_cache_gib: float
    max_model_len: int
    kv_tokens: int  # as vLLM logs it
    full_length: float  # requests of max_model_len side by side
    typical: float | None  # requests of the data's typical length side by side
    longest_context: int  # the longest single request that fits
    cache: KVCache | None

    @property
    def num_side_by_side(self) -> float:
        """Samples decoded at once: what memory allows, at most max_num_seqs."""
        allowed = self.full_length if self.typical is None else self.typical
        return min(self.engine.max_num_seqs, allowed)


def model_size(
    name: str,
    config: dict[str, Any],
    checkpoint: Path | None = None,
    overrides: dict[str, Any] | None = None,
) -> ModelSize:
    """A model by its config.json, with vLLM's `hf_overrides`.

    Raises UserError where that does not say enough.
    """
    if isinstance(overrides, dict) and overrides:
        config = config | overrides
        if isinstance(inner := config.get("text_config"), dict):
            config["text_config"] = inner | overrides
    return ModelSize(name, read_shape(config), checkpoint)


def fit(
    model: ModelSize, engine: Engine, hardware: Hardware, needs: Needs = Needs(), scale: float = 1.0
) -> Fit:
    """Count what `engine` would hold of `model` on each of `hardware`'s devices.

    `scale` weighs the allowances: below 1 for a verdict that must not refuse what may work.
    """
    shape, tp, pp = model.shape, engine.tensor_parallel_size, pipeline_parallel_size(engine)
    weights = model.weights(engine)
    max_len = model.context(engine)
    weights_gib = weights.device_bytes(tp, pp) / GIB
    weights_gib -= min(weights_gib, _extra(engine, "cpu_offload_gb"))
    tokens = batched_tokens(engine, hardware, max_len)
    allowance = allowances(shape, engine, hardware, tokens, scale)
    in_flight = tokens * (STEPS_IN_FLIGHT if hardware.device is Device.cuda else 1)
    cache = kv_cache_of(
        shape,
        element_bytes=kv_element_bytes(engine, shape),
        block_size=block_size(engine, hardware, shape),
        in_flight_tokens=in_flight,
        tensor_parallel_size=tp,
        pipeline_parallel_size=pp,
    )
    budget, kv_gib = _budget(engine, hardware, weights_gib, allowance)
    kv_bytes = max(0.0, kv_gib) * GIB
    longest = cache.longest(kv_bytes, shape.max_position) if cache else shape.max_position
    typical = None
    if needs.typical is not None:
        length = min(needs.typical, max_len)
        typical = cache.concurrency(kv_bytes, length) if cache else inf
    full = cache.concurrency(kv_bytes, max_len) if cache else inf
    limit, why = _verdict(model, engine, hardware, budget, weights_gib, allowance, kv_gib, cache)
    fits = not why
    if fits:
        allowed = full if typical is None else typical
        limit = Limit.kv_cache if allowed < engine.max_num_seqs else Limit.none
    return Fit(
        engine=engine,
        hardware=hardware,
        fits=fits,
        limit=limit,
        why=why,
        weights_gib=weights_gib,
        allowance=allowance,
        budget_gib=budget,
        kv_cache_gib=kv_gib,
        max_model_len=max_len,
        kv_tokens=cache.num_tokens(kv_bytes, max_len) if cache else 0,
        full_length=full,
        typical=typical,
        longest_context=longest,
        cache=cache,
    )


def _budget(
    engine: Engine, hardware: Hardware, weights_gib: float, allowance: Allowance
) -> tuple[float, float]:
    """GiB that the engine may take of a device, and those of them left for the KV cache."""
    asked = kv_cache_gib(engine)
    if hardware.device is Device.cpu:
        kv_gib = asked or cpu_kv_cache_gib(hardware.free_gib)
        return hardware.free_gib, kv_gib
    budget = engine.gpu_memory_utilization * hardware.memory_gib
    if asked is not None:  # vLLM then does not look at the utilisation
        return hardware.free_gib, asked
    return budget, budget - weights_gib - allowance.total_gib


def _verdict(
    model: ModelSize,
    engine: Engine,
    hardware: Hardware,
    budget: float,
    weights_gib: float,
    allowance: Allowance,
    kv_gib: float,
    cache: KVCache | None,
) -> tuple[Limit, str]:
    """Why it does not fit, or nothing."""
    shape, tp = model.shape, engine.tensor_parallel_size
    needed = tp * pipeline_parallel_size(engine)
    if engine.device is not Device.auto and engine.device is not hardware.device:
        return Limit.device, f"it needs {'a CUDA GPU' if engine.device is Device.cuda else 'a CPU'}"
    if needed > hardware.num_devices:
        return Limit.devices, f"it needs {needed} GPUs, and there {_are(hardware.num_devices)}"
    if shape.num_heads % tp:
        return Limit.heads, f"{shape.num_heads} attention heads can't be divided by {tp}"
    kv_heads = shape.num_kv_heads
    if kv_heads > 1 and kv_heads % tp and tp % kv_heads:
        return Limit.heads, f"{kv_heads} KV heads and tensor_parallel_size={tp} do not divide"
    taken = weights_gib + allowance.total_gib
    lacks_dtype = _lacks_dtype(engine, hardware)
    where = "memory" if hardware.device is Device.cpu else "a device"
    other = "the process itself" if hardware.device is Device.cpu else "activations and more"
    sizes = f"weights {weights_gib:.1f} + {other} {allowance.total_gib:.1f}"
    if hardware.device is Device.cuda and budget > hardware.free_gib + 0.01:
        share = engine.gpu_memory_utilization
        return Limit.free, (
            f"gpu_memory_utilization={share} asks for {budget:.2f} GiB, "
            f"{hardware.free_gib:.2f} of {hardware.memory_gib:.2f} are free"
        )
    if taken >= budget:
        also = f"; and {lacks_dtype}" if lacks_dtype else ""
        return Limit.weights, f"{sizes} GiB leave nothing of {budget:.1f} GiB of {where}{also}"
    if kv_gib + taken > budget + 0.001:
        return (
            Limit.free,
            f"{sizes} + KV cache {kv_gib:.1f} GiB are more than {budget:.1f} GiB free",
        )
    max_len = model.context(engine)
    is_known = shape.is_counted and shape.states_context and not shape.is_rope_scaled
    is_known = is_known and os.environ.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "0") in ("", "0")
    if max_len > shape.max_position and is_known:
        return Limit.model, (
            f"engine.max_model_len={max_len} is more than the model's own context of "
            f"{shape.max_position:,} tokens"
        )
    if cache and kv_gib * GIB < cache.bytes_of(max_len):
        need = cache.bytes_of(max_len) / GIB
        return Limit.context, (
            f"one request of {max_len:,} tokens needs {gib(need)} of KV cache, "
            f"{gib(kv_gib)} are left"
        )
    if lacks_dtype:
        return Limit.dtype, lacks_dtype
    return Limit.none, ""


def _lacks_dtype(engine: Engine, hardware: Hardware) -> str:
    """What the device can't compute in; nothing where it can."""
    if engine.dtype == "bfloat16" and not hardware.has_bfloat16:
        return f"{hardware.label} can't compute in bfloat16: engine.dtype=float16"
    is_fp8 = engine.kv_cache_dtype.startswith("fp8")
    if is_fp8 and hardware.device is Device.cuda and hardware.capability < 8.0:
        return f"{hardware.label} has no fp8 KV cache: engine.kv_cache_dtype=auto"
    return ""


def _are(number: int) -> str:
    return "is 1" if number == 1 else f"are {number}"


def gib(value: float) -> str:
    """1.5 GiB, or 12.0 MiB."""
    return f"{value:,.1f} GiB" if value >= 0.1 else f"{value * 1024:,.1f} MiB"


# What the engine's settings resolve to.


def kv_cache_gib(engine: Engine) -> float | None:
    """The KV cache's size where it is said, in GiB."""
    return _extra(engine, "kv_cache_memory_bytes") / GIB or engine.kv_cache_gib


def pipeline_parallel_size(engine: Engine) -> int:
    return int(_extra(engine, "pipeline_parallel_size", least=1)) or 1


def _extra(engine: Engine, name: str, least: float = 0) -> float:
    """A number of engine.extra, 0 where it is not given. Raises UserError for what is none."""
    said = engine.extra.get(name)
    if said is None:
        return 0.0
    is_number = isinstance(said, int | float) and not isinstance(said, bool)
    if not is_number or not least <= said <= 2**60:
        raise UserError(f"engine.extra.{name}={said} must be a number, at least {least:g}")
    return float(said)


def block_size(engine: Engine, hardware: Hardware, shape: Shape) -> int:
    """Tokens in a block of the KV cache; MLA's kernels have sizes of their own."""
    is_latent = any(layers.kind is Attention.latent for layers in shape.layers)
    if hardware.device is Device.cpu:
        return MLA_BLOCK_SIZE_CPU if is_latent else _said_block_size(engine, CPU_BLOCK_SIZE)
    return _said_block_size(engine, MLA_BLOCK_SIZE_GPU if is_latent else GPU_BLOCK_SIZE)


def _said_block_size(engine: Engine, default: int) -> int:
    return int(_extra(engine, "block_size", least=1)) or default


def kv_element_bytes(engine: Engine, shape: Shape) -> float:
    """Bytes of one number in the KV cache; auto is the engine's dtype, or what the checkpoint
    says (`kv_cache_scheme`)."""
    said = engine.kv_cache_dtype
    quantized = shape.config.get("quantization_config")
    if said == "auto" and isinstance(quantized, dict) and quantized.get("kv_cache_scheme"):
        said = "fp8"
    return 1.0 if said.startswith("fp8") else float(dtype_bytes(engine.dtype, shape))


def batched_tokens(engine: Engine, hardware: Hardware, max_model_len: int) -> int:
    """Tokens of one step, as vLLM resolves it (arg_utils.py); a CPU never cuts a prompt here."""
    if engine.max_num_batched_tokens:
        return engine.max_num_batched_tokens
    tokens = hardware.batched_tokens
    if hardware.device is Device.cpu:
        tokens = max(tokens, max_model_len)
    return min(tokens, engine.max_num_seqs * max_model_len)
