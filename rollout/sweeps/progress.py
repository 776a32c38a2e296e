"""What is said about a sweep while it goes, and what it leaves: the table.

Owns the clock of a sweep. Knows points and their attempts, no engine.
"""

import contextlib
import os
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rollout.config.settings import OBJECTIVE
from rollout.engines.base import EngineStats
from rollout.errors import UserError
from rollout.runs import metrics
from rollout.runs.attempt import Attempt
from rollout.runs.progress import LOOK_S, Clock
from rollout.store.run_dir import is_a_sweep
from rollout.sweeps.lines import live_table, table_lines
from rollout.sweeps.points import Point, figures_of
from rollout.sweeps.ranking import rank
from rollout.sweeps.table import write_tables
from rollout.system.console import Console, PlainProgress, duration, eta
from rollout.system.disk import read_record, write_json

RECORD = "sweep.json"
KEPT = {  # of a point
    "name": str, "values": dict, "status": str, "error": str | None, "engine": int | None,
    "prompt_key": str, "prefix": str,
}  # fmt: skip
SETTLED_S = 3.0
INDENT = " " * 7  # under the best point's name


def points_in(directory: Path) -> list[dict[str, Any]]:
    """What sweep.json says of the points of all commands so far. Raises UserError if damaged."""
    path = directory / RECORD
    way_out = "remove it: then the table has the points of this command alone"
    found = (read_record(path, way_out, {"points": list}) or {"points": []})["points"]
    for record in found:
        is_whole = isinstance(record, dict) and {"name", "values", "run_dir"} <= record.keys()
        is_whole = is_whole and isinstance(record["run_dir"], str)
        is_whole = is_whole and all(isinstance(record[n], KEPT[n]) for n in KEPT if n in record)
        if not is_whole or not all(isinstance(v, str) for v in record["values"].values()):
            raise UserError(f"{path} is damaged (a point); put it back as it was, or {way_out}")
    return found


class PointConsole(Console):
    """What a point says goes to its own log; the first of a batch speaks for all on screen."""

    def __init__(self, screen: Console, name: str, speaks: bool):
        super().__init__(quiet=True)
        self._screen, self._name, self._speaks = screen, name, speaks

    def note(self, line: str) -> None:
        self.record(line)
        if line.startswith("resum"):
            self._screen.note(f"{self._name}: {line}")
        elif self._speaks and line.startswith("sampling: "):  # the points' values differ
            _, bracket, note = line.partition("(")
            if bracket:
                self._screen.note(f"note: {note.rstrip(')')}")
        elif self._speaks and " is up already: " not in line:
            self._screen.note(line)

    @contextlib.contextmanager
    def progress(self) -> Iterator[PlainProgress]:
        yield PlainProgress(Console(quiet=True))


