"""A replica's place on the cluster: its placement group, and the actor in the first bundle."""

import time
from collections.abc import Mapping
from typing import Any

from rollout.engines.base import EnginePlan
from rollout.engines.placement import Bundle, splits_a_group
from rollout.errors import EngineError

LOOK_S = 0.25  # between two questions whether there is room


class Place:
    """The resources of one replica, asked for at once, and its actor once they are there.

    Ray never restarts the actor nor repeats a call. Whoever has it calls `remove`.
    """

    def __init__(self, ray: Any, plan: EnginePlan, bundles: list[Bundle], strategy: str, gpus: int):
        from ray.util.placement_group import placement_group

        self._ray, self._plan, self._bundles, self._gpus = ray, plan, bundles, gpus
        self._group = placement_group(bundles, strategy=strategy)
        self._asked_at = 0.0
        self.actor: Any = None
        self.node = self.name = ""  # id and address of the actor's node

    @property
    def is_ready(self) -> bool:
        """Whether there is room, and the actor is being started. Raises EngineError."""
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

        nodes = placement_group_table(self._group)["bundles_to_node_id"]
        if len(nodes) > 1 and splits_a_group(list(nodes.values()), self._plan.engine):
            raise EngineError(
                "the GPUs that are free do not hold a tensor parallel group within a node; type a "
                "smaller engine.tensor_parallel_size and a larger engine.pipeline_parallel_size"
            )
        first = self._bundles[0]
        options: Mapping[str, Any] = {
            "num_cpus": first.get("CPU", 0),
            "num_gpus": self._gpus,
            "resources": {k: v for k, v in first.items() if k not in ("CPU", "GPU")},
            "max_restarts": 0,
            "max_task_retries": 0,
            "scheduling_strategy": PlacementGroupSchedulingStrategy(
                self._group, 0, placement_group_capture_child_tasks=True
            ),
        }
        self.actor = self._ray.remote(EngineActor).options(**options).remote()
        self.node = nodes[0]
        names = {node["NodeID"]: node["NodeManagerAddress"] for node in self._ray.nodes()}
        self.name = names.get(self.node, "")

    def remove(self) -> None:
        """End the actor, and free the resources."""
        from ray.util.placement_group import remove_placement_group

        if self.actor is not None:
            self._ray.kill(self.actor, no_restart=True)
        remove_placement_group(self._group)
