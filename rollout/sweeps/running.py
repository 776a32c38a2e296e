"""How far the batches of a sweep are whose engines are up.

Must not know about engines, beyond their counters.
"""

from collections.abc import Callable, Iterator

from rollout.engines.base import EngineStats
from rollout.report.sweep.points import Point
from rollout.runs import metrics
from rollout.runs.attempt import Attempt
from rollout.runs.outlook import outlook_of

SETTLED_S = 3.0  # until rates are shown: the first steps are not typical


class Running:
    """A batch whose engines are up."""

    def __init__(self, points: list[tuple[Point, Attempt]], number: int):
        self.points, self.number = points, number
        self.began = self.looked_at = 0.0
        self.stats: Callable[[], EngineStats] | None = None
        standings = [attempt.standing for _, attempt in points]
        self.num_rows = sum(standing.num_rows for standing in standings)
        self.num_done = 0  # rows
        self._num_owed = sum(standing.num_owed for standing in standings)
        self._num_samples = sum(standing.num_owed_samples for standing in standings)
        self.fraction, self.left_s = 0.0, None
        self.elapsed_s, self.tokens_per_s = 0.0, 0.0

    @property
    def has_begun(self) -> bool:
        return self.stats is not None

    def look(self, now: float) -> None:
        """Read how far it is."""
        self.looked_at, self.elapsed_s = now, max(now - self.began, 0.1)
        reports = [attempt.report for _, attempt in self.points]
        counters, tally = self.stats(), metrics.Tally()
        for report in reports:
            tally.join(report.tally)
        owed = self._num_owed
        ahead = outlook_of(
            tally, counters, self.elapsed_s, owed, self._num_samples / max(owed, 1),
            max(report.longest_response for report in reports),
        )  # fmt: skip
        self.fraction = (self.num_rows - owed + ahead.fraction * owed) / self.num_rows
        self.left_s = ahead.left_s if self.elapsed_s >= SETTLED_S else None
        self.num_done = sum(report.num_rows_done for report in reports)
        self.tokens_per_s = counters.num_output_tokens / self.elapsed_s

    def rows(self) -> Iterator[tuple[str, tuple[int, int, float]]]:
        """Yield each point's name with its finished rows, all rows, and tokens/s."""
        for point, attempt in self.points:
            num_tokens = attempt.report.tally.num_output_tokens
            yield (
                point.name,
                (
                    attempt.report.num_rows_done,
                    attempt.standing.num_rows,
                    num_tokens / max(self.elapsed_s, 0.1),
                ),
            )


def outlook(running: list[Running], num_batches: int) -> tuple[float, float | None, str]:
    """Return how far the batches are together, the seconds left if known, and a text."""
    num_rows = sum(batch.num_rows for batch in running)
    fraction = sum(batch.fraction * batch.num_rows for batch in running) / num_rows
    left = [batch.left_s for batch in running]
    left_s = None if None in left else max(left)
    num_points = sum(len(batch.points) for batch in running)
    text = f"{num_points} points side by side  " if num_points > 1 else ""
    if num_batches > 1:
        numbers = ", ".join(map(str, sorted(batch.number for batch in running)))
        text = f"batch{'es' * (len(running) > 1)} {numbers} of {num_batches}  {text}"
    text += f"{sum(batch.num_done for batch in running):,}/{num_rows:,} rows"
    settled = [batch for batch in running if batch.elapsed_s >= SETTLED_S]
    if settled:
        text += f"  {sum(batch.tokens_per_s for batch in settled):,.0f} tokens/s"
    return fraction, left_s, text
