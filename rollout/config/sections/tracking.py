"""`tracking.`: where metrics are sent."""

import typing
from dataclasses import dataclass
from enum import Enum

from rollout.config.schema import ABOUT, setting


class Tracker(Enum):
    none = "none"
    wandb = "wandb"


class WandbMode(Enum):
    auto = "auto"
    online = "online"
    offline = "offline"


@dataclass(kw_only=True, slots=True)
class Tracking:
    """Where metrics are sent. Local files are always written."""

    kind: typing.ClassVar[str] = ABOUT
    tracker: Tracker = setting(Tracker.wandb, "wandb, or none (wandb is then not imported)")
    project: str = setting("rollout", "wandb project")
    entity: str | None = setting(None, "wandb team or user; null: your default")
    name: str | None = setting(None, "wandb run name; null: the run directory's name")
    group: str | None = setting(None, "wandb group; null: the sweep directory's name, if any")
    tags: list[str] = setting([], "wandb tags, before those that every run gets")
    mode: WandbMode = setting(WandbMode.auto, "auto: online when logged in, else offline")
    interval_s: float = setting(2.0, "seconds between lines of metrics.jsonl", above=0)
    num_table_rows: int = setting(20, "prompts to show in wandb's table of responses", minimum=0)
    artifact: bool = setting(False, "upload the output, and its scores, as a wandb artifact")
