"""`scale.`: how many engines."""

import typing
from dataclasses import dataclass
from enum import Enum

from rollout.config.schema import HOW, setting


class Scale(Enum):
    local = "local"


@dataclass(kw_only=True, slots=True)
class ScaleOut:
    """How many engines."""

    kind: typing.ClassVar[str] = HOW
    mode: Scale = setting(Scale.local, "local: one engine on this machine")
    num_replicas: int = setting(1, "number of engines", minimum=1, maximum=1)
