"""What was found out for one run and holds for others: the points of a sweep ask the same again."""

from dataclasses import dataclass, field

from rollout.config.sections.engine import Engine
from rollout.inputs.adapters import Adapter
from rollout.inputs.models import ResolvedModel
from rollout.inputs.prompts import Prompts
from rollout.plan.prompts.lengths import Lengths


@dataclass(slots=True)
class Findings:
    """Filled in as runs are checked; each dictionary is keyed by the settings that led there."""

    prompts: dict[str, Prompts] = field(default_factory=dict)
    models: dict[str, ResolvedModel] = field(default_factory=dict)
    adapters: dict[str, Adapter] = field(default_factory=dict)
    lengths: dict[str, Lengths | None] = field(default_factory=dict)  # None: can't be counted
    engines: dict[str, Engine] = field(default_factory=dict)  # that engine=auto took
    said: set[str] = field(default_factory=set)  # lines that were printed
