"""The batches of a sweep whose engines are up, and how far the whole command is.

Must not know about engines, beyond their counters.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rollout.engines.base import EngineStats
from rollout.engines.slot import sum_if_known, together
from rollout.report.sweep.points import Point
from rollout.runs.attempt import Attempt
from rollout.runs.display import Figures, TokenRates
from rollout.runs.metrics import rate
from rollout.runs.outlook import Outlook, outlook_of
from rollout.runs.pace import Paces
from rollout.runs.tally import Tally, joined
from rollout.system.status import Status

LEAST_S = 0.1  # of a batch, for its rates
SETTLED_S = 3.0  # until the time left is shown: the first steps are not typical
FRACTION_SO_FAR = 0.99  # the most that is shown while further points may come
OVER = ("done", "failed", "interrupted")


class Running:
    """A batch whose engines are up."""

    def __init__(self, points: list[tuple[Point, Attempt]]):
        self.points = points
        self.began = self.looked_at = 0.0
        self.stats: Callable[[], EngineStats] | None = None
        standings = [attempt.standing for _, attempt in points]
        self._num_rows = sum(standing.num_rows for standing in standings)
        self._num_owed = sum(standing.num_owed for standing in standings)
        self._num_samples = sum(standing.num_owed_samples for standing in standings)
        self.num_samples_before = [a.standing.num_samples_done(_n(p)) for p, a in points]
        self.rates, self.counters, self.tally = TokenRates(), EngineStats(), Tally()
        self._paces = Paces()
        self.ahead = Outlook(0.0, None)  # on the batch, with rows of earlier launches
        self.elapsed_s = LEAST_S

    @property
    def has_begun(self) -> bool:
        return self.stats is not None

    def look(self, now: float) -> None:
        """Read how far it is."""
        self.looked_at, self.elapsed_s = now, max(now - self.began, LEAST_S)
        reports = [attempt.report for _, attempt in self.points]
        self.counters, self.tally = self.stats(), joined(report.tally for report in reports)
        self._paces.add(self.elapsed_s, self.counters)
        owed = self._num_owed
        ahead = outlook_of(
            self.tally, self.counters, self._paces.now, owed, self._num_samples / max(owed, 1),
            max(report.longest_response for report in reports),
        )  # fmt: skip
        fraction = (self._num_rows - owed + ahead.fraction * owed) / self._num_rows
        is_settled = self.elapsed_s >= SETTLED_S
        self.ahead = replace(ahead, fraction=fraction) if is_settled else Outlook(fraction, None)
        self.rates.add(now, self.counters.num_output_tokens)

    def rows(self) -> Iterator[tuple[str, tuple[int, int, float | None]]]:
        """Yield each point's name with its finished rows, all rows, and their tokens/s so far.

        None until a row is finished: tokens in flight can't be split between points.
        """
        for point, attempt in self.points:
            report, num_rows = attempt.report, attempt.standing.num_rows
            tokens_per_s = rate(report.tally.num_output_tokens or None, self.elapsed_s)
            yield point.name, (report.num_rows_done, num_rows, tokens_per_s)


@dataclass(slots=True)
class _Share:
    """A point's part of the command's work."""

    fraction: float
    num_rows_done: int
    num_samples_done: int


class Course:
    """How far a sweep is: every point of the command counts, also those that wait.

    The fraction never goes back, unless an optimizer adds points; until its last one it is at most
    FRACTION_SO_FAR then. A point that is not composed yet counts as the mean of the others.
    """

    def __init__(self, points: dict[Path, Point]):
        self._points = points
        self._last: dict[Path, _Share] = {}  # of points that run, or have run
        self._fraction, self._num_points = 0.0, 0
        self._began: tuple[float, float] | None = None  # time and samples, when the first ran

    def status(self, running: Sequence[Running], now: float, num_to_come: int | None = 0) -> Status:
        """Return what to show while these batches run, with points to come; None: unknown."""
        points = [p for p in self._points.values() if p.job is not None]
        for batch in running:
            self._note(batch)
        shares = {point.run_dir: self._share(point) for point in points}
        sizes = {p.run_dir: p.job.prompts.num_rows * _n(p) for p in points}
        num_samples = max(sum(sizes.values()), 1)
        total = len(points) + (num_to_come or 0)
        whole = num_samples * total / max(len(points), 1)
        done = sum(shares[d].fraction * sizes[d] for d in shares)
        if total != self._num_points:
            self._num_points, self._fraction = total, 0.0
        self._fraction = max(self._fraction, done / whole)
        fraction = self._fraction
        self._began = self._began or (now, done)
        are_waiting = total > len(points) or any(point.status == "waiting" for point in points)
        ahead = self._ahead(running, now, done, whole, are_waiting)
        num_over = sum(point.status in OVER for point in points)
        beside = f"{num_over:,}/{total:,} points"
        if num_to_come is None:
            beside = f"{num_over:,}/{total:,} of the points so far"
            ahead, fraction = Outlook(0.0, None), min(fraction, FRACTION_SO_FAR)
        counters = [batch.counters for batch in running]
        figures = Figures(
            sum(share.num_rows_done for share in shares.values()),
            sum(point.job.prompts.num_rows for point in points),
            sum(s.num_samples_done for s in shares.values())
            + sum(stats.num_ended_in_flight for stats in counters),
            num_samples,
            replace(ahead, fraction=fraction),
            sum_if_known(batch.rates.now for batch in running),
            sum_if_known(batch.rates.average for batch in running),
            together(counters, counters),
            joined(batch.tally for batch in running).signs_so_far,
            max((a.report.num_gpus for batch in running for _, a in batch.points), default=0),
            so_far=" so far" if num_to_come else "",
        )
        return figures.status(beside=(beside,))

    def _note(self, batch: Running) -> None:
        for (point, attempt), before in zip(batch.points, batch.num_samples_before, strict=True):
            report = attempt.report
            num_samples = before + report.tally.num_samples
            share = _Share(batch.ahead.fraction, report.num_rows_done, num_samples)
            self._last[point.run_dir] = share

    def _share(self, point: Point) -> _Share:
        last = self._last.get(point.run_dir) or _Share(0.0, 0, 0)
        if point.status == "done":
            num_rows = point.job.prompts.num_rows
            counted = point.figures.get("num_samples") or num_rows * _n(point)
            return _Share(1.0, num_rows, counted)
        return replace(last, fraction=1.0) if point.status in OVER else last

    def _ahead(
        self, running: Sequence[Running], now: float, done: float, whole: float, are_waiting: bool
    ) -> Outlook:
        """Return the time left: of the longest batch, or by the pace so far if points wait."""
        longest = max((batch.ahead for batch in running), key=lambda a: a.left_s or 0.0)
        if any(batch.ahead.left_s is None for batch in running):
            return Outlook(0.0, None)
        if not are_waiting:
            return longest
        at, before = self._began
        if done <= before or now - at < SETTLED_S:
            return Outlook(0.0, None)
        return Outlook(0.0, max(longest.left_s, (whole - done) * (now - at) / (done - before)))


def _n(point: Point) -> int:
    return point.job.settings.sampling.n_samples
