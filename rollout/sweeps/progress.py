"""Report a sweep: its progress while it runs, its table at the end.

Owns the clock of a sweep. Must not know about engines, beyond their counters.
"""

import contextlib
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from rollout.config.settings import OBJECTIVE
from rollout.engines.base import EngineStats
from rollout.errors import UserError
from rollout.report.sweep.points import Point
from rollout.report.sweep.ranking import rank
from rollout.report.sweep.record import SweepRecord, points_in, recorded_points
from rollout.report.sweep.table import write_tables
from rollout.runs.attempt import Attempt
from rollout.runs.progress import Clock
from rollout.store.run_dir import is_a_sweep
from rollout.sweeps.dry_run import number_of
from rollout.sweeps.lines import live_table, table_lines
from rollout.sweeps.running import Course, Running
from rollout.system.console import Console
from rollout.system.status import Status
from rollout.system.terminal import MAX_COLUMNS, duration, rate_text

SHOW_S = 0.25  # between two updates of what is shown
INDENT = " " * 7  # of the notes under the best value


class PointConsole(Console):
    """A point's console: it writes to a log; a batch's first point also writes to the screen."""

    def __init__(self, screen: Console, name: str, is_first: bool):
        super().__init__(quiet=True)
        self._screen, self._name, self._is_first = screen, name, is_first

    def note(self, line: str) -> None:
        self.record(line)
        if line.startswith("resum"):
            self._screen.note(f"{self._name}: {line}")
        elif self._is_first and line.startswith("sampling: "):  # values differ between points
            _, bracket, note = line.partition("(")
            if bracket:
                self._screen.note(f"note: {note.rstrip(')')}")
        elif self._is_first and not re.search(r" is up (?:on \S+ )?already\b", line):
            self._screen.note(line)

    def _progress_line(self, status: Status) -> None:
        self.record(status.line(MAX_COLUMNS))  # the sweep shows its own


