"""Engines on a Ray cluster: connect to it, or start one here; place actors, and hear from them.

Each replica has its own placement group, and its actor is never restarted nor a call repeated by
Ray: rows, retries and blame are the driver's. A cluster started here listens on loopback only, with
Ray's token authentication, and ends with this process.
"""

import os
import re
import signal
import threading
import time
from collections.abc import Mapping
from math import floor
from typing import Any

from rollout.config.sections.engine import Device
from rollout.config.sections.scale import ScaleOut
from rollout.engines.base import Engine, EnginePlan, Sampler
from rollout.engines.memory_faults import Stage, memory_fault
from rollout.engines.ray.engine import RayEngine
from rollout.errors import EngineError, UserError
from rollout.system.console import Console

LOOK_S = 0.25  # between two questions whether a replica is placed
NODES_S = 2.0  # between two looks at the nodes
END_S = 10.0  # for an engine to shut down before its actor is killed
HERE = {  # for a cluster on this machine
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else it listens on the machine's own address
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
}
STORE_BYTES = 1 << 30  # of shared memory, for reports above 100 KB


class RayHost:
    """A cluster, and the replicas on it. The caller closes it."""

    def __init__(self, plan: EnginePlan, console: Console):
        self._scale, self._console = plan.scale, console
        self._address = plan.scale.address or os.environ.get("RAY_ADDRESS") or None
        self._ray = connect(plan.scale, self._address)
        self._engines: list[RayEngine] = []
        self._ending: list[tuple[Any, Place, float]] = []  # with the time to kill it at the latest
        self._nodes: dict[str, dict[str, Any]] = {}
        self._draining: set[str] = set()
        self._looked_at = float("-inf")
        self._hopeless_since: float | None = None
        self.samplers: dict[str, Sampler] = {}
        self._refuse_too_many(plan)

    def __str__(self) -> str:
        count = len(self._look())
        where = f"the Ray cluster at {self._address}" if self._address else "Ray on this machine"
        return f"{where}, {count} node{'s' * (count != 1)}"

    # Room.

    def _look(self) -> dict[str, dict[str, Any]]:
        """Return the nodes that are alive, by id; looked up again every NODES_S."""
        now = time.monotonic()
        if now - self._looked_at >= NODES_S:
            self._looked_at = now
            self._nodes = {n["NodeID"]: n for n in self._ray.nodes() if n["Alive"]}
            self._draining = self._find_draining()
        return self._nodes

    def _find_draining(self) -> set[str]:
        """Return the nodes that will be taken away, such as preempted spot instances."""
        return set(self._ray._private.state.state.get_draining_nodes())

    def bundle(self, plan: EnginePlan) -> dict[str, float]:
        """Return the resources of one replica on one node."""
        gpus = plan.engine.tensor_parallel_size if plan.device is Device.cuda else 0
        cpus = self._scale.cpus_per_replica
        if cpus is None:
            cpus = gpus or self._share_of_cores()
        return {"CPU": cpus, **({"GPU": gpus} if gpus else {}), **self._scale.resources}

    def _share_of_cores(self) -> float:
        cores = [node["Resources"].get("CPU", 0.0) for node in self._look().values()]
        count = self._scale.num_replicas
        if count == "auto":  # an engine uses all cores of its node
            return max(min((c for c in cores if c), default=1.0), 1.0)
        share = sum(cores) / count
        return float(floor(share)) if share >= 1 else floor(share * 100) / 100

    def _room_on(self, node: dict[str, Any], bundle: Mapping[str, float]) -> int:
        """Return how many replicas a node could hold if it were empty."""
        has = node["Resources"]
        return min(floor(has.get(name, 0.0) / need + 1e-9) for name, need in bundle.items() if need)

    def num_slots(self, plan: EnginePlan) -> int:
        """See Host.num_slots. Raises EngineError if no replica has found a place for too long."""
        self._end_those_due()
        self._refuse_to_wait_forever(plan)
        if self._scale.num_replicas != "auto":
            return self._scale.num_replicas
        bundle, nodes = self.bundle(plan), self._look()
        staying = [node for name, node in nodes.items() if name not in self._draining]
        return max(1, sum(self._room_on(node, bundle) for node in staying))

    def _refuse_too_many(self, plan: EnginePlan) -> None:
        """Raise UserError if a cluster of this machine alone can't hold the replicas."""
        if self._address:
            return
        bundle = self.bundle(plan)
        room = sum(self._room_on(node, bundle) for node in self._look().values())
        count = self._scale.num_replicas
        if room and (count == "auto" or count <= room):
            return
        has = " and ".join(
            f"{node['Resources'].get('CPU', 0):g} CPUs, {node['Resources'].get('GPU', 0):g} GPUs"
            for node in self._look().values()
        )
        self.close()
        advice = f"type scale.num_replicas={room}, or auto" if room else "type a smaller replica"
        raise UserError(
            f"scale.num_replicas={count}: each replica takes {as_words(bundle)}, and this machine "
            f"has {has}, so {room} fit; {advice}"
        )

    def _refuse_to_wait_forever(self, plan: EnginePlan) -> None:
        now = time.monotonic()
        if not self._engines or any(engine.is_placed for engine in self._engines):
            self._hopeless_since = None
            return
        self._hopeless_since = self._hopeless_since or now
        if now - self._hopeless_since > self._scale.wait_s:
            bundle = self.bundle(plan)
            room = max((self._room_on(n, bundle) for n in self._look().values()), default=0)
            why = "others use it" if room else "no node is large enough"
            raise EngineError(
                f"no replica found a place within scale.wait_s={self._scale.wait_s:g} seconds: "
                f"each takes {as_words(bundle)}, and {why} ({self}); see ray status"
            )

    # Engines.

    def load(self, plan: EnginePlan, environment: Mapping[str, str], number: int) -> Engine:
        log = plan.log_file.with_name(f"{plan.log_file.stem}-{number}.log")
        engine = RayEngine(self, plan, environment, log)
        self._engines.append(engine)
        return engine

    def place(self, plan: EnginePlan) -> "Place":
        """Ask for the resources of one replica."""
        return Place(self._ray, self.bundle(plan))

    def leave(self, engine: RayEngine, place: "Place") -> None:
        """Free a replica's place, once its engine has shut down."""
        self._engines.remove(engine)
        if place.actor is None:
            place.remove()
            return
        self._ending.append((place.actor.shutdown.remote(), place, time.monotonic() + END_S))

    def _end_those_due(self, at_once: bool = False) -> None:
        now, waiting = time.monotonic(), []
        for ended, place, due in self._ending:
            if at_once or now >= due or self.has_arrived(ended):
                place.remove()
            else:
                waiting.append((ended, place, due))
        self._ending = waiting

    def has_arrived(self, answer: Any) -> bool:
        return bool(self._ray.wait([answer], timeout=0)[0])

    def wait(self, timeout_s: float) -> None:
        awaited = [answer for engine in self._engines for answer in engine.awaited]
        if not awaited:
            time.sleep(timeout_s)
            return
        self._ray.wait(awaited, timeout=timeout_s)

    def get(self, answer: Any, place: "Place") -> Any:
        """Return what arrived from the actor at `place`. Raises EngineError if the actor died."""
        try:
            return self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            raise self._death(error, place) from error

    def _death(self, error: Exception, place: "Place") -> EngineError:
        """Return the death of an actor; the loss of its node is nobody's fault."""
        self._looked_at = float("-inf")
        if place.node not in self._look():
            death = EngineError(f"the replica's node {place.name} left the cluster")
            death.excuse = "the rows in flight are submitted again"
            return death
        text = " ".join(str(error).split())
        reason = re.search(r"The actor (?:is dead|died) because (.{1,200}?)\.? *(?:\Z|[A-Z])", text)
        reason = reason[1] if reason else text[:200]
        death = EngineError(f"the replica's process on {place.name} ended: {reason}")
        death.fault = memory_fault(
            f"{type(error).__module__}.{type(error).__name__}: {text}", Stage.run
        )
        return death

    def is_leaving(self, engine: Engine) -> bool:
        self._look()
        return engine.node in self._draining

    def close(self) -> None:
        """End every replica; a cluster started here ends, too."""
        self._end_those_due(at_once=True)
        self._ray.shutdown()


