"""How many replicas of which size fit on the devices, and which division is best: scale=ray.

A replica is one engine of tensor_parallel_size x pipeline_parallel_size devices. Pure, as
choose.py: it tries each tensor_parallel_size, and ranks what fits by this rule.

A decoding step gives each of a replica's B running samples one token. It is bound by memory: each
device reads its share of the weights and of the B samples' KV cache once, and a tensor parallel
group exchanges the activations twice in each layer. So, up to the memory's bandwidth,

    rate = replicas x B / (weights + KV cache of B samples + exchanges)     in GiB of a device

with B = min(max_num_seqs, samples of typical length that the KV cache holds, samples to draw). The
first two terms are the planner's own figures. An exchange counts as what a device could read in
the meantime: EXCHANGE_GIB for the 15 us that choose.py assumes, and LINK times the bytes that each
device sends in a ring, 2 (TP - 1) / TP of B x hidden_size. Pipeline stages read their weights once
for each of the parts that the batch is divided into. (Roofline of decoding: Pope et al. 2022,
"Efficiently Scaling Transformer Inference". One GPU if the model fits, TP within a node, stages
across nodes: https://docs.vllm.ai/en/latest/serving/parallelism_scaling/.)

Hence the smallest group is best as long as its KV cache holds many samples. A larger one wins if
weights leave too little KV cache, if the longest row does not fit, or if there are so few samples
that steps read little but weights. The rate ranks; it is not a throughput. Links slower than NVLink
and prefill are left out, so that a larger group has to be BETTER by a clear margin.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace
from math import ceil

from rollout.config.sections.engine import Device, Engine
from rollout.config.sections.scale import ScaleOut
from rollout.engines.placement import executor_of
from rollout.plan.choose import LEAST_WEIGHTS_GIB, Choice, choice_of, choose
from rollout.plan.memory.fit import GIB, Fit, ModelSize, Needs
from rollout.plan.memory.hardware import Hardware
from rollout.plan.memory.shape import dtype_bytes

EXCHANGE_GIB = LEAST_WEIGHTS_GIB / (2 * 36)
LINK = 7  # memory over NVLink, GB/s each way: A100 2,039 over 300, H100 3,350 over 450
BETTER = 1.25  # times the rate of a smaller group


@dataclass(frozen=True, slots=True)
class Replicas:
    """One way to divide the devices among replicas."""

    model: ModelSize
    choice: Choice  # of one replica
    num_replicas: int
    room: int  # replicas that the devices have room for
    needs: Needs
    num_samples: int | None  # to draw in all; None: unknown

    @property
    def fit(self) -> Fit:
        return self.choice.fit

    @property
    def engine(self) -> Engine:
        return self.choice.engine

    @property
    def fits(self) -> bool:
        return self.fit.fits and 0 < self.num_replicas <= self.room

    @property
    def why(self) -> str:
        """The reason why it does not fit; "" if it does."""
        if self.fits or not self.fit.fits:
            return self.fit.why
        if self.num_replicas > self.room > 0:
            found = f"{self.room} replica{'s' * (self.room != 1)} of {self.name}"
            return (
                f"scale.num_replicas={self.num_replicas}, but {self.fit.hardware} has room for "
                f"{found}; type scale.num_replicas={self.room}, or auto"
            )
        return _no_place(self.fit)

    @property
    def name(self) -> str:
        """Its size, as printed: TP 4, or TP 8 x PP 2."""
        stages = self.engine.pipeline_parallel_size
        return f"TP {self.engine.tensor_parallel_size}{f' x PP {stages}' if stages > 1 else ''}"

    @property
    def kv_tokens(self) -> int:
        """KV cache tokens of all replicas."""
        return self.num_replicas * self.fit.kv_tokens

    @property
    def num_concurrent(self) -> float:
        """Samples that all replicas hold at once, if there are as many."""
        return self.num_replicas * self.fit.num_concurrent

    @property
    def is_idle(self) -> bool:
        """Whether there are fewer samples to draw than the replicas hold."""
        return self.num_samples is not None and self.num_samples < self.num_concurrent

    @property
    def holds_longest(self) -> bool:
        """Whether the context, which `engine=auto` may have shortened, holds the longest row."""
        return self.fit.max_model_len >= (self.needs.longest or 0)

    @property
    def copy_gib(self) -> float:
        """GiB of weights that one replica loads, over all its devices."""
        return self.model.weights(self.engine).device_bytes() / GIB

    @property
    def rate(self) -> float:
        """Samples per GiB that a device reads in one step: see the module's docstring."""
        if not self.fits:
            return 0.0
        most = self.num_concurrent
        running = most if self.num_samples is None else max(1.0, min(most, self.num_samples))
        each = max(1.0, running / self.num_replicas)
        length = min(self.needs.typical or self.fit.max_model_len, self.fit.max_model_len)
        cache = self.fit.cache
        cached_gib = each * cache.blocks_of(length) * cache.block_bytes / GIB if cache else 0.0
        read_gib = self.engine.pipeline_parallel_size * self.fit.weights_gib
        return running / (read_gib + cached_gib + self._exchanges_gib(each))

    def _exchanges_gib(self, num_tokens: float) -> float:
        """Return what a device could read while a step's exchanges take place."""
        shape, size = self.model.shape, self.engine.tensor_parallel_size
        if size == 1:
            return 0.0
        num_bytes = num_tokens * shape.hidden_size * dtype_bytes(self.engine.dtype, shape)
        sent_gib = 2 * (size - 1) / size * num_bytes / GIB
        return 2 * shape.num_layers * (EXCHANGE_GIB + LINK * sent_gib)


