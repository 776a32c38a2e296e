"""The settings to lower when memory runs out: one rung at a time, suited to where it ran out.

Owns the ladder and its floors. Pure: depends on the kind of fault, the engine's settings and the
data's needs; loads nothing. Guarantees that every rung needs less than the one before, so that the
ladder ends, and that the context never falls below the data's needs.

| out of memory | rungs, in this order, each repeated down to its floor |
| --- | --- |
| before loading (other processes hold the GPU) | gpu_memory_utilization down to the free share |
| weights on a GPU | none |
| profile run | halve max_num_batched_tokens (to 1,024), halve max_num_seqs (to 8), no CUDA graphs |
| KV cache too small, or none left | raise gpu_memory_utilization to 0.95, or kv_cache_gib to \
what is free; max_model_len down to the data's needs; then as for the profile run |
| CUDA graphs | gpu_memory_utilization less 0.05 (to 0.5), then no CUDA graphs |
| while running | gpu_memory_utilization less 0.05, then as for the profile run |
| host memory, or killed | halve kv_cache_gib (to one request), halve max_num_seqs, \
max_model_len down to the data's needs |

The last rung is the KV cache's dtype, if engine.on_oom_kv_cache_dtype allows it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rollout.config.sections.engine import Device, Engine
from rollout.engines.base import Rung
from rollout.engines.memory_faults import MemoryFault, OomKind
from rollout.plan.choose import CONTEXT_STEP, MOST_SHARE, SPARE
from rollout.plan.memory.fit import ModelSize, Needs, fit, kv_cache_gib
from rollout.plan.memory.hardware import Hardware

LEAST_BATCHED_TOKENS = 1024
LEAST_SEQS = 8
LEAST_SHARE, SHARE_STEP = 0.5, 0.05
LEAST_KV_GIB = 2**-6
FREE_SHARE = 0.8  # share of the host's free memory that a larger KV cache may take
STEPPED = (
    "gpu_memory_utilization", "kv_cache_gib", "kv_cache_dtype", "max_model_len", "max_num_seqs",
    "max_num_batched_tokens", "enforce_eager",
)  # fmt: skip
HOST = (OomKind.host, OomKind.killed)


@dataclass(frozen=True, slots=True)
class Ladder:
    """Model, devices and needs of a run that runs out of memory; `size` None: no model."""

    size: ModelSize | None
    hardware: Hardware
    needs: Needs

    @property
    def longest(self) -> int | None:
        return self.needs.longest

    def next(self, engine: Engine, fault: MemoryFault) -> Rung | None:
        """Return the next rung down from `engine`; None at the floor."""
        for changed in self._rungs(engine, fault):
            if any(getattr(engine, name) != value for name, value in changed.items()):
                return Rung(replace(engine, **changed), changed)
        return None

    def _rungs(self, engine: Engine, fault: MemoryFault) -> Iterator[dict[str, object]]:
        kind = fault.kind
        if self.hardware.device is Device.cpu or kind in HOST:
            yield from self._on_host(engine, fault)
        elif kind is OomKind.no_free_memory:
            yield from self._share_of_free(engine, fault)
        elif kind in (OomKind.no_kv_cache, OomKind.kv_cache_too_small):
            yield from self._larger_share(engine)
            yield from self._shorter_context(engine, fault)
            yield from _smaller_steps(engine)
        elif kind is OomKind.profile:
            yield from _smaller_steps(engine)
        elif kind is OomKind.graphs:
            yield from _smaller_share(engine)
            if not engine.enforce_eager:
                yield {"enforce_eager": True}
        elif kind is OomKind.running:
            yield from _smaller_share(engine)
            yield from _smaller_steps(engine)
        if kind is not OomKind.weights and engine.on_oom_kv_cache_dtype:
            if engine.kv_cache_dtype != engine.on_oom_kv_cache_dtype:
                yield {"kv_cache_dtype": engine.on_oom_kv_cache_dtype}

    # GPUs.

    def _share_of_free(self, engine: Engine, fault: MemoryFault) -> Iterator[dict[str, object]]:
        free, total = fault.numbers.get("free_gib"), fault.numbers.get("total_gib")
        if free and total:
            share = int((free / total - SPARE) * 100) / 100
            if 0 < share < engine.gpu_memory_utilization:
                yield {"gpu_memory_utilization": share}
        else:
            yield from _smaller_share(engine)

    def _larger_share(self, engine: Engine) -> Iterator[dict[str, object]]:
        free = int(self.hardware.free_gib / self.hardware.memory_gib * 100) / 100
        share = min(MOST_SHARE, free)
        if kv_cache_gib(engine) is None and share > engine.gpu_memory_utilization:
            yield {"gpu_memory_utilization": share}

    def _shorter_context(self, engine: Engine, fault: MemoryFault) -> Iterator[dict[str, object]]:
        """Shorten to what the engine reports it can hold, then to what the data need."""
        needed = self._needed_context()
        if needed is None:
            return
        held = int(fault.numbers.get("estimated_max_model_len") or 0)
        held -= held % CONTEXT_STEP if held >= 2 * CONTEXT_STEP else 0
        now = engine.max_model_len or (self.size.shape.max_position if self.size else 0)
        for length in (held, needed):
            if needed <= length < now:
                yield {"max_model_len": length}

    def _needed_context(self) -> int | None:
        """Return the tokens of the longest prompt with its response; None if not counted."""
        return None if self.needs.is_estimate else self.needs.longest

    # The host.

    def _on_host(self, engine: Engine, fault: MemoryFault) -> Iterator[dict[str, object]]:
        """On a CPU, resize the KV cache; with GPUs the host holds only a copy of the weights."""
        if self.hardware.device is not Device.cpu:
            return
        if self.size is None:
            yield from _fewer_samples(engine)
            return
        found = fit(self.size, engine, self.hardware, self.needs)
        now = found.kv_cache_gib
        if fault.kind in (OomKind.kv_cache_too_small, OomKind.no_kv_cache):
            need = found.cache.bytes_of(found.max_model_len) / 2**30 if found.cache else 0.0
            need = max(need, float(fault.numbers.get("needed_gib") or 0)) * 1.02
            room = (self.hardware.free_gib - found.weights_gib) * FREE_SHARE
            if now < need <= room:
                yield {"kv_cache_gib": round(need, 6)}
            yield from self._shorter_context(engine, fault)
            return
        length = self._needed_context() or found.max_model_len
        least = found.cache.bytes_of(min(length, found.max_model_len)) / 2**30 if found.cache else 0
        least = max(LEAST_KV_GIB, least * 1.02)
        if now > least:
            smaller = max(now / 2, least)
            changed: dict[str, object] = {"kv_cache_gib": round(smaller, 6)}
            if found.cache and smaller * 2**30 < found.cache.bytes_of(found.max_model_len):
                longest = found.cache.longest(smaller * 2**30, found.max_model_len)
                changed["max_model_len"] = max(longest, min(length, found.max_model_len))
            yield changed
        yield from _fewer_samples(engine)


def _smaller_steps(engine: Engine) -> Iterator[dict[str, object]]:
    """Fewer tokens per step, then fewer samples, then no CUDA graphs."""
    tokens = engine.max_num_batched_tokens or 8192
    if tokens > LEAST_BATCHED_TOKENS:
        yield {"max_num_batched_tokens": max(LEAST_BATCHED_TOKENS, tokens // 2)}
    yield from _fewer_samples(engine)
    if not engine.enforce_eager:
        yield {"enforce_eager": True}


def _fewer_samples(engine: Engine) -> Iterator[dict[str, object]]:
    if engine.max_num_seqs > LEAST_SEQS:
        yield {"max_num_seqs": max(LEAST_SEQS, engine.max_num_seqs // 2)}


def _smaller_share(engine: Engine) -> Iterator[dict[str, object]]:
    share = round(engine.gpu_memory_utilization - SHARE_STEP, 2)
    if kv_cache_gib(engine) is None and share >= LEAST_SHARE:
        yield {"gpu_memory_utilization": share}