class Place:
    """The resources of one replica, and the actor in them."""

    def __init__(self, ray: Any, bundle: Mapping[str, float]):
        from ray.util.placement_group import placement_group

        self._ray, self._bundle = ray, dict(bundle)
        self._group = placement_group([self._bundle], strategy="STRICT_PACK")
        self._asked_at = 0.0
        self.actor: Any = None
        self.node = self.name = ""  # id and address of its node

    @property
    def is_ready(self) -> bool:
        """Whether the resources are there, and the actor is being started in them."""
        if self.actor is not None:
            return True
        now = time.monotonic()
        if now - self._asked_at < LOOK_S:
            return False
        self._asked_at = now
        if not self._group.wait(0):
            return False
        self._start()
        return True

    def _start(self) -> None:
        from ray.util.placement_group import placement_group_table
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        from rollout.engines.ray.actor import EngineActor

        further = {k: v for k, v in self._bundle.items() if k not in ("CPU", "GPU")}
        options = {
            "num_cpus": self._bundle["CPU"],
            "num_gpus": self._bundle.get("GPU", 0),
            "resources": further,
            "max_restarts": 0,
            "max_task_retries": 0,
            "scheduling_strategy": PlacementGroupSchedulingStrategy(
                self._group, 0, placement_group_capture_child_tasks=True
            ),
        }
        self.actor = self._ray.remote(EngineActor).options(**options).remote()
        self.node = placement_group_table(self._group)["bundles_to_node_id"][0]
        nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in self._ray.nodes()}
        self.name = nodes.get(self.node, "")

    def remove(self) -> None:
        """End the actor, and free the resources."""
        from ray.util.placement_group import remove_placement_group

        if self.actor is not None:
            self._ray.kill(self.actor, no_restart=True)
        remove_placement_group(self._group)


