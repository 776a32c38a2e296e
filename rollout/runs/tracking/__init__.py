"""Mirror a run to wandb, or nowhere.

Owns every use of wandb. Guarantees: `tracker=none` imports no wandb; wandb never prompts, prints or
fails a run. Its first error is one line through `say`; the local files are the record.
Must not know about engines, prompts, the store, or what the numbers mean.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from rollout.config.sections.tracking import Tracker as TrackerName
from rollout.config.sections.tracking import Tracking, WandbMode
from rollout.runs.tracking.plain import brief
from rollout.runs.tracking.tracker import Tracker
from rollout.runs.tracking.wandb_run import WandbTracker

__all__ = ["Tracker", "WandbTracker", "open_tracker"]


def open_tracker(
    tracking: Tracking,
    run_dir: Path,
    config: dict,
    say: Callable[[str], None] = print,
    patience_s: float | None = None,
    tags: Sequence[str] = (),
) -> Tracker:
    """Open the tracker chosen in `tracking`; `run_dir` must exist.

    A second attempt in the same `run_dir` continues its wandb run. `tags` follow those of
    `tracking`. Messages after `patience_s` (None: wandb_run.OPEN_WAIT_S) go to `say`, which another
    thread calls in the caller's context.
    """
    if tracking.tracker is TrackerName.none:
        return Tracker()
    auto = tracking.mode is WandbMode.auto
    if auto and os.environ.get("WANDB_MODE") == "disabled":
        return Tracker("wandb: off (WANDB_MODE=disabled)")
    try:
        import wandb  # noqa: F401  here: imports of large packages in two threads can collide
    except Exception as error:
        return Tracker(f"wandb: off ({brief(error)})")
    return WandbTracker(tracking, run_dir, config, say, patience_s, tags)