def choose_replicas(
    model: ModelSize,
    engine: Engine,
    hardware: Hardware,
    needs: Needs,
    scale: ScaleOut,
    given: Set[str] = frozenset(),
    num_samples: int | None = None,
) -> list[Replicas]:
    """Return the ways to divide `hardware`, the best first; each replica's settings are `choose`'s.

    `given` names the settings that must not change: with tensor_parallel_size there is one way.
    `num_samples` are the samples to draw in all. Those that don't fit come last.
    """
    options = []
    for size in _sizes(model, engine, hardware, given):
        tried = replace(engine, tensor_parallel_size=size)
        options.append(_option(model, engine, tried, hardware, needs, scale, given, num_samples))
    stages, widest = 2, options[-1].engine.tensor_parallel_size
    is_free = engine.pipeline_parallel_size == 1 and "pipeline_parallel_size" not in given
    is_free = is_free and widest <= hardware.devices_per_node
    while is_free and stages <= hardware.num_nodes and not any(o.fits for o in options):
        tried = replace(engine, tensor_parallel_size=widest, pipeline_parallel_size=stages)
        options.append(_option(model, engine, tried, hardware, needs, scale, given, num_samples))
        stages += 1
    return _ranked(options)


def replicas_of(
    model: ModelSize,
    found: Fit,
    needs: Needs,
    scale: ScaleOut,
    num_samples: int | None = None,
    asked: Engine | None = None,
) -> Replicas:
    """Return the replicas of an engine whose settings are fixed; `asked`: before `choose`."""
    room = room_for(found, scale)
    return Replicas(
        model=model,
        choice=choice_of(found, asked or found.engine),
        num_replicas=number_of(scale, found, room),
        room=room,
        needs=needs,
        num_samples=num_samples,
    )


def number_of(scale: ScaleOut, found: Fit, room: int) -> int:
    """Return how many replicas a run starts; with auto on a CPU, one with all cores of a node."""
    if scale.num_replicas != "auto":
        return int(scale.num_replicas)
    has_all_cores = found.hardware.device is Device.cpu and scale.cpus_per_replica is None
    return min(room, found.hardware.num_nodes) if has_all_cores else room