def connect(scale: ScaleOut, address: str | None) -> Any:
    """Return Ray, connected to the cluster at `address`, or to one started here. Raises UserError.

    Ray's own signal handler is replaced by ours again: a signal stops the run first.
    """
    try:
        if address is None:
            os.environ.update({k: v for k, v in HERE.items() if k not in os.environ})
        import ray
    except ImportError as error:
        raise UserError(
            f"scale=ray needs Ray ({error}); type pip install 'rollout[ray]'"
        ) from error
    if address and address.startswith("ray://"):
        raise UserError(
            f"scale.address={address} is a Ray client's; start rollout on a node of the cluster "
            "with scale.address=auto, or by ray job submit"
        )
    here = {
        "address": "local",
        "num_cpus": len(os.sched_getaffinity(0)),
        "include_dashboard": scale.dashboard,
        "object_store_memory": STORE_BYTES,
        "_node_ip_address": "127.0.0.1",
    }
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if is_main else None
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    try:
        ray.init(**({"address": address} if address else here), **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        where = f"scale.address={address}" if address else "Ray on this machine"
        advice = "check the address with ray status" if address else "see /tmp/ray"
        raise UserError(f"{where}: no cluster answers ({reason}); {advice}") from error
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)
    return ray


def as_words(bundle: Mapping[str, float]) -> str:
    """Return resources as a user reads them: `1 GPU, 4 CPU`."""
    return ", ".join(f"{count:g} {name}" for name, count in bundle.items())
