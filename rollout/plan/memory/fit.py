"""Whether a model fits an engine on given devices: weights, allowances, KV cache, limits.

Owns the sum. An engine may use `gpu_memory_utilization` of a GPU's memory (vllm/v1/worker/utils.py,
request_memory). Weights, activations and CUDA graphs come out of it; the rest is KV cache
(gpu_worker.py, determine_available_memory). Weights and KV cache are counted; activations, graphs
and CUDA itself are estimates, the allowance. Must not know about presets or runs.
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
STEPS_IN_FLIGHT = 2  # on GPUs, vLLM schedules the next step while one runs


class Limit(Enum):
    """What limits the concurrent samples or keeps an engine from starting, as printed."""

    none = "max_num_seqs"  # memory allows more
    kv_cache = "KV cache"
    context = "context"  # no KV cache for one full-length request
    model = "model's context"
    weights = "weights"
    free = "free memory"
    devices = "GPUs"
    heads = "heads"
    dtype = "dtype"
    device = "device"


@dataclass(frozen=True, slots=True)
class ModelSize:
    """A model's shape and, if on this machine, its checkpoint."""

    name: str
    shape: Shape
    checkpoint: Path | None  # its directory; None: not on this machine

    _counted: dict[Any, Weights] = field(default_factory=dict, repr=False, compare=False)

    def weights(self, engine: Engine) -> Weights:
        """Return its weights with these settings; cached."""
        key = engine.dtype, engine.quantization
        if key not in self._counted:
            self._counted[key] = count_weights(self.shape, *key, self.checkpoint)
        return self._counted[key]

    def context(self, engine: Engine) -> int:
        """Return the longest sequence in tokens: as set, or the model's own."""
        return engine.max_model_len or self.shape.max_position

    def is_certain(self, engine: Engine) -> bool:
        """Whether its weights are counted exactly: from its files, or for a known family."""
        weights = self.weights(engine)
        is_known = weights.quantization in (None, *KNOWN_METHODS, *ONLINE_BITS)
        return weights.saved_bytes is not None or (self.shape.is_counted and is_known)


@dataclass(frozen=True, slots=True)
class Needs:
    """Sequence lengths that the data need, in tokens; None if not counted."""

    longest: int | None = None  # the longest prompt with its response
    typical: int | None = None  # a mean prompt with half of max_tokens
    is_estimate: bool = False  # whether they are assumed, not counted


@dataclass(frozen=True, slots=True)
class Fit:
    """What an engine holds; GiB per device."""

    engine: Engine
    hardware: Hardware
    fits: bool
    limit: Limit
    why: str  # the reason, one clause with the numbers; "" if it fits
    weights_gib: float
    allowance: Allowance
    budget_gib: float  # what the engine may use of a device
    kv_cache_gib: float
    max_model_len: int
    kv_tokens: int  # as vLLM logs it
    full_length: float  # concurrent requests of max_model_len tokens
    typical: float | None  # concurrent requests of the data's typical length
    longest_context: int  # tokens of the longest single request that fits
    cache: KVCache | None

    @property
    def num_concurrent(self) -> float:
        """Concurrent samples: what memory allows, at most max_num_seqs."""
        allowed = self.full_length if self.typical is None else self.typical
        return min(self.engine.max_num_seqs, allowed)


def model_size(
    name: str,
    config: dict[str, Any],
    checkpoint: Path | None = None,
    overrides: dict[str, Any] | None = None,
) -> ModelSize:
    """Read a model's shape from its config.json, with vLLM's `hf_overrides` applied.

    Raises UserError if the config lacks what is needed.
    """
    if isinstance(overrides, dict) and overrides:
        config = config | overrides
        if isinstance(inner := config.get("text_config"), dict):
            config["text_config"] = inner | overrides
    return ModelSize(name, read_shape(config), checkpoint)


