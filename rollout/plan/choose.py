"""Choose engine settings: for `engine=auto`, and the smallest change that makes a preset fit.

Pure functions of model, devices and the data's needs: they try settings with `fit` and take the
first that fits. Guarantee that `choose` never changes a setting that the user gave.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace
from itertools import combinations

from rollout.config.sections.engine import Device, Engine
from rollout.plan.memory.fit import Fit, Limit, ModelSize, Needs, fit
from rollout.plan.memory.hardware import Hardware

MAX_NUM_SEQS = (1024, 512, 256, 128, 64, 32, 16, 8)  # values tried
MOST_ON_CPU, MOST_ON_SMALL, MOST_ON_LARGE = 256, 512, 1024
LARGE_GIB = 70.0
SPARE = 0.02  # share of a GPU's memory left free besides what other processes hold
# With fewer weights on each device, the two all-reduces per layer cost more than reading fewer
# weights saves: 2 GiB at 2 TB/s take 1 ms, and so do 2 x 36 all-reduces of about 15 us.
LEAST_WEIGHTS_GIB = 2.0
MOST_SHARE = 0.95
CONTEXT_STEP = 256  # contexts are rounded down to a multiple of it


@dataclass(frozen=True, slots=True)
class Choice:
    """The settings that `engine=auto` chooses."""

    fit: Fit
    changed: dict[str, object]  # setting -> value, where it differs from the given engine

    @property
    def engine(self) -> Engine:
        return self.fit.engine


def choose(
    model: ModelSize,
    engine: Engine,
    hardware: Hardware,
    needs: Needs,
    given: Set[str] = frozenset(),
) -> Choice:
    """Choose settings for `engine=auto`; `given` names the settings that must not change.

    First the number of devices: as many as keep LEAST_WEIGHTS_GIB each, and more if the model
    does not fit. Then gpu_memory_utilization, the context (shortened only if the whole one does
    not fit), and as many concurrent samples as the KV cache holds at the data's lengths.
    """
    best = None
    for tensor_parallel_size in _device_counts(model, engine, hardware, given):
        tried = replace(engine, tensor_parallel_size=tensor_parallel_size)
        tried = _share(tried, hardware, given)
        found = _at_context(model, tried, hardware, needs, given)
        best = best or found
        if found.fits:
            best = found
            break
    return choice_of(_most_samples(model, best, hardware, needs, given), engine)


CHOSEN = (
    "tensor_parallel_size", "pipeline_parallel_size", "gpu_memory_utilization", "max_model_len",
    "max_num_seqs",
)  # fmt: skip


def choice_of(found: Fit, asked: Engine) -> Choice:
    """Return the fit as a choice for the engine that was asked for."""
    changed = {name: getattr(found.engine, name) for name in CHOSEN}
    return Choice(found, {k: v for k, v in changed.items() if v != getattr(asked, k)})


def _device_counts(
    model: ModelSize, engine: Engine, hardware: Hardware, given: Set[str]
) -> Iterator[int]:
    """Yield the numbers of devices to try, the best one first."""
    if "tensor_parallel_size" in given or hardware.device is Device.cpu:
        yield engine.tensor_parallel_size
        return
    most = hardware.num_devices // engine.pipeline_parallel_size
    shape = model.shape
    counts = [n for n in (2**i for i in range(10)) if n <= max(1, most) and not shape.num_heads % n]
    weights = model.weights(engine)
    best = 1
    for count in counts[1:]:
        enough = weights.device_bytes(count) / 2**30 >= LEAST_WEIGHTS_GIB
        if enough and count <= max(1, shape.num_kv_heads):
            best = count
    yield best
    yield from (n for n in counts if n > best)


def _share(engine: Engine, hardware: Hardware, given: Set[str]) -> Engine:
    """Lower gpu_memory_utilization to what other processes leave free."""
    if hardware.device is Device.cpu or "gpu_memory_utilization" in given:
        return engine
    share = min(engine.gpu_memory_utilization, _free_share(hardware))
    return replace(engine, gpu_memory_utilization=max(share, 0.01))


def _free_share(hardware: Hardware) -> float:
    """Return the free share of a GPU's memory less SPARE, rounded down to hundredths."""
    return int((hardware.free_gib / hardware.memory_gib - SPARE) * 100) / 100


