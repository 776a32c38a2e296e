"""What is said about a sweep while it goes, and what it leaves: the table.

Owns the clock of a sweep. Knows points and their attempts, no engine.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from rollout import metrics
from rollout.attempt import Attempt
from rollout.console import Console, duration, eta
from rollout.engines.base import EngineStats
from rollout.report import LOOK_S, Clock
from rollout.sweep_lines import live_table, table_lines
from rollout.sweep_points import Point, best_of, is_maximized, objective_of
from rollout.sweep_table import write_tables


class SweepReport:
    """Progress over all points, a line for each that ended, and the tables."""

    def __init__(self, console: Console, points: dict[Path, Point]):
        self.objective = "output_tokens_per_s"
        self.maximizes: bool | None = None  # None: by the objective's name
        self.is_open = False  # whether anything may be written
        self._console, self._points = console, points
        self._clock = Clock()
        self._generate_s, self._num_tokens = 0.0, 0
        self._now = "nothing runs yet"

    @contextlib.contextmanager
    def progress(
        self, running: list[tuple[Point, Attempt]]
    ) -> Iterator[Callable[[Callable[[], EngineStats]], None]]:
        """Show how far a batch is; gives what is to be called at every turn."""
        began = looked_at = 0.0
        num_owed = sum(attempt.standing.num_owed for _, attempt in running)
        num_samples = sum(attempt.standing.num_owed_samples for _, attempt in running)
        num_rows = sum(attempt.standing.num_rows for _, attempt in running)
        longest = max(a.job.settings.sampling.max_tokens for _, a in running)

        def on_turn(stats: Callable[[], EngineStats]) -> None:
            nonlocal began, looked_at
            now = self._clock.now()
            began = began or now
            if now - looked_at < LOOK_S:
                return
            looked_at, elapsed_s = now, max(now - began, 0.1)
            reports = [attempt.report for _, attempt in running]
            counted, tally = stats(), metrics.Tally()
            for report in reports:
                tally.join(report.tally)
            fraction, left_s = metrics.outlook(
                tally, counted, elapsed_s, num_owed, num_samples / max(num_owed, 1), longest
            )
            num_done = sum(r.num_rows_done for r in reports)
            num_ended = sum(p.status in ("done", "failed") for p in self._points.values())
            text = (
                f"{len(running)} points side by side ({num_ended} of {len(self._points)} ended)  "
                f"{num_done:,}/{num_rows:,} rows  "
                f"{counted.num_output_tokens / elapsed_s:,.0f} tokens/s"
            )
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

        with self._console.progress() as bar:
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
        self._console.note(
            f"{point.name}: {figures.get('num_rows', 0):,} rows, "
            f"{figures.get('num_samples', 0):,} samples"
            + (f", {tokens:,.0f} tokens on average" if tokens else "")
        )

    def batch_ended(self, points: list[Point]) -> None:
        """Points that ran side by side are through."""
        seconds = [p.figures.get("generate_s") or 0.0 for p in points]
        self._generate_s += max(seconds, default=0.0)
        self._num_tokens += sum(p.figures.get("num_generated_tokens") or 0 for p in points)

    def write(self, directory: Path) -> None:
        """Write sweep.parquet, sweep.csv and sweep.html as things stand."""
        points = list(self._points.values())
        write_tables(directory, points, self.objective, self._maximizes())

    def tell_end(self, directory: Path) -> None:
        """The table on screen, the best point, and where all is."""
        points = list(self._points.values())
        maximize = self._maximizes()
        lines = table_lines(points, self.objective, maximize, self._console.width)
        if best := best_of(points, self.objective, maximize):
            value = objective_of(best.figures, self.objective)
            lines.append(f"best   {best.name}: {self.objective} {value:,.6g}")
        if self._num_tokens and self._generate_s:
            num_engines = len({p.engine for p in points if p.engine})
            lines.append(
                f"{len(points)} points on {num_engines} engine load"
                f"{'s' if num_engines > 1 else ''} in {duration(self._clock.now())}: "
                f"{self._num_tokens / self._generate_s:,.0f} output tokens/s over all points"
            )
        if self.is_open:
            lines.append(f"table  {directory / 'sweep.html'} (also .csv and .parquet)")
            lines.append(f"sweep  {directory}")
        self._console.result("\n".join(lines))

    def _maximizes(self) -> bool:
        return is_maximized(self.objective) if self.maximizes is None else self.maximizes