class SweepReport:
    """Progress over all points, a line for each that ended, and the tables."""

    def __init__(self, console: Console, points: dict[Path, Point]):
        self.objective = OBJECTIVE
        self.is_open = False  # whether anything may be written
        self._console, self._points = console, points
        self._clock = Clock()
        self._generate_s, self._num_tokens = 0.0, 0
        self._now = "nothing runs yet"

    @contextlib.contextmanager
    def progress(
        self, running: list[tuple[Point, Attempt]], which: str = ""
    ) -> Iterator[Callable[[Callable[[], EngineStats]], None]]:
        """Show how far a batch is; gives what is to be called at every turn."""
        began = looked_at = 0.0
        num_owed = sum(attempt.standing.num_owed for _, attempt in running)
        num_samples = sum(attempt.standing.num_owed_samples for _, attempt in running)
        num_rows = sum(attempt.standing.num_rows for _, attempt in running)

        def on_turn(stats: Callable[[], EngineStats]) -> None:
            nonlocal began, looked_at, bar
            now = self._clock.now()
            if bar is None:  # the engine is up by now
                began, bar = now, shown.enter_context(self._console.progress())
            if now - looked_at < LOOK_S:
                return
            looked_at, elapsed_s = now, max(now - began, 0.1)
            reports = [attempt.report for _, attempt in running]
            counted, tally = stats(), metrics.Tally()
            for report in reports:
                tally.join(report.tally)
            fraction, left_s = metrics.outlook(
                tally,
                counted,
                elapsed_s,
                num_owed,
                num_samples / max(num_owed, 1),
                max(r.longest_response for r in reports),
            )
            num_done = sum(r.num_rows_done for r in reports)
            beside = f"{len(running)} points side by side  " if len(running) > 1 else ""
            text = f"{which}{beside}{num_done:,}/{num_rows:,} rows"
            if elapsed_s < SETTLED_S:  # the first steps say little
                left_s = None
            else:
                text += f"  {counted.num_output_tokens / elapsed_s:,.0f} tokens/s"
            self._now = f"{fraction:.0%}  {text}  {eta(left_s)}"
            rows = {
                point.name: (
                    a.report.num_rows_done,
                    a.standing.num_rows,
                    a.report.num_output_tokens / elapsed_s,
                )
                for point, a in running
            }
            points = list(self._points.values())
            bar.update(fraction, left_s, text, lambda: live_table(points, rows))

        bar = None
        with contextlib.ExitStack() as shown:
            yield on_turn

    def tell(self) -> None:
        """Say how far it is, for SIGUSR1."""
        self._console.note(f"after {duration(self._clock.now())}: {self._now}")

    def ended(self, point: Point) -> None:
        """Say that a point ended."""
        if point.status == "failed":
            self._console.note(f"{point.name}: failed: {point.error}")
            return
        figures = point.figures
        tokens = figures.get("mean_response_tokens")
        before = "" if point.engine else "finished before: "
        self._console.note(
            f"{point.name}: {before}{figures.get('num_rows', 0):,} rows, "
            f"{figures.get('num_samples', 0):,} samples"
            + (f", {tokens:,.0f} tokens on average" if tokens else "")
        )

    def batch_ended(self, points: list[Point]) -> None:
        """Points that ran side by side are through."""
        seconds = [p.figures.get("generate_s") or 0.0 for p in points]
        self._generate_s += max(seconds, default=0.0)
        self._num_tokens += sum(p.figures.get("num_generated_tokens") or 0 for p in points)

    def write(self, directory: Path) -> None:
        """Write sweep.parquet, .csv and .html as things stand, and sweep.json to go on from."""
        points = self._all(directory)
        write_tables(directory, points, rank(points, self.objective))
        records = [
            {key: getattr(point, key) for key in KEPT}
            | {"run_dir": os.path.relpath(point.run_dir, directory)}
            for point in points
        ]
        write_json(directory / RECORD, {"points": records})

    def claim(self, directory: Path) -> None:
        """Mark the directory as a sweep's, before anything else is written to it."""
        if not is_a_sweep(directory):
            write_json(directory / RECORD, {"points": []})

    def _all(self, directory: Path) -> list[Point]:
        """This command's points, and those that earlier ones left in the directory."""
        found = dict(self._points)
        for record in points_in(directory):
            run_dir = Path(os.path.normpath(directory / record["run_dir"]))
            if run_dir.is_dir() and run_dir not in found:
                known = {name: record[name] for name in KEPT if name in record}
                found[run_dir] = Point(**known, run_dir=run_dir, figures=figures_of(run_dir))
        return list(found.values())

    def tell_end(self, directory: Path) -> None:
        """The table on screen, the best point, and where all is."""
        points = self._all(directory)
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
        ended = [p for p in self._points.values() if p.engine]
        if ended and self._num_tokens and self._generate_s:
            engines = {p.engine for p in ended}
            rate = f"{self._num_tokens / self._generate_s:,.0f} output tokens/s over all points"
            lines.append(
                f"{len(ended)} point{'s' if len(ended) > 1 else ''} on {len(engines)} engine load"
                f"{'s' if len(engines) > 1 else ''} in {duration(self._clock.now())}"
                + (f": {rate}" if len(engines) == 1 else "")
            )
        lines.append(f"table  {directory / 'sweep.html'} (also .csv and .parquet)")
        lines.append(f"sweep  {directory}")
        self._console.result("\n".join(lines))
