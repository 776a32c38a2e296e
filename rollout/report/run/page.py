"""Build the page of a run from its directory, whatever state it is in.

What is missing, damaged or not known is said on the page. Writes nothing, takes no lock.
"""

from dataclasses import replace
from pathlib import Path

from rollout.errors import RolloutError
from rollout.report.page import Block, Figure, Note, Page, Section
from rollout.report.published import files_of_run, local_file
from rollout.report.run.charts import length_chart, time_charts
from rollout.report.run.heading import figures_of, subtitle_of, title_of, verdict_of
from rollout.report.run.records import RunRecords, read_records
from rollout.report.run.row_sources import RowSource
from rollout.report.run.row_tables import failed_table, signs_table, slowest_table
from rollout.report.run.rows import (
    RowStatistics,
    count_empty,
    known_empty,
    statistics_in,
    statistics_of,
)
from rollout.report.run.settings import command_to_resume, settings_blocks
from rollout.report.run.speed import speed_blocks
from rollout.report.run.timeline import launches
from rollout.report.run.times import launch_table, time_table
from rollout.report.samples import browser_of_run, rows_of_run
from rollout.report.scored_rows import read_scores
from rollout.report.scores import figures_from, sections_from
from rollout.runs.state import (
    COMPLETE,
    FAILED,
    RESUMABLE,
    RUNNING,
    RunState,
    criteria_of,
    state_of,
)
from rollout.store.finished import COLUMNS as FINISHED_COLUMNS
from rollout.store.finished import finished_in
from rollout.system.safe_text import one_line
from rollout.system.storage.paths import is_remote
from rollout.system.terminal import counted

NOT_MEASURED = "No launch has measured its speed yet."
NO_LINES = "There are no charts, since no launch has a line in its metrics.jsonl."
ALL_ZERO = "There are no charts, since every figure over time is 0 or not known."
SO_FAR = (
    "Of the rows finished so far. Rows with short responses finish first, so lengths and the share "
    "of truncated responses may be higher in the end."
)


def page_of(run_dir: Path, is_ending: bool = False) -> Page:
    """Return the page of the run in `run_dir`. Raises UserError if there is none.

    `is_ending`: this process holds the run's lock, and is about to release it.
    """
    records = read_records(run_dir)
    state = state_of(run_dir, is_ending)
    source = RowSource(records)
    statistics, state = _counted(source, records, state)
    if source.is_unknown and records.summary:
        statistics = statistics_in(records.summary)
    statistics.num_empty = known_empty(statistics, records.summary)
    if statistics.num_empty is None:
        statistics.num_empty = count_empty(source.texts())
    score, score_sections = _scores(run_dir, state)
    verdict, style = verdict_of(state, statistics)
    faults = [*records.faults, *_missing_scores(records, state), *dict.fromkeys(source.faults)]
    sections = [
        *_to_resume(records, state),
        *_faults(faults + ([source.note] if source.note else [])),
        _speed(records, state),
        *([] if source.is_unknown else [_lengths(statistics, state)]),
        *score_sections,
        *([] if source.is_unknown else _rows(statistics, state)),
        _samples(run_dir, statistics),
        Section("Settings", settings_blocks(records)),
    ]
    return Page(
        title_of(records),
        subtitle_of(records, state),
        verdict,
        style,
        figures_of(records, state, statistics, score),
        sections,
    )


def _counted(
    source: RowSource, records: RunRecords, state: RunState
) -> tuple[RowStatistics, RunState]:
    """Count the rows on disk; of a running run, the state's counts are of the same moment."""
    if state.name != RUNNING or not source.has_shards:
        return statistics_of(source.tables()), state
    criteria, counts, statistics = criteria_of(records.run_dir, records.first), [], RowStatistics()
    for table in source.tables(FINISHED_COLUMNS):
        statistics.add(table)
        counts.append(finished_in(table, criteria))
    num_done, num_failed = (sum(getattr(c, n) for c in counts) for n in ("num_done", "num_failed"))
    return statistics, replace(state, num_done=num_done, num_failed=num_failed)