def _at_context(
    model: ModelSize, engine: Engine, hardware: Hardware, needs: Needs, given: Set[str]
) -> Fit:
    """Fit the whole context or, if it does not fit, the longest that does.

    For a context that was given, more memory and fewer samples are tried, but no other context.
    The context may become shorter than the longest rows, which are then refused one by one, but
    not shorter than a typical row.
    """
    found = fit(model, engine, hardware, needs)
    if found.fits or found.limit is not Limit.context:
        return found
    if "gpu_memory_utilization" not in given and hardware.device is Device.cuda:
        most = min(MOST_SHARE, _free_share(hardware))
        if most > engine.gpu_memory_utilization:
            engine = replace(engine, gpu_memory_utilization=most)
            found = fit(model, engine, hardware, needs)
            if found.fits:
                return found
    if "max_model_len" in given:
        fewer = () if "max_num_seqs" in given else MAX_NUM_SEQS  # they need less beside the cache
        for number in (n for n in fewer if n < engine.max_num_seqs):
            tried = fit(model, replace(engine, max_num_seqs=number), hardware, needs)
            if tried.fits:
                return tried
        return found
    shorter = shortened(found, needs) or shortened(found, Needs(needs.typical))
    return fit(model, replace(engine, max_model_len=shorter), hardware, needs) if shorter else found


def shortened(found: Fit, needs: Needs) -> int | None:
    """Return the longest context that fits; None if it is too short for the data."""
    longest = found.longest_context
    if longest >= CONTEXT_STEP:
        longest -= longest % CONTEXT_STEP
    return longest if longest >= (needs.longest or CONTEXT_STEP) else None


def _most_samples(
    model: ModelSize, found: Fit, hardware: Hardware, needs: Needs, given: Set[str]
) -> Fit:
    """Raise max_num_seqs to about what the KV cache holds at the data's typical length."""
    if "max_num_seqs" in given or not found.fits or needs.typical is None:
        return found
    most = MOST_ON_LARGE if hardware.memory_gib >= LARGE_GIB else MOST_ON_SMALL
    most = MOST_ON_CPU if hardware.device is Device.cpu else most
    for number in MAX_NUM_SEQS:
        if number > most:
            continue
        tried = fit(model, replace(found.engine, max_num_seqs=number), hardware, needs)
        if tried.fits and tried.typical is not None and tried.typical >= 0.75 * number:
            return tried
    return found


@dataclass(frozen=True, slots=True)
class Change:
    """Overrides that make an engine fit."""

    overrides: tuple[str, ...]
    fit: Fit
    costs: tuple[str, ...]  # drawbacks, as printed

    def __str__(self) -> str:
        return " ".join(self.overrides)


@dataclass(frozen=True, slots=True)
class _Step:
    """A change of one setting."""

    name: str
    value: object
    cost: str = ""

    def __str__(self) -> str:
        value = "null" if self.value is None else str(self.value).lower()
        return f"engine.{self.name}={value}"


DIFFERENT, FEWER = "slightly different samples", "fewer concurrent samples"


def smallest_change(
    model: ModelSize, engine: Engine, hardware: Hardware, needs: Needs
) -> Change | None:
    """Return the least harmful change that fits, and the smallest of its kind; None if none fits.

    Tries one setting, in the order of `_steps`; a shorter context that still holds the data,
    alone or with one setting; then two settings, without and with a shorter context.
    """
    steps = _steps(model, engine, hardware)
    pairs = [(one, other) for one, other in combinations(steps, 2) if one.name != other.name]
    for tries in ([(), *((step,) for step in steps)], pairs):
        found: list[tuple[tuple[_Step, ...], Fit]] = []
        for chosen in tries:
            changed = replace(engine, **{step.name: step.value for step in chosen})
            found.append((chosen, fit(model, changed, hardware, needs)))
            if chosen and found[-1][1].fits:
                return _change(found[-1][1], chosen)
        for chosen, misfit in found:
            if change := _with_context(model, misfit, needs, chosen):
                return change
    return None


