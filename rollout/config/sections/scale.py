"""`scale.`: how many engines, and where."""

import typing
from dataclasses import dataclass
from enum import Enum

from rollout.config.schema import HOW, setting


class Scale(Enum):
    local = "local"
    ray = "ray"


@dataclass(kw_only=True, slots=True)
class ScaleOut:
    """How many engines, and where."""

    kind: typing.ClassVar[str] = HOW
    mode: Scale = setting(
        Scale.local, "local: one engine on this machine; ray: replicas of it on a Ray cluster"
    )
    num_replicas: int | str = setting(
        1, "number of engines (auto with scale=ray); auto: as many as the cluster has room for, "
        "new nodes included",
        minimum=1,
    )  # fmt: skip
    address: str | None = setting(
        None, "Ray cluster to use: auto, or HOST:PORT; null starts one on this machine"
    )
    cpus_per_replica: float | None = setting(
        None, "CPU cores for each replica; null: 1 for each GPU, or an even share without GPUs",
        above=0,
    )  # fmt: skip
    resources: dict[str, float] = setting(
        {}, "further Ray resources of each replica, such as {accelerator_type\\:H100: 0.001}"
    )
    wait_s: float = setting(
        600.0, "how long to wait while the cluster has no place for any replica", minimum=0
    )
    dashboard: bool = setting(False, "start Ray's dashboard, on this machine only")