def _scores(run_dir: Path, state: RunState) -> tuple[Figure | None, list[Section]]:
    """Return pass@1 and the sections of scores; none if the run is not complete or not scored."""
    if state.name != COMPLETE:
        return None, []
    try:
        files = files_of_run(run_dir)
        if files.scored is None:
            return None, []
        rows = rows_of_run(files.scored, files)
        if not rows.columns.is_scored:
            return None, []
        scores = read_scores(rows, files.scored)
        return next(iter(figures_from(scores)), None), sections_from(scores)
    except Exception as error:  # a damaged record: everything else is still worth showing
        return None, [Section("Scores", [Note(f"They can't be read: {_reason(error)}")])]


def _missing_scores(records: RunRecords, state: RunState) -> list[str]:
    """Return a fault if the scored file of a complete run is gone; a store is not asked."""
    text = records.published.get("scored")
    if state.name != COMPLETE or text is None or is_remote(text):
        return []
    if local_file(text, records.run_dir) is not None:
        return []
    kept = "; summary.json has the figures of the scoring" if records.summary.get("scores") else ""
    return [f"{text} is missing: scores are not shown{kept}"]


def _to_resume(records: RunRecords, state: RunState) -> list[Section]:
    if state.name not in (RESUMABLE, FAILED):
        return []
    return [Section("To resume", command_to_resume(records))]


def _faults(faults: list[str]) -> list[Section]:
    return [Section("What could not be read", [Note(fault) for fault in faults])] if faults else []


def _speed(records: RunRecords, state: RunState) -> Section:
    charts = time_charts(launches(records.attempts))
    has_lines = any(attempt.lines for attempt in records.attempts)
    why = NOT_MEASURED if records.measured is None else ALL_ZERO if has_lines else NO_LINES
    blocks: list[Block] = [*charts] if charts else [Note(why)]
    if records.measured and (table := time_table(records.measured)):
        blocks += [table, *speed_blocks(records.measured)]
    if records.attempts:
        blocks.append(launch_table(records.attempts, state.name == RUNNING))
    return Section("Throughput over time", blocks)


def _lengths(statistics: RowStatistics, state: RunState) -> Section:
    chart = length_chart(statistics.lengths)
    blocks = [*([chart] if chart else []), signs_table(statistics)]
    is_part = state.name != COMPLETE and statistics.num_samples
    return Section("Responses", blocks, SO_FAR if is_part else "")


def _rows(statistics: RowStatistics, state: RunState) -> list[Section]:
    slowest, failed = slowest_table(statistics), failed_table(statistics)
    none = Note("No row failed." if statistics.num_rows else "No row is finished yet.")
    if state.num_failed and not statistics.num_failed:  # left out of the file that was counted
        they = "it is" if state.num_failed == 1 else "they are"
        none = Note(f"{counted(state.num_failed, 'row')} failed; {they} not in the output.")
    found = [Section("Slowest rows", [slowest])] if slowest else []
    return [*found, Section("Failed rows", [failed or none])]


def _samples(run_dir: Path, statistics: RowStatistics) -> Section:
    """Return the sample browser, with the rows that the tables above link to."""
    rows = {slow.row for slow in statistics.slowest}
    rows |= {row for failure in statistics.failures_by_count for row in failure.first_rows[:1]}
    try:
        return Section("Samples", [browser_of_run(run_dir, rows)])
    except Exception as error:  # as above
        return Section("Samples", [Note(f"The rows can't be shown: {_reason(error)}")])


def _reason(error: Exception) -> str:
    if isinstance(error, RolloutError):
        return str(error.args[0])
    what = f"{type(error).__name__}: {one_line(str(error), 200)}"
    return f"unexpected error, by a damaged record or a fault of rollout ({what})"
