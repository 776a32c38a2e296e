"""A sweep as an entry of a listing: its points on disk, and the best by its objective."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from rollout.errors import UserError
from rollout.report.listing.entry import Entry, SweepEntry
from rollout.report.sweep.points import is_maximized, is_same, objective_of
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

SHARES = {"num_sharing": 1, "num_beside": 0}  # figures, with their value for a run on its own


def sweep_entry(directory: Path, points: Sequence[Entry], notes: list[str]) -> SweepEntry:
    """Join a sweep's record with its points on disk; a damaged record is noted, not an error.

    A killed sweep has points on disk that its record does not list yet.
    """
    try:
        recorded = points_in(directory)
    except UserError as error:
        recorded = []
        notes.append(str(error))
    values = {
        Path(os.path.normpath(directory / record["run_dir"])): record["values"]
        for record in recorded
    }
    on_disk = {point.path for point in points}
    refused = {
        path: str(record.get("error") or "no reason is recorded")
        for path, record in zip(values, recorded, strict=False)
        if record.get("status") == "failed" and path not in on_disk
    }
    holder = holder_of(directory)
    whens = [point.when for point in points if point.when]
    found = SweepEntry(
        directory,
        min(whens) if whens else dates.moment((directory / RECORD).stat().st_mtime),
        list(points),
        {path: found for path, found in values.items() if path in on_disk or path in refused},
        sum(path not in on_disk and path not in refused for path in values)
        + num_uncomposed(directory, len(values.keys() | on_disk)),
        holder is not None and holder.is_alive and holder.is_here,
        recorded_objective(directory, [point.figures for point in points]),
        refused,
    )
    return _with_best(found)


def _shared(point: Entry) -> bool:
    """Whether its run shared an engine or the machine with others, see ranking.py."""
    return any((objective_of(point.figures, n) or 0) > most for n, most in SHARES.items())


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
        and not (is_speed(sweep.objective) and _shared(point))
    ]
    if valued:
        best = max if is_maximized(sweep.objective) else min
        sweep.best_value = best(value for value, _ in valued)
        sweep.best = [point for value, point in valued if is_same(value, sweep.best_value)]
    return sweep
