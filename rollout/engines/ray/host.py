"""Engines on a Ray cluster: how many, where they are placed, and news from them.

Rows, retries and blame are the driver's.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from math import floor
from typing import Any

from rollout.config.sections.engine import Device
from rollout.config.sections.scale import ScaleOut
from rollout.engines.base import Engine, EnginePlan, Sampler
from rollout.engines.memory_faults import Stage, memory_fault
from rollout.engines.placement import (
    EXECUTOR,
    Bundle,
    as_words,
    bundles_of,
    executor_of,
    gpus_of_actor,
)
from rollout.engines.ray.cluster import Cluster
from rollout.engines.ray.engine import RayEngine
from rollout.engines.ray.place import Place
from rollout.errors import EngineError

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
END_S = 10.0  # for an engine to shut down before its actor is killed


class RayHost:
    """A cluster, and the replicas on it. The caller closes it."""

    def __init__(self, scale: ScaleOut):
        self._scale = scale
        self._cluster = Cluster(scale)
        self._ray = self._cluster.ray
        self._engines: list[RayEngine] = []
        self._ending: list[tuple[Any, Place, float]] = []  # with the time to kill it at the latest
        self._hopeless_since: float | None = None
        self.samplers: dict[str, Sampler] = {}

    def __str__(self) -> str:
        return str(self._cluster)

    # Room.

    def _bundles(self, plan: EnginePlan) -> tuple[list[Bundle], str]:
        cpus = self._scale.cpus_per_replica
        if cpus is None and plan.device is Device.cpu:
            cpus = self._share_of_cores()
        per_node = self._cluster.gpus_per_node
        return bundles_of(plan.engine, plan.device, cpus, self._scale.resources, per_node)

    def _share_of_cores(self) -> float:
        cores = [has["CPU"] for has in self._cluster.nodes().values() if has.get("CPU")]
        return share_of(cores or [1.0], self._scale.num_replicas)

    def num_slots(self, plan: EnginePlan) -> int:
        """See Host.num_slots. Raises EngineError if no replica has found a place for too long."""
        self._end_those_due()
        self._cluster.nodes()  # notice those that are about to be taken away
        self._refuse_to_wait_forever(plan)
        if self._scale.num_replicas != "auto":
            return self._scale.num_replicas
        return max(1, self._cluster.room(self._bundles(plan)[0]))

    def _refuse_to_wait_forever(self, plan: EnginePlan) -> None:
        now = time.monotonic()
        if not self._engines or any(engine.is_placed for engine in self._engines):
            self._hopeless_since = None
            return
        self._hopeless_since = self._hopeless_since or now
        if now - self._hopeless_since > self._scale.wait_s:
            bundles, _ = self._bundles(plan)
            room = self._cluster.room(bundles)
            why = "others use that now" if room else "the nodes have no room for that"
            raise EngineError(
                f"no replica found a place within scale.wait_s={self._scale.wait_s:g} seconds: "
                f"each takes {as_words(bundles)}, and {why} ({self}); ray status shows more"
            )

    # Engines.

    def load(self, plan: EnginePlan, environment: Mapping[str, str], group: str) -> Engine:
        executor = executor_of(plan.engine, plan.device, self._cluster.gpus_per_node)
        if executor:
            extra = {EXECUTOR: executor, **plan.engine.extra}
            plan = replace(plan, engine=replace(plan.engine, extra=extra))
        engine = RayEngine(self, plan, environment, group)
        self._engines.append(engine)
        return engine

    def place(self, plan: EnginePlan) -> Place:
        """Ask for the resources of one replica."""
        bundles, strategy = self._bundles(plan)
        gpus = gpus_of_actor(plan.engine, plan.device, self._cluster.gpus_per_node)
        return Place(self._ray, plan, bundles, strategy, gpus)

    def leave(self, engine: RayEngine, place: Place) -> None:
        """Free a replica's place, once its engine has shut down."""
        self._engines.remove(engine)
        if self._cluster.is_lost:
            return
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

    def get(self, answer: Any, place: Place) -> Any:
        """Return what arrived from the actor at `place`. Raises EngineError if the actor died."""
        try:
            return self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            raise self._death(error, place) from error

    def _death(self, error: Exception, place: Place) -> EngineError:
        """Return the death of an actor; the loss of its node is nobody's fault."""
        if place.node not in self._cluster.nodes(now=True):
            death = EngineError(f"the replica's node {place.name} left the cluster")
            death.excuse = "the rows in flight are submitted again"
            return death
        text = " ".join(COLOURS.sub("", str(error)).split())
        if isinstance(error, self._ray.exceptions.ActorUnavailableError):
            death = EngineError(f"the replica on {place.name} can't be reached any more")
            death.excuse = "the rows in flight are submitted again"
            return death
        reason = re.search(r"The actor (?:is dead|died) because (.{1,200}?)\.? *(?:\Z|[A-Z])", text)
        missing = re.search(r"No module named '[\w.]+'", text)
        if missing:
            return EngineError(
                f"the node {place.name} can't run a replica: {missing[0]}; install rollout and "
                "vLLM on every node, in the versions that are here"
            )
        shown = reason[1] if reason else text[-200:]
        death = EngineError(f"the replica's process on {place.name} ended: {shown}")
        name = f"{type(error).__module__}.{type(error).__name__}"
        death.fault = memory_fault(f"{name}: {text}", Stage.run)
        return death

    def is_leaving(self, engine: Engine) -> bool:
        return engine.node in self._cluster.draining

    def close(self) -> None:
        """End every replica; a cluster started here ends, too."""
        self._end_those_due(at_once=True)
        self._cluster.close()


def share_of(cores: list[float], count: int | str) -> float:
    """Return the cores of each replica, given those of each node: as many as let `count` fit.

    With `auto`, an engine uses all cores of the smallest node.
    """
    if count == "auto":
        return min(cores)
    shares = {each / number for each in cores for number in range(1, count + 1)}
    most = max(s for s in shares if sum(floor(each / s + 1e-9) for each in cores) >= count)
    return float(floor(most)) if most >= 1 else floor(most * 100) / 100