def fit(
    model: ModelSize, engine: Engine, hardware: Hardware, needs: Needs = Needs(), scale: float = 1.0
) -> Fit:
    """Compute what `engine` holds of `model` on each device of `hardware`.

    `scale` weighs the allowances: take it below 1 where a model that may fit must not be refused.
    """
    shape, tp, pp = model.shape, engine.tensor_parallel_size, engine.pipeline_parallel_size
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
    full = cache.concurrency(kv_bytes, max_len) if cache else inf
    typical = None if needs.typical is None else full
    if cache and needs.typical is not None:
        typical = cache.concurrency(kv_bytes, min(needs.typical, max_len))
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
    """Return the GiB that the engine may use of a device, and how many of them are KV cache."""
    asked = kv_cache_gib(engine)
    if hardware.device is Device.cpu:
        kv_gib = asked or cpu_kv_cache_gib(hardware.free_gib)
        return hardware.free_gib, kv_gib
    budget = engine.gpu_memory_utilization * hardware.memory_gib
    if asked is not None:  # vLLM then ignores gpu_memory_utilization
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
    """Return what keeps the model from fitting, and the reason; `Limit.none` and "" if it fits."""
    shape, tp, needed = model.shape, engine.tensor_parallel_size, engine.world_size
    if engine.device is not Device.auto and engine.device is not hardware.device:
        return Limit.device, f"it needs {'a CUDA GPU' if engine.device is Device.cuda else 'a CPU'}"
    if needed > hardware.num_devices:
        return Limit.devices, f"it needs {needed} GPUs, found {hardware.num_devices}"
    if shape.num_heads % tp:
        return Limit.heads, (
            f"{shape.num_heads} attention heads are not divisible by tensor_parallel_size={tp}"
        )
    kv_heads = shape.num_kv_heads
    if kv_heads > 1 and kv_heads % tp and tp % kv_heads:
        return Limit.heads, (
            f"{kv_heads} KV heads are neither a multiple nor a divisor of tensor_parallel_size={tp}"
        )
    taken = weights_gib + allowance.total_gib
    lacks_dtype = _lacks_dtype(engine, hardware)
    where = "memory" if hardware.device is Device.cpu else "a device"
    other = "the process itself" if hardware.device is Device.cpu else "activations etc."
    sizes = f"weights {weights_gib:.1f} + {other} {allowance.total_gib:.1f}"
    if hardware.device is Device.cuda and budget > hardware.free_gib + 0.01:
        share = engine.gpu_memory_utilization
        return Limit.free, (
            f"gpu_memory_utilization={share} needs {budget:.2f} GiB, but only "
            f"{hardware.free_gib:.2f} of {hardware.memory_gib:.2f} GiB are free"
        )
    if taken >= budget:
        also = f"; and {lacks_dtype}" if lacks_dtype else ""
        return Limit.weights, (
            f"{sizes} GiB leave no KV cache in the {budget:.1f} GiB of {where}{also}"
        )
    if kv_gib + taken > budget + 0.001:
        return Limit.free, (
            f"{sizes} + KV cache {kv_gib:.1f} GiB exceed the {budget:.1f} GiB that are free"
        )
    max_len = model.context(engine)
    is_known = shape.is_counted and shape.states_context and not shape.is_rope_scaled
    is_known = is_known and os.environ.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "0") in ("", "0")
    if max_len > shape.max_position and is_known:
        return Limit.model, (
            f"engine.max_model_len={max_len} exceeds the model's own context of "
            f"{shape.max_position:,} tokens"
        )
    if cache and kv_gib * GIB < cache.bytes_of(max_len):
        need = cache.bytes_of(max_len) / GIB
        return Limit.context, (
            f"one request of {max_len:,} tokens needs {gib(need)} of KV cache, but only "
            f"{gib(kv_gib)} are left"
        )
    if lacks_dtype:
        return Limit.dtype, lacks_dtype
    return Limit.none, ""


def _lacks_dtype(engine: Engine, hardware: Hardware) -> str:
    """Return which dtype the device lacks, and the setting that avoids it; "" if it has all."""
    if engine.dtype == "bfloat16" and not hardware.has_bfloat16:
        return f"{hardware.label} can't compute in bfloat16; type engine.dtype=float16"
    is_fp8 = engine.kv_cache_dtype.startswith("fp8")
    if is_fp8 and hardware.device is Device.cuda and hardware.capability < 8.0:
        return f"{hardware.label} has no fp8 KV cache; type engine.kv_cache_dtype=auto"
    return ""


def gib(value: float) -> str:
    """Format a size: 1.5 GiB, or 12.0 MiB below 0.1 GiB."""
    return f"{value:,.1f} GiB" if value >= 0.1 else f"{value * 1024:,.1f} MiB"


# Values that the engine's settings resolve to.


def kv_cache_gib(engine: Engine) -> float | None:
    """Return the KV cache's size in GiB if it is set."""
    return _extra(engine, "kv_cache_memory_bytes") / GIB or engine.kv_cache_gib


def _extra(engine: Engine, name: str, least: float = 0) -> float:
    """Return a number of engine.extra, 0 if it is not set. Raises UserError for another value."""
    value = engine.extra.get(name)
    if value is None:
        return 0.0
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= 2**60:
        raise UserError(f"engine.extra.{name}={value} must be a number, at least {least:g}")
    return float(value)


def block_size(engine: Engine, hardware: Hardware, shape: Shape) -> int:
    """Return the tokens in a block of the KV cache; MLA's kernels have their own sizes."""
    is_latent = any(layers.kind is Attention.latent for layers in shape.layers)
    is_cpu = hardware.device is Device.cpu
    if is_cpu and is_latent:
        return MLA_BLOCK_SIZE_CPU
    default = CPU_BLOCK_SIZE if is_cpu else MLA_BLOCK_SIZE_GPU if is_latent else GPU_BLOCK_SIZE
    return int(_extra(engine, "block_size", least=1)) or default


def kv_element_bytes(engine: Engine, shape: Shape) -> float:
    """Return the bytes of one value in the KV cache.

    `auto` is the engine's dtype, or fp8 if the checkpoint states a `kv_cache_scheme`.
    """
    dtype = engine.kv_cache_dtype
    quantized = shape.config.get("quantization_config")
    if dtype == "auto" and isinstance(quantized, dict) and quantized.get("kv_cache_scheme"):
        dtype = "fp8"
    return 1.0 if dtype.startswith("fp8") else float(dtype_bytes(engine.dtype, shape))


def batched_tokens(engine: Engine, hardware: Hardware, max_model_len: int) -> int:
    """Return the tokens of one step, as vLLM resolves it (arg_utils.py).

    On a CPU, prompts are not chunked.
    """
    if engine.max_num_batched_tokens:
        return engine.max_num_batched_tokens
    tokens = hardware.batched_tokens
    if hardware.device is Device.cpu:
        tokens = max(tokens, max_model_len)
    return min(tokens, engine.max_num_seqs * max_model_len)
