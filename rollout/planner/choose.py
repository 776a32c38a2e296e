"""Which engine settings suit: what `engine=auto` takes, and the smallest change that makes one fit.

Pure: knows models, devices and what the data need; tries settings against `fit` and takes the
first that holds. Promises that a setting the user gave is never changed.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace

from rollout.config import Device, Engine
from rollout.planner.fit import (
    Fit,
    Limit,
    ModelSize,
    Needs,
    fit,
    pipeline_parallel_size,
)
from rollout.planner.hardware import Hardware

SIDE_BY_SIDE = (1024, 512, 256, 128, 64, 32, 16, 8)  # max_num_seqs that are tried
MOST_ON_CPU, MOST_ON_SMALL, MOST_ON_LARGE = 256, 512, 1024
LARGE_GIB = 70.0
SPARE = 0.02  # of a GPU's memory, left free beside what others hold
# Below this much of weights on each device, the two all-reduces in every layer cost what reading
# fewer weights saves: 2 GiB at 2 TB/s take 1 ms, 2 x 36 all-reduces of some 15 us as much.
LEAST_WEIGHTS_GIB = 2.0
CONTEXT_STEP = 256  # contexts are rounded down to multiples
UTILIZATIONS = (0.9, 0.92, 0.95)


@dataclass(frozen=True, slots=True)
class Choice:
    """What `engine=auto` takes."""

    engine: Engine
    fit: Fit
    changed: dict[str, object]  # setting -> value, of those that differ from what was asked


def choose(
    model: ModelSize, asked: Engine, hardware: Hardware, needs: Needs, given: Set[str] = frozenset()
) -> Choice:
    """Settings for `engine=auto` on this hardware; `given` are the user's own, by name.

    First the number of devices: as many as leave each enough weights to be worth the exchange,
    and more where the model does not fit. Then the memory share, the context (shortened only
    where the whole one can't be held, and never below what the data need), and as many samples
    side by side as the KV cache holds at the data's lengths.
    """
    best = None
    for tensor_parallel_size in _device_counts(model, asked, hardware, given):
        tried = replace(asked, tensor_parallel_size=tensor_parallel_size)
        tried = _share(tried, hardware, given)
        found = _at_context(model, tried, hardware, needs, given)
        best = best or found
        if found.fits:
            best = found
            break
    best = _side_by_side(model, best, hardware, needs, given)
    changed = {
        name: getattr(best.engine, name)
        for name in (
            "tensor_parallel_size", "gpu_memory_utilization", "max_model_len", "max_num_seqs",
        )
        if getattr(best.engine, name) != getattr(asked, name)
    }  # fmt: skip
    return Choice(best.engine, best, changed)


def _device_counts(
    model: ModelSize, asked: Engine, hardware: Hardware, given: Set[str]
) -> Iterator[int]:
    """Numbers of devices to try, the best one first."""
    if "tensor_parallel_size" in given or hardware.device is Device.cpu:
        yield asked.tensor_parallel_size
        return
    most = hardware.num_devices // pipeline_parallel_size(asked)
    shape = model.shape
    counts = [n for n in (2**i for i in range(10)) if n <= max(1, most) and not shape.num_heads % n]
    weights = model.weights(asked)
    best = 1
    for count in counts[1:]:
        enough = weights.device_bytes(count) / 2**30 >= LEAST_WEIGHTS_GIB
        if enough and count <= max(1, shape.num_kv_heads):
            best = count
    yield best
    yield from (n for n in counts if n > best)


def _share(engine: Engine, hardware: Hardware, given: Set[str]) -> Engine:
    """The memory share, lowered to what others leave free."""
    if hardware.device is Device.cpu or "gpu_memory_utilization" in given:
        return engine
    free = hardware.free_gib / hardware.memory_gib
    share = min(engine.gpu_memory_utilization, int((free - SPARE) * 100) / 100)
    return replace(engine, gpu_memory_utilization=max(share, 0.01))


def _at_context(
    model: ModelSize, engine: Engine, hardware: Hardware, needs: Needs, given: Set[str]
) -> Fit:
    """At the whole context, or where that can't be held at the longest that can."""
    found = fit(model, engine, hardware, needs)
    if found.fits or found.limit is not Limit.context or "max_model_len" in given:
        return found
    shorter = shortened(found, needs)
    return fit(model, replace(engine, max_model_len=shorter), hardware, needs) if shorter else found


def shortened(found: Fit, needs: Needs) -> int | None:
    """The longest context that fits and that the data can do with; None where there is none."""
    longest = found.longest_context
    if longest >= CONTEXT_STEP:
        longest -= longest % CONTEXT_STEP
    return longest if longest >= (needs.longest or CONTEXT_STEP) else None


def _side_by_side(
    model: ModelSize, found: Fit, hardware: Hardware, needs: Needs, given: Set[str]
) -> Fit:
    """As many samples at once as the KV cache holds, at the lengths that are known."""
    if "max_num_seqs" in given or not found.fits or needs.typical is None:
        return found
    most = MOST_ON_LARGE if hardware.memory_gib >= LARGE_GIB else MOST_ON_SMALL
    most = MOST_ON_CPU if hardware.device is Device.cpu else most
    for number in SIDE_BY_SIDE:
        if number > most:
            continue
        tried = fit(model, replace(found.engine, max_num_seqs=number), hardware, needs)
        if tried.fits and tried.typical is not None and tried.typical >= 0.75 * number:
            return tried
    return found


# The smallest change.


@dataclass(frozen=True, slots=True)
class Change:
    """Overrides that make an engine fit."""

    overrides: tuple[str, ...]
    fit: Fit
    costs: str  # what the user gives up; "" where nothing

    def __str__(self) -> str:
        return " ".join(self.overrides)


def smallest_change(
    model: ModelSize, engine: Engine, hardware: Hardware, needs: Needs
) -> Change | None:
    """The first of these that fits: more of the memory, a shorter context that the data can do
    with, no CUDA graphs and smaller steps, more devices, an fp8 KV cache, a context shorter than
    the data, fp8 weights; then two of them together."""
    steps = list(_steps(model, engine, hardware))
    for tried, words, costs in steps:
        if change := _try(model, tried, hardware, needs, words, costs):
            return change
    for first, words, costs in steps:
        for second, more_words, more_costs in _steps(model, first, hardware):
            both = " and ".join(filter(None, (costs, more_costs)))
            if change := _try(model, second, hardware, needs, (*words, *more_words), both):
                return change
    return None


def _try(
    model: ModelSize,
    engine: Engine,
    hardware: Hardware,
    needs: Needs,
    words: tuple[str, ...],
    costs: str,
) -> Change | None:
    found = fit(model, engine, hardware, needs)
    if found.fits:
        return Change(words, found, costs)
    if found.limit is Limit.context and (shorter := shortened(found, needs)):
        again = fit(model, replace(engine, max_model_len=shorter), hardware, needs)
        if again.fits:
            return Change((*words, f"engine.max_model_len={shorter}"), again, costs)
    return None


def _steps(
    model: ModelSize, engine: Engine, hardware: Hardware
) -> Iterator[tuple[Engine, tuple[str, ...], str]]:
    """Settings to try, the least harmful first: engine, overrides, what they cost."""
    yield engine, (), ""
    if hardware.device is Device.cpu:
        yield from _cpu_steps(model, engine, hardware)
        return
    free = hardware.free_gib / hardware.memory_gib
    for share in UTILIZATIONS:
        if engine.gpu_memory_utilization < share <= free:
            words = (f"engine.gpu_memory_utilization={share}",)
            yield replace(engine, gpu_memory_utilization=share), words, ""
    lower = int((free - SPARE) * 100) / 100
    if 0 < lower < engine.gpu_memory_utilization:
        words = (f"engine.gpu_memory_utilization={lower}",)
        yield replace(engine, gpu_memory_utilization=lower), words, ""
    small = replace(engine, enforce_eager=True, max_num_batched_tokens=2048)
    if not engine.enforce_eager:
        words = ("engine.enforce_eager=true", "engine.max_num_batched_tokens=2048")
        yield small, words, "slower decoding"
    if engine.max_num_seqs > 64:
        few = replace(engine, max_num_seqs=64)
        yield few, ("engine.max_num_seqs=64",), "fewer samples side by side"
    if engine.dtype == "bfloat16" and not hardware.has_bfloat16:
        yield replace(engine, dtype="float16"), ("engine.dtype=float16",), ""
    for count in (1, 2, 4, 8, 16):
        held = count * pipeline_parallel_size(engine)
        if count != engine.tensor_parallel_size and held <= hardware.num_devices:
            words = (f"engine.tensor_parallel_size={count}",)
            yield replace(engine, tensor_parallel_size=count), words, ""
    if engine.kv_cache_dtype == "auto" and hardware.has_bfloat16:
        words = ("engine.kv_cache_dtype=fp8",)
        yield replace(engine, kv_cache_dtype="fp8"), words, "slightly different samples"
    if engine.quantization is None and hardware.has_bfloat16:
        if model.weights(engine).quantization is None:
            words = ("engine.quantization=fp8",)
            yield replace(engine, quantization="fp8"), words, "slightly different samples"


def _cpu_steps(
    model: ModelSize, engine: Engine, hardware: Hardware
) -> Iterator[tuple[Engine, tuple[str, ...], str]]:
    """On a CPU the KV cache is what can give way, or grow."""
    held = fit(model, engine, hardware)
    room = hardware.free_gib - held.weights_gib - held.allowance.total_gib
    need = held.cache.bytes_of(held.max_model_len) / 2**30 if held.cache else 0
    if need <= room * 0.9:
        size = max(0.001, round(need * 1.05 + 0.001, 3))
        yield replace(engine, kv_cache_gib=size), (f"engine.kv_cache_gib={size}",), ""
    for size in (2.0, 1.0, 0.5, 0.25):
        if size < held.kv_cache_gib:
            yield replace(engine, kv_cache_gib=size), (f"engine.kv_cache_gib={size}",), ""
