"""Where the time of a run went: a table of phases, one of launches, and dates as text. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rollout.report.page import Table, TableColumn, TableRow
from rollout.report.recorded import number_in
from rollout.report.run.records import AttemptRecords, RunRecords
from rollout.report.run.so_far import kept_rate
from rollout.system import dates
from rollout.system.terminal import duration, rate_text, share_text

DEFINITIONS = "docs/throughput.md"
SHORT_S = 1.0  # edges of phases are good to 0.1 s: a shorter one has no rate
GPU_ONLY = ", CUDA graphs"
SCORED_TOO = ", scoring"  # where its seconds were not recorded
COUNTS = {
    "load": f"until the engine was up: weights, profiling, warm-up{GPU_ONLY}",
    "fill": "until the engine first ran as many samples as it can",
    "steady": "the engine was full; the rate is the engine's own speed",
    "tail": "less than a full batch was left; it ended with the longest responses",
    "reloads": "within fill, steady or tail: no engine was up, since one had died",
    "publish": "the output was written",
    "score": "the output was scored, and exported if that was asked for",
    "other": f"start, checks, the engine's shutdown before publishing, the tracker{SCORED_TOO}",
    "wall": "the whole launch",
}
AT_LAST_RECORD = (
    "its rows, tokens and rate are those of its last record before it was killed. The rows on "
    "disk, which the rest of this page counts, may be more, or those of a second less."
)
RATES = {
    "fill": "fill_output_tokens_per_s", "steady": "steady_output_tokens_per_s",
    "tail": "tail_output_tokens_per_s",
}  # fmt: skip


def time_table(attempt: AttemptRecords) -> Table | None:
    """Return the phases of a launch with their seconds; None if it has no summary."""
    summary = attempt.summary
    if (wall_s := number_in(summary, "wall_s")) is None:
        return None
    seconds = _split(summary, wall_s)
    columns = [
        TableColumn("phase"), TableColumn("time", True), TableColumn("share", True),
        TableColumn("output tokens/s", True), TableColumn("covers"),
    ]  # fmt: skip
    rows = []
    for name, spent_s in seconds.items():
        rate = phase_rate(summary, name)
        share = spent_s / wall_s if wall_s else None
        cells = [name, seconds_text(spent_s), "" if share is None else share_text(share),
                 "" if rate is None else rate_text(rate), _covered(name, summary)]  # fmt: skip
        rows.append(TableRow(cells, [None, spent_s, share, rate, None]))
    return Table(columns, rows, note=f"Attempt {attempt.number}. Definitions: {DEFINITIONS}.")


def phase_rate(summary: Mapping[str, Any], phase: str) -> float | None:
    """Return the output tokens/s of a phase; None if it is too short for a rate."""
    if (number_in(summary, f"{phase}_s") or 0.0) < SHORT_S:
        return None
    return number_in(summary, RATES.get(phase, ""))


def _covered(name: str, summary: Mapping[str, Any]) -> str:
    """Return what a phase of this launch covers."""
    text = COUNTS[name]
    if number_in(summary, "num_gpus") == 0:
        text = text.removesuffix(GPU_ONLY)
    return text.removesuffix(SCORED_TOO) if "score_s" in summary else text


def _split(summary: Mapping[str, Any], wall_s: float) -> dict[str, float]:
    """Return the seconds of each phase that took any, those of none of them, and the whole."""
    phases = ("load", "fill", "steady", "tail", "publish", "score")
    found = {name: number_in(summary, f"{name}_s") or 0.0 for name in phases}
    other_s = max(0.0, wall_s - sum(found.values()))
    found["reloads"] = number_in(summary, "reload_s") or 0.0
    split = {name: found[name] for name in COUNTS if found.get(name, 0.0) > 0}
    return split | ({"other": other_s} if other_s >= 0.05 else {}) | {"wall": wall_s}


def launch_table(attempts: Sequence[AttemptRecords], is_running: bool = False) -> Table:
    """Return the launches of a run: when, how long, how they ended, and what they finished.

    `is_running`: a process holds the run's lock, so that the last launch has not ended.
    """
    running = attempts[-1] if is_running and attempts else None
    columns = [
        TableColumn("attempt", True), TableColumn("started"),
        TableColumn("time", True, help="until its end, or the last sign of it"),
        TableColumn("rows", True, help="that it finished"),
        TableColumn("output tokens", True, help="kept: of the rows that it finished"),
        TableColumn("output tokens/s", True, help="kept tokens over its generation"),
        TableColumn("ended"),
    ]  # fmt: skip
    open_ended = [
        str(a.number)
        for a in attempts
        if a.lines and a is not running and not (a.summary or a.ended)
    ]
    note = f"Attempt {', '.join(open_ended)}: {AT_LAST_RECORD}" if open_ended else ""
    rows = [_launch_row(attempt, attempt is running) for attempt in attempts]
    return Table(columns, rows, note=note)


def _launch_row(attempt: AttemptRecords, is_running: bool) -> TableRow:
    summary, last = attempt.summary, attempt.lines[-1] if attempt.lines else {}
    spent_s = lasted_s(attempt)
    rows = _first(number_in(summary, "num_generated_rows"), number_in(last, "num_rows"))
    tokens = _first(*(number_in(record, "num_generated_tokens") for record in (summary, last)))
    rate = number_in(summary, "output_tokens_per_s") if summary else kept_rate(attempt)
    how, error = _ending(attempt, is_running)
    started = started_at(attempt)
    cells = [
        str(attempt.number), started or "not recorded",
        "not known" if spent_s is None else seconds_text(spent_s),
        *("" if value is None else f"{value:,.0f}" for value in (rows, tokens)),
        "" if rate is None else rate_text(rate), how,
    ]  # fmt: skip
    keys = [attempt.number, started, spent_s, rows, tokens, rate, how]
    return TableRow(cells, keys, style="failed" if error else "", detail=error)


def _ending(attempt: AttemptRecords, is_running: bool) -> tuple[str, str]:
    """Return how a launch ended, and its error."""
    ended = attempt.ended
    if not ended and is_running:
        return "running", ""
    if not ended:  # of the launch that is about to end, too
        return ("published" if attempt.summary else "no end is recorded"), ""
    when = _ended(attempt)
    code, error = ended.get("exit_code"), ended.get("error")
    at = f" at {dates.shown(when)}" if when else ""
    if attempt.summary:
        return f"published{at}", ""
    if isinstance(code, int) and code > 128:
        return f"stopped by a signal{at}", ""
    if isinstance(error, str) and error:
        return f"failed{at}", error
    return f"ended{at}", ""


def started_at(attempt: AttemptRecords) -> str:
    """Return when a launch started, in local time; empty if it was not recorded."""
    when = dates.moment(attempt.environment.get("started"))
    return dates.shown(when) if when else ""


def _ended(attempt: AttemptRecords) -> datetime | None:
    return dates.moment(attempt.ended.get("ended") or attempt.ended.get("at_s"))


def lasted_s(attempt: AttemptRecords) -> float | None:
    """Return how long a launch lasted: its wall time, else until its end or last line."""
    if (wall_s := number_in(attempt.summary, "wall_s")) is not None:
        return wall_s
    started = dates.moment(attempt.environment.get("started"))
    ended = _ended(attempt)
    if started and ended:
        return max(0.0, (ended - started).total_seconds())
    return number_in(attempt.lines[-1], "elapsed_s") if attempt.lines else None


def took(records: RunRecords) -> str:
    """Return how long all launches took together, such as `1:02:03 in 2 launches`."""
    found = [lasted_s(attempt) for attempt in records.attempts]
    if not found or all(spent_s is None for spent_s in found):
        return ""
    whole = seconds_text(sum(spent_s or 0.0 for spent_s in found))
    is_known = all(a.summary or a.ended for a in records.attempts) and None not in found
    launches = f" in {len(found)} launches" if len(found) > 1 else ""
    return f"{'' if is_known else 'at least '}{whole}{launches}"


def seconds_text(seconds: float) -> str:
    """Return 40 ms, 7.5 s, or from a minute on 1:02."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
