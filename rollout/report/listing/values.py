"""The entries of a listing as plain values, for `--json`."""

from collections.abc import Sequence
from typing import Any

from rollout.report.listing.entry import Entry, SweepEntry

SHARED = ("model", "input", "n_samples", "sampling")  # of a sweep if equal at all its points
COUNTS = ("num_done", "num_failed")  # of a sweep: of its points that have begun


def values_of(entry: Entry | SweepEntry, with_points: bool) -> dict[str, Any]:
    """Return an entry as plain values: shares from 0 to 1, dates in ISO 8601, paths to type."""
    if isinstance(entry, Entry):
        return _run_values(entry)
    of_points = [_run_values(point) for point in entry.points]
    best = [str(point.path) for point in entry.best]
    found = {
        "kind": "sweep",
        "path": str(entry.path),
        "when": entry.when.isoformat() if entry.when else None,
        "state": entry.state,
        "states": entry.states,
        "num_points": entry.num_points,
        "objective": entry.objective,
        "best_value": entry.best_value,
        "best": best,
        **{name: _common([values[name] for values in of_points]) for name in SHARED},
        "num_rows": entry.num_rows,
        **{name: _sum([values[name] for values in of_points]) for name in COUNTS},
        "swept": entry.swept,
    }
    if with_points:
        values = entry.values
        found["points"] = [
            of_point | {"swept": values.get(point.path)}
            for point, of_point in zip(entry.points, of_points, strict=True)
        ]
        found["refused"] = [
            {"path": str(path), "detail": error, "swept": values.get(path)}
            for path, error in entry.refused.items()
        ]
    return found


def _common(values: Sequence[Any]) -> Any:
    """Return the value that all points have; None if they differ."""
    return values[0] if values and all(value == values[0] for value in values) else None


def _sum(counts: Sequence[int | None]) -> int | None:
    """Return the counts of all points together; None if one is unknown."""
    return None if not counts or None in counts else sum(counts)


def _run_values(entry: Entry) -> dict[str, Any]:
    state = entry.state
    return {
        "kind": "run",
        "path": str(entry.path),
        "when": entry.when.isoformat() if entry.when else None,
        "model": entry.model,
        "input": entry.data,
        "n_samples": entry.n_samples,
        "sampling": entry.sampling,
        "state": state.name,
        "detail": state.detail,
        "num_rows": state.num_rows,
        "num_done": state.num_done,
        "num_failed": state.num_failed,
        "output_tokens_per_s": entry.output_tokens_per_s,
        "scores": entry.scores,
    }