def _with_context(
    model: ModelSize, found: Fit, needs: Needs, steps: tuple[_Step, ...]
) -> Change | None:
    """Return the steps with the longest context that fits; None if it is too short for the data."""
    longest = model.shape.max_position if found.limit is Limit.model else None
    if found.limit is Limit.context:
        longest = shortened(found, needs)
    if longest is None:
        return None
    shorter = replace(found.engine, max_model_len=longest)
    again = fit(model, shorter, found.hardware, needs)
    cost = f"rows longer than {longest:,} tokens" if needs.is_estimate else ""
    return _change(again, (*steps, _Step("max_model_len", longest, cost))) if again.fits else None


def _change(found: Fit, steps: tuple[_Step, ...]) -> Change:
    costs = dict.fromkeys(step.cost for step in steps if step.cost)
    return Change(tuple(map(str, steps)), found, tuple(costs))


def _steps(model: ModelSize, engine: Engine, hardware: Hardware) -> list[_Step]:
    """Return the steps to try, the least harmful first."""
    if hardware.device is Device.cpu:
        return _cpu_steps(model, engine, hardware)
    found = []
    free = hardware.free_gib / hardware.memory_gib
    now = engine.gpu_memory_utilization
    if engine.kv_cache_gib is not None:
        found.append(_Step("kv_cache_gib", None))
    shares = [round(0.05 * i, 2) for i in range(2, 20)]
    found += [_Step("gpu_memory_utilization", share) for share in shares if now < share <= free]
    if 0 < (lower := _free_share(hardware)) < now:
        found.append(_Step("gpu_memory_utilization", lower))
    if engine.dtype == "bfloat16" and not hardware.has_bfloat16:
        found.append(_Step("dtype", "float16", "float16 instead of bfloat16"))
    for number in (512, 256, 128, 64, 32):
        if number < engine.max_num_seqs:
            found.append(_Step("max_num_seqs", number, FEWER))
    if not engine.enforce_eager:
        found.append(_Step("enforce_eager", True, "slower decoding"))
    if (engine.max_num_batched_tokens or hardware.batched_tokens) > 2048:
        found.append(_Step("max_num_batched_tokens", 2048, "slower prefill"))
    for count in (1, 2, 4, 8, 16):
        held = count * engine.pipeline_parallel_size
        if count != engine.tensor_parallel_size and held <= hardware.num_devices:
            found.append(_Step("tensor_parallel_size", count))
    if engine.kv_cache_dtype == "auto" and hardware.has_fp8:
        found.append(_Step("kv_cache_dtype", "fp8", DIFFERENT))
    if engine.quantization is None and hardware.has_fp8:
        if model.weights(engine).quantization is None:
            found.append(_Step("quantization", "fp8", DIFFERENT))
    return found


def _cpu_steps(model: ModelSize, engine: Engine, hardware: Hardware) -> list[_Step]:
    """Return the steps on a CPU: a larger or smaller KV cache, then fewer samples."""
    held = fit(model, engine, hardware)
    room = hardware.free_gib - held.weights_gib - held.allowance.total_gib
    need = held.cache.bytes_of(held.max_model_len) / 2**30 if held.cache else 0
    found = []
    if held.kv_cache_gib < need <= 0.9 * room:
        found.append(_Step("kv_cache_gib", max(0.001, round(need * 1.05, 3))))
    largest = int(9 * room) / 10
    for size in (largest, 0.5, 0.25):
        if 0 < size < held.kv_cache_gib:
            found.append(_Step("kv_cache_gib", size))
    for number in (256, 64):
        if number < engine.max_num_seqs:
            found.append(_Step("max_num_seqs", number, FEWER))
    return found


def num_devices_needed(
    model: ModelSize, engine: Engine, hardware: Hardware, needs: Needs
) -> int | None:
    """Return how many such devices would hold the model with tensor parallelism; None if none do.

    The tensor_parallel_size is a power of two, up to 32; pipeline_parallel_size stays.
    """
    if hardware.device is Device.cpu:
        return None
    for size in (2, 4, 8, 16, 32):
        tried = replace(engine, tensor_parallel_size=size)
        number = tried.world_size
        if number > hardware.num_devices:
            found = fit(model, tried, replace(hardware, num_devices=number), needs)
            if found.fits or (found.limit is Limit.context and shortened(found, needs)):
                return number
    return None