def room_for(found: Fit, scale: ScaleOut) -> int:
    """Return how many such replicas the devices have room for.

    A tensor parallel group stays within a node; the stages of a pipeline may be on several. On a
    CPU, memory and cores limit the replicas: scale.cpus_per_replica each, or at least one.
    """
    engine, hardware = found.engine, found.hardware
    if hardware.device is Device.cpu:
        by_memory = int(hardware.free_gib // host_gib(found))
        by_cores = int(hardware.num_cpus // (scale.cpus_per_replica or 1))
        by_cores = by_cores if hardware.num_cpus else by_memory
        return min(by_memory, by_cores) * hardware.num_nodes
    if _spans_nodes(engine):
        return hardware.num_devices // engine.world_size
    if engine.world_size <= hardware.devices_per_node:
        return hardware.devices_per_node // engine.world_size * hardware.num_nodes
    groups = hardware.devices_per_node // engine.tensor_parallel_size * hardware.num_nodes
    return groups // engine.pipeline_parallel_size


def host_gib(found: Fit) -> float:
    """Return the memory that one replica takes on a CPU."""
    return found.weights_gib + found.allowance.total_gib + max(0.0, found.kv_cache_gib)


def _spans_nodes(engine: Engine) -> bool:
    """Whether a tensor parallel group is asked to span nodes."""
    single = replace(engine, pipeline_parallel_size=1)
    return executor_of(single, Device.cuda) == "ray"


def _no_place(found: Fit) -> str:
    """Return why there is room for no replica, although its devices hold the model."""
    engine, hardware = found.engine, found.hardware
    size, per_node = engine.tensor_parallel_size, hardware.devices_per_node
    if hardware.device is Device.cpu:
        return (
            f"a replica takes {host_gib(found):.1f} GiB and at least one core; {hardware} has "
            f"{hardware.free_gib:.1f} GiB free and {hardware.num_cpus} cores; lower "
            "scale.cpus_per_replica or engine.kv_cache_gib"
        )
    stages = ceil(engine.world_size / per_node)
    return (
        f"tensor_parallel_size={size} does not fit in a node of {per_node} devices; type "
        f"engine.tensor_parallel_size={per_node} engine.pipeline_parallel_size={stages}, or "
        "engine.extra.distributed_executor_backend=ray to let the group span nodes"
    )


def _sizes(model: ModelSize, engine: Engine, hardware: Hardware, given: Set[str]) -> Iterator[int]:
    """Yield the tensor_parallel_size values to try, the smallest first."""
    if "tensor_parallel_size" in given or hardware.device is Device.cpu:
        yield engine.tensor_parallel_size
        return
    for size in (2**i for i in range(10)):
        is_divisible = model.shape.num_heads % size == 0
        if size == 1 or (size <= hardware.devices_per_node and is_divisible):
            yield size


def _option(
    model: ModelSize,
    asked: Engine,
    tried: Engine,
    hardware: Hardware,
    needs: Needs,
    scale: ScaleOut,
    given: Set[str],
    num_samples: int | None,
) -> Replicas:
    found = choose(model, tried, hardware, needs, given | {"tensor_parallel_size"}).fit
    return replicas_of(model, found, needs, scale, num_samples, asked)


def _ranked(options: list[Replicas]) -> list[Replicas]:
    """Return the options with the best first, then by rate; those that don't fit last."""
    holding = [o for o in options if o.fits and o.holds_longest] or [o for o in options if o.fits]
    fitting = [o for o in options if o.fit.fits] or options[-1:]  # too many were asked for
    best = holding[0] if holding else max(fitting, key=lambda option: option.room)
    for option in holding[1:]:
        if option.rate > BETTER * best.rate:
            best = option
    others = [option for option in options if option is not best]
    return [best, *sorted(others, key=lambda option: (-option.fits, -option.rate))]
