"""The speed of a launch that has no summary yet, or never will: what it kept until its last record.

Reads the lines of metrics.jsonl; docs/throughput.md defines the figures.
"""

from pathlib import Path

from rollout.report.recorded import number_in
from rollout.report.run.records import AttemptRecords, read_lines
from rollout.report.run.timeline import begin_of, windows_of
from rollout.store.run_dir import attempts
from rollout.system.disk import read_json

RATE = "output_tokens_per_s"


def generated_s(attempt: AttemptRecords) -> float | None:
    """Return the seconds of the generation until the last line; 0 without lines.

    None if it is not known when it began.
    """
    if not attempt.lines:
        return 0.0
    if (begin_s := begin_of(attempt)) is None:
        return None
    return max(0.0, number_in(attempt.lines[-1], "elapsed_s") - begin_s)


def kept_rate(attempt: AttemptRecords) -> float | None:
    """Return the output tokens/s of the finished rows; None while none is known to be finished.

    Rows that failed are finished, without tokens.
    """
    last, seconds = attempt.lines[-1] if attempt.lines else {}, generated_s(attempt)
    kept = number_in(last, "num_generated_tokens")
    if kept is None or not seconds:
        return None
    return kept / seconds if kept or number_in(last, "num_rows") else None


def sampled_rate(attempt: AttemptRecords) -> float | None:
    """Return the output tokens/s that the engine sampled; None if that was not measured."""
    rates = [(window.mean(RATE), window.end_s - window.start_s) for window in windows_of(attempt)]
    known = [(rate, seconds) for rate, seconds in rates if rate is not None]
    seconds = sum(each for _, each in known)
    return sum(rate * each for rate, each in known) / seconds if seconds else None


def rate_of_unfinished(run_dir: Path) -> float | None:
    """Return the rate of the last launch that measured any, for a run without a summary."""
    for directory in reversed(attempts(run_dir)):
        summary = read_json(directory / "summary.json") or {}
        if (rate := number_in(summary, RATE)) is not None:
            return rate
        lines, _, is_lost = read_lines(directory / "metrics.jsonl")
        if lines:
            number = int(directory.name)
            return kept_rate(AttemptRecords(number, directory, lines=lines, is_first_lost=is_lost))
    return None
