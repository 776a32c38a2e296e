"""Results of checking a run that the other points of a sweep reuse."""

from dataclasses import dataclass, field

from rollout.config.sections.engine import Engine
from rollout.inputs.adapters import Adapter
from rollout.inputs.models import ResolvedModel
from rollout.inputs.prompts import Prompts
from rollout.plan.prompts.lengths import Lengths


@dataclass(slots=True)
class Findings:
    """Caches filled while runs are checked, each keyed by the settings it depends on."""

    prompts: dict[str, Prompts] = field(default_factory=dict)
    models: dict[str, ResolvedModel] = field(default_factory=dict)
    adapters: dict[str, Adapter] = field(default_factory=dict)
    lengths: dict[str, Lengths | None] = field(default_factory=dict)  # None: can't be counted
    engines: dict[str, Engine] = field(default_factory=dict)  # chosen by engine=auto
    printed: set[str] = field(default_factory=set)  # lines, so that each is printed once
