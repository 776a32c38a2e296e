"""Every setting: its key, type, default, meaning and range, here and in sections/.

The kind of a section is WHAT is sampled (model, sampling, data), HOW it is run (engine, scale) or
the files and reports ABOUT it (output, tracking). A setting may declare another kind than its
section's. WHAT settings form a run's fingerprint; settings of kind ROWS select its rows. Imports
nothing heavy: `--help` and docs/settings.md are made from it.
"""

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from rollout.config.schema import ABOUT, Key, keys_of, setting
from rollout.config.sections.data import Data
from rollout.config.sections.engine import Engine
from rollout.config.sections.model import Model
from rollout.config.sections.output import Output
from rollout.config.sections.postprocess import Postprocess
from rollout.config.sections.prepare import Prepare
from rollout.config.sections.sampling import Sampling
from rollout.config.sections.scale import ScaleOut
from rollout.config.sections.stop_if import StopIf
from rollout.config.sections.tracking import Tracking
from rollout.system.console import Mode

OBJECTIVE = "output_tokens_per_s"


class Resume(Enum):
    auto = "auto"
    never = "never"
    fresh = "fresh"


@dataclass(kw_only=True, slots=True)
class Settings:
    """Every setting of a run."""

    kind: typing.ClassVar[str] = ABOUT
    model: Model = field(default_factory=Model)
    sampling: Sampling = field(default_factory=Sampling)
    engine: Engine = field(default_factory=Engine)
    data: Data = field(default_factory=Data)
    output: Output = field(default_factory=Output)
    scale: ScaleOut = field(default_factory=ScaleOut)
    tracking: Tracking = field(default_factory=Tracking)
    stop_if: StopIf = field(default_factory=StopIf)
    prepare: Prepare = field(default_factory=Prepare)
    postprocess: Postprocess = field(default_factory=Postprocess)
    run_dir: str = setting("???", "the run's directory", shown="outputs/DATE/TIME")
    resume: Resume = setting(
        Resume.auto, "if run_dir holds a run: auto resumes it, never refuses, fresh moves it aside"
    )
    objective: str | None = setting(
        None,
        "figure that ranks a sweep's points (optimizers, too); null: scores.pass@1 if scored, else "
        "output_tokens_per_s",
    )
    retry_failed: bool = setting(False, "on resume, retry rows that ended in an error")
    continue_truncated: bool = setting(
        False, "on resume, continue samples that max_tokens cut off, if it is larger now"
    )
    report: bool = setting(True, "write report.html, the run's page; sweep.html is written anyway")
    dry_run: bool = setting(False, "check everything, show the plan, start no engine")
    console: Mode = setting(
        Mode.auto, "live on a terminal, else plain lines; quiet: the result; json: for scripts"
    )
    presets: dict[str, Any] = setting({}, "the presets chosen; filled in, not typed")
    given: list[str] = setting([], "the keys set outside presets; filled in, not typed")


def objective_in(settings: Settings) -> str:
    """Return the figure that ranks a sweep's points: the one set, or the default."""
    if settings.objective is not None:
        return settings.objective
    if settings.postprocess.scorer is None:
        return OBJECTIVE
    return f"scores.pass@{min(settings.postprocess.estimate.k, default=1)}"


SECTIONS = ("model", "sampling", "engine", "data", "output", "scale", "tracking")


def keys() -> Mapping[str, Key]:
    """Return every setting by its dotted name, in the order of declaration."""
    return keys_of(Settings)