class SweepReport:
    """Progress over all points, a line for each that ended, and the tables."""

    def __init__(self, console: Console, points: dict[Path, Point], argv: list[str]):
        self.objective = OBJECTIVE
        self.num_to_come: int | None = 0  # points not composed yet; None: unknown
        self.is_open = False  # whether files may be written
        self._console, self._points, self._argv = console, points, argv
        self._record: SweepRecord | None = None
        self._fault = ""  # of the page
        self._clock = Clock()
        self._generate_s, self._num_tokens = 0.0, 0
        self._course, self._now = Course(points), None
        self._running: list[Running] = []
        self._shown_at = 0.0
        self._shown, self._bar = contextlib.ExitStack(), None

    @contextlib.contextmanager
    def progress(
        self, running: list[tuple[Point, Attempt]]
    ) -> Iterator[Callable[[Callable[[], EngineStats]], None]]:
        """Show a batch's progress, with that of others that run at the same time.

        Yields the function to call after every step.
        """
        batch = Running(running)

        def on_turn(stats: Callable[[], EngineStats]) -> None:
            now = self._clock.now()
            if not batch.has_begun:  # its engine is up by now
                batch.began, batch.stats = now, stats
                self._running.append(batch)
            if now - batch.looked_at >= SHOW_S:
                batch.look(now)
                self._show(now)

        try:
            yield on_turn
            if batch.has_begun:  # all is counted by now
                batch.look(self._clock.now())
                self._show(self._clock.now(), is_last=True)
        finally:
            if batch in self._running:
                self._running.remove(batch)
            if not self._running:
                self._shown.close()
                self._bar = None

    def _show(self, now: float, is_last: bool = False) -> None:
        if self._bar is None:
            self._bar = self._shown.enter_context(self._console.progress(stays=True))
        elif not is_last and now - self._shown_at < SHOW_S:
            return
        self._shown_at = now
        rows = {name: row for batch in self._running for name, row in batch.rows()}
        points = list(self._points.values())
        self._now = self._course.status(self._running, now, self.num_to_come)
        self._bar.update(replace(self._now, table=lambda: live_table(points, rows)))

    def note_progress(self) -> None:
        """Print the progress, on SIGUSR1."""
        line = self._now.line(MAX_COLUMNS).lstrip() if self._now else "nothing is running yet"
        self._console.note(f"after {duration(self._clock.now())}: {line}")

    def ended(self, point: Point) -> None:
        """Print a line for a point that ended."""
        figures = point.figures
        if self._console.is_json:
            about = {"name": point.name, "status": point.status, "error": point.error}
            self._console.event("point", **about, run_dir=str(point.run_dir), figures=figures)
            return
        if point.status == "failed":
            self._console.note(f"{point.name}: failed: {point.error}")
            return
        tokens = figures.get("mean_response_tokens")
        before = "" if point.engine else "finished already: "
        self._console.note(
            f"{point.name}: {before}{figures.get('num_rows', 0):,} rows, "
            f"{figures.get('num_samples', 0):,} samples"
            + (f", {tokens:,.0f} tokens on average" if tokens else "")
        )

    def batch_ended(self, points: list[Point]) -> None:
        """Add the time and tokens of points that ran side by side to the sweep's totals."""
        seconds = [p.figures.get("generate_s") or 0.0 for p in points]
        self._generate_s += max(seconds, default=0.0)
        self._num_tokens += sum(p.figures.get("num_generated_tokens") or 0 for p in points)

    def write(self, directory: Path) -> None:
        """Write sweep.parquet, .csv and .html, and sweep.json for the next command."""
        points = self._all_points(directory)
        self._write_record(directory, points, self._clock.now())
        fault = write_tables(directory, points, rank(points, self.objective))
        if fault and fault != self._fault:
            self._console.note(f"warning: {fault}; type python -m rollout.report {directory}")
        self._fault = fault

    def begun(self, directory: Path, attempts: list[tuple[Point, Attempt]]) -> None:
        """Write sweep.json alone if points have begun, so that their state can be looked at."""
        if attempts:
            points = self._all_points(directory)
            with contextlib.suppress(OSError, UserError):  # said by `write`, at the end
                self._write_record(directory, points, self._clock.now())

    def _write_record(self, directory: Path, points: list[Point], elapsed_s: float) -> None:
        """Write sweep.json. Points of earlier commands may be among those to come."""
        self._record = self._record or SweepRecord(directory, self._argv)
        total = None
        if self.num_to_come is not None:
            total = max(len(self._points) + self.num_to_come, len(points))
        self._record.write(points, self.objective, elapsed_s, total)

    def claim(self, directory: Path) -> None:
        """Mark the directory as a sweep's, before anything else is written to it."""
        if not is_a_sweep(directory):
            self._write_record(directory, [], 0.0)

    def _all_points(self, directory: Path) -> list[Point]:
        """Return this command's points, and those that earlier ones left in the directory.

        A point that was finished before keeps the number of the engine that served it then.
        """
        engines = {
            run_dir: record.get("engine") for run_dir, record in points_in(directory).items()
        }
        mine = {
            run_dir: point if point.engine else replace(point, engine=engines.get(run_dir))
            for run_dir, point in self._points.items()
        }
        return list((mine | recorded_points(directory, but=mine)).values())

    def print_table(self, directory: Path) -> None:
        """Print the table, the best point, and where the files are."""
        points = self._all_points(directory)
        ranking = rank(points, self.objective)
        lines = table_lines(points, ranking, self._console.width)
        lines += filter(None, [ranking.headline])
        for note in ranking.notes:
            lines += textwrap.wrap(
                note,
                max(self._console.width, 60),
                initial_indent=INDENT,
                subsequent_indent=INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )
        lines += self._speed_lines()
        lines.append(f"table  {directory / 'sweep.html'} (also .csv and .parquet)")
        lines.append(f"sweep  {directory}")
        figures = {
            "run_dir": str(directory),
            "best": ranking.star.name if ranking.star else None,
            "points": [
                {"name": p.name, "values": p.values, "status": p.status, "error": p.error}
                for p in points
            ],
        }
        self._console.summary("\n".join(lines), figures)

    def _speed_lines(self) -> Iterator[str]:
        """Yield how long the command took, and its rate while it generated."""
        ended = [p for p in self._points.values() if p.engine]
        if not (ended and self._num_tokens and self._generate_s):
            return
        load_s: dict[int, float] = {}
        for point in ended:  # points that share an engine waited for the same load
            seconds = point.figures.get("load_s") or 0.0
            load_s[point.engine] = max(seconds, load_s.get(point.engine, 0.0))
        is_one, loading = len(load_s) == 1, duration(sum(load_s.values()))
        line = (
            f"{number_of(ended, 'point')} on {number_of(load_s, 'engine load')} in "
            f"{duration(self._clock.now())}, "
            + (f"{loading} of it to load" if is_one else f"loads of {loading} together")
        )
        if is_one and all(point.status == "done" for point in ended):  # of others it is not known
            rate = self._num_tokens / self._generate_s
            line += f": {rate_text(rate)} output tokens/s over all points while they generated"
        yield line
