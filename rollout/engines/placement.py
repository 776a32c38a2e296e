"""What one replica takes of a Ray cluster: its bundles, and vLLM's executor that suits them.

Pure: imports no Ray. A replica is an actor in the first bundle of its own placement group.

A replica within one node is one bundle with all its GPUs. Its actor takes them, and vLLM's `mp`
executor starts a process for each: Ray then has nothing but the actor to start, and to kill. vLLM
has to be given `mp`, because in a placement group it would choose its Ray executor
(vllm/config/parallel.py), which refuses a bundle with more than one GPU
(vllm/v1/executor/ray_utils.py, initialize_ray_cluster).

A replica that spans nodes has a bundle for each GPU, which vLLM's `ray` executor gives to its
workers. The actor takes no GPU, so that all are left for them. The executor ranks the workers node
by node, the actor's node first (get_bundles_sorted_by_node), so a tensor parallel group stays in
a node where each node has a multiple of tensor_parallel_size (`splits_a_group`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import floor

from rollout.config.sections.engine import Device, Engine
from rollout.errors import UserError

EXECUTOR = "distributed_executor_backend"  # vLLM's name, in engine.extra
OF_NODES = ("accelerator_type:", "node:")  # resources that tell nodes apart, needed in each bundle
PRECISION = 1e4  # Ray counts resources in steps of 1/10,000

Bundle = dict[str, float]


def executor_of(engine: Engine, device: Device, gpus_per_node: int | None = None) -> str | None:
    """Return the executor to pass to vLLM: `mp` within a node, `ray` across nodes, else None.

    Only pipeline stages are spread over nodes, since a tensor parallel group exchanges data twice
    in each layer (https://docs.vllm.ai/en/latest/serving/parallelism_scaling/): all of them if
    `gpus_per_node` is unknown or too few. `engine.extra.distributed_executor_backend` decides where
    it is set, and `ray` there also lets a tensor parallel group span nodes.
    """
    if (asked := engine.extra.get(EXECUTOR)) is not None:
        return asked
    if device is Device.cpu or engine.world_size == 1:
        return None
    fits_a_node = gpus_per_node is not None and engine.world_size <= gpus_per_node
    return "mp" if engine.pipeline_parallel_size == 1 or fits_a_node else "ray"


def bundles_of(
    engine: Engine,
    device: Device,
    cpus_per_replica: float | None = None,
    resources: Mapping[str, float] | None = None,
    gpus_per_node: int | None = None,
) -> tuple[list[Bundle], str]:
    """Return the bundles of a replica's placement group, and the group's strategy.

    The first bundle is the actor's. `cpus_per_replica` and `resources` are of the whole replica;
    null CPUs are one for each GPU, or one without GPUs. Resources that tell nodes apart, such as
    accelerator_type:H100, are in every bundle.
    """
    num_gpus = 0 if device is Device.cpu else engine.world_size
    cpus = cpus_per_replica or float(max(1, num_gpus))
    own = dict(resources or {})
    if not num_gpus or executor_of(engine, device, gpus_per_node) != "ray":
        gpus = {"GPU": float(num_gpus)} if num_gpus else {}
        return [{"CPU": cpus, **gpus, **own}], "STRICT_PACK"
    share = int(cpus / num_gpus * PRECISION) / PRECISION
    each: Bundle = {"GPU": 1.0, **({"CPU": share} if share else {})}
    each |= {name: value for name, value in own.items() if name.startswith(OF_NODES)}
    return [each | own, *(dict(each) for _ in range(num_gpus - 1))], "PACK"


def gpus_of_actor(engine: Engine, device: Device, gpus_per_node: int | None = None) -> int:
    """Return the GPUs that the actor itself takes of the first bundle."""
    spans = executor_of(engine, device, gpus_per_node) == "ray"
    return 0 if device is Device.cpu or spans else engine.world_size


def splits_a_group(node_of_bundles: Sequence[str], engine: Engine) -> bool:
    """Whether a tensor parallel group spans nodes, given the node of each bundle with a GPU.

    PACK is a preference: on a cluster in use Ray may take the GPUs that several nodes have left.
    """
    counts = Counter(node_of_bundles).values()
    return any(count % engine.tensor_parallel_size for count in counts)


def count_in(has: Mapping[str, float], bundle: Bundle) -> int:
    """Return how many bundles fit in a node's resources."""
    needs = [(name, need) for name, need in bundle.items() if need]
    return min((floor(has.get(name, 0.0) / need + 1e-6) for name, need in needs), default=0)


def room_in(nodes: Iterable[Mapping[str, float]], bundles: list[Bundle]) -> int:
    """Return how many replicas of these bundles empty nodes hold."""
    places = sum(count_in(has, bundles[-1]) for has in nodes)
    return places // len(bundles)


def as_words(bundles: list[Bundle]) -> str:
    """Return the resources of bundles as a user reads them: `1 CPU, 1 GPU`."""
    total: dict[str, float] = {}
    for bundle in bundles:
        for name, count in bundle.items():
            total[name] = total.get(name, 0.0) + count
    each = ", ".join(f"{count:.4g} {name}" for name, count in total.items())
    return each if len(bundles) == 1 else f"{each} in {len(bundles)} bundles"


def refuse_too_many(count: int | str, bundles: list[Bundle], has: Mapping[str, float]) -> None:
    """Raise UserError if `count` replicas of these bundles don't fit in the one node there is."""
    room = room_in([has], bundles)
    if room >= (1 if count == "auto" else count):
        return
    advice = f"type scale.num_replicas={room}, or auto" if room else "type a smaller replica"
    raise UserError(
        f"scale.num_replicas={count}: each replica takes {as_words(bundles)}, and this machine "
        f"has {has.get('CPU', 0):g} CPU, {has.get('GPU', 0):g} GPU, so {room} fit; {advice}"
    )
