"""How far the points of a recorded sweep are now, and the words for it.

sweep.json says how they were when it was written; a killed sweep left points as running there.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from rollout.report.sweep.points import STATUSES, Point, figures_of
from rollout.runs.state import COMPLETE, FAILED, RUNNING, RunState, state_of

WORDS = {"interrupted": "not finished", "waiting": "not started"}


def status_text(status: str) -> str:
    """Return the word for people: `not finished` for a point that was interrupted or killed."""
    return WORDS.get(status, status)


def counts_text(points: Iterable[Point], num_uncomposed: int) -> str:
    """Return how many points have each status, such as `3 done, 1 failed`.

    Those that are not composed yet have not started.
    """
    counts = Counter(point.status for point in points)
    counts["waiting"] += num_uncomposed
    known = [s for s in STATUSES if counts[s]] + sorted(set(counts) - set(STATUSES))
    return ", ".join(f"{counts[status]:,} {status_text(status)}" for status in known)


def as_of_now(point: Point) -> Point:
    """Return a recorded point as its directory says it is; one with a result stays as it is."""
    if point.status == "failed" or (point.status == "done" and point.figures):
        return point
    if not (point.run_dir / "run.json").exists():
        return replace(point, status="waiting", error=None)
    state = state_of(point.run_dir)
    if state.name == COMPLETE:
        return replace(point, status="done", error=None, figures=figures_of(point.run_dir))
    if state.name == RUNNING:
        return replace(point, status="running", error=_rows_text(state))
    if state.name == FAILED:
        return replace(point, status="failed", error=state.detail, figures={})
    return replace(point, status="interrupted", error=_rows_text(state), figures={})


def _rows_text(state: RunState) -> str:
    if state.num_done is None or state.num_rows is None:
        return state.detail
    return f"{state.num_done:,} of {state.num_rows:,} rows are finished and on disk"
