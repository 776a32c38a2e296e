"""The lines of a sweep's dry run: its engines, the points side by side, what each one owes."""

from collections.abc import Callable, Sized
from pathlib import Path

from rollout.config.sections.engine import Backend
from rollout.config.sections.scale import Scale
from rollout.errors import RolloutError
from rollout.report.sweep.points import Point
from rollout.runs.opening import standing_now
from rollout.sweeps.batches import Batch
from rollout.system.console import Console


def dry_run_lines(
    batches: list[Batch],
    directory: Path,
    console: Console,
    fail: Callable[[Point, RolloutError], None],
) -> list[str]:
    """Return the lines; `fail` is called with each point that can't be resumed."""
    lines: list[str] = []
    engines: list[object] = []
    planned = [point for batch in batches for point in batch.points]
    num_requests = num_samples = 0
    for batch in batches:
        same = batch.plan.identity, sorted(batch.environment.items())
        if same not in engines:
            engines.append(same)
            lines.append(f"engine {len(engines)}: {_engine_of(batch)}")
        lines.append(f"  {number_of(batch.points, 'point')} side by side")
        for point in batch.points:
            try:
                standing = standing_now(point.job, console)
            except RolloutError as error:
                fail(point, error)
                lines.append(f"    {point.name}: can't resume: {error}")
                continue
            num_requests += standing.num_owed
            num_samples += standing.num_owed_samples
            rows, n = standing.num_rows, point.job.settings.sampling.n_samples
            what = "finished, skipped" if standing.finished else str(standing)
            lines.append(f"    {point.name}: {rows:,} rows x {n} samples; {what}")
    if len(engines) > 1 and any(b.plan.scale.mode is not Scale.local for b in batches):
        lines.append("engines with the same scale divide its replicas and run side by side")
    return [
        f"dry run: {number_of(planned, 'point')} on {number_of(engines, 'engine')}, "
        f"{num_requests:,} requests for {num_samples:,} samples, nothing started",
        *lines,
        f"sweep  {directory}",
    ]


def number_of(things: Sized, noun: str) -> str:
    """Return how many there are with the noun, such as `2 points`."""
    return f"{len(things):,} {noun}" + ("" if len(things) == 1 else "s")


def _engine_of(batch: Batch) -> str:
    job = batch.points[0].job
    model = job.settings.model.model_path
    is_scripted = job.settings.engine.backend is Backend.scripted
    preset = job.settings.presets.get("engine")
    return f"{preset} on {job.device.name}" + ("" if is_scripted else f", {model}")
