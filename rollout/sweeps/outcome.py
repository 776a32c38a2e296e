"""How a sweep ends: what failed, what to type next, and the exit code."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from rollout.errors import EmptyExport, RolloutError, UserError
from rollout.report.sweep.points import Point
from rollout.runs.summary import Summary
from rollout.system.terminal import say

OF_THE_COMMAND = (UserError, EmptyExport)  # errors that leave a finished point finished


def are_all_refused(points: Mapping[Path, Point], errors: Mapping[Path, RolloutError]) -> bool:
    """Whether no point could start; both are keyed by run directory."""
    return sum(isinstance(error, UserError) for error in errors.values()) == len(points)


def say_failures(
    points: Mapping[Path, Point],
    errors: Mapping[Path, RolloutError],
    fault: str,
    command: str,
    dry_run: bool,
    event: Callable[..., None],
) -> int:
    """Print the errors, and `command` to run those points again; return the exit code.

    It is 2 if nothing could start, 1 if a point failed or the table has a `fault`. `event` is
    called with the error as a whole.
    """
    failed = [f"{points[run_dir].name}: {error.args[0]}" for run_dir, error in errors.items()]
    if failed or fault:
        code = 2 if errors and are_all_refused(points, errors) else 1
        event("error", message="; ".join(filter(None, [*failed, fault])), exit_code=code)
    for run_dir, error in errors.items():
        say(f"rollout: {points[run_dir].name} failed: {error.args[0]}", sys.stderr)
    if fault:
        say(f"rollout: {fault}", sys.stderr)
    if not errors:
        return int(bool(fault))
    if are_all_refused(points, errors):
        return 2
    if not dry_run:
        counts = f"{len(points) - len(errors)} of {len(points)} points are done"
        again = f"to run the others again: {command}"
        if all(isinstance(error, OF_THE_COMMAND) for error in errors.values()):
            again = "fix what the others report, or leave them out"
        say(f"{counts}; {again}", sys.stderr)
    return 1


def nothing_answered(summary: Summary) -> str:
    """Return why a run that ended has no result."""
    scores = summary.figures.get("scores") or {}
    if scores.get("num_judged") == 0:
        return f"nothing could be judged; see column score_errors of {scores.get('path')}"
    return (
        f"no row could be answered; see column error of {summary.output_path} "
        "(retry_failed=true tries them again)"
    )
