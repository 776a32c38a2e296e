"""A sweep as an entry of a listing: its points on disk, and the best by its objective."""

import math
from collections.abc import Sequence
from pathlib import Path

from rollout.errors import UserError
from rollout.report.listing.entry import Entry, SweepEntry
from rollout.report.sweep.points import (
    had_an_engine_to_itself,
    is_maximized,
    is_same,
    objective_of,
)
from rollout.report.sweep.ranking import is_speed
from rollout.report.sweep.record import (
    RECORD,
    num_uncomposed,
    points_in,
    recorded_objective,
)
from rollout.runs.state import COMPLETE
from rollout.system import dates
from rollout.system.lock import holder_of


def sweep_entry(directory: Path, points: Sequence[Entry], notes: list[str]) -> SweepEntry:
    """Join a sweep's record with its points on disk; a damaged record is noted, not an error.

    A killed sweep has points on disk that its record does not list yet.
    """
    try:
        recorded = points_in(directory)
    except UserError as error:
        recorded = {}
        notes.append(str(error))
    on_disk = {point.path for point in points}
    refused = {
        path: str(record.get("error") or "no reason is recorded")
        for path, record in recorded.items()
        if record.get("status") == "failed" and path not in on_disk
    }
    holder = holder_of(directory)
    whens = [point.when for point in points if point.when]
    found = SweepEntry(
        directory,
        min(whens) if whens else dates.moment((directory / RECORD).stat().st_mtime),
        list(points),
        {path: record["values"] for path, record in recorded.items()},
        len(recorded.keys() - on_disk - refused.keys())
        + num_uncomposed(directory, len(recorded.keys() | on_disk)),
        holder is not None and holder.is_alive and holder.is_here,
        recorded_objective(directory, [point.figures for point in points]),
        refused,
    )
    return _with_best(found)


def _with_best(sweep: SweepEntry) -> SweepEntry:
    """Set the complete points with the best value.

    Points that shared an engine have no throughput of their own, and none is best by it.
    """
    valued = [
        (value, point)
        for point in sweep.points
        if point.state.name == COMPLETE
        and (value := objective_of(point.figures, sweep.objective)) is not None
        and math.isfinite(value)
        and (had_an_engine_to_itself(point.figures) or not is_speed(sweep.objective))
    ]
    if valued:
        best = max if is_maximized(sweep.objective) else min
        sweep.best_value = best(value for value, _ in valued)
        sweep.best = [point for value, point in valued if is_same(value, sweep.best_value)]
    return sweep
