"""Decide after an engine's death which rows to resubmit, which to run separately, which to blame.

An engine that dies takes all rows in flight with it, and one of them may be the cause. Retrying
all of them a few times would blame good rows that die again next to the bad one. Instead:

- After one death, the rows go back to the queue.
- Rows in flight at a second death are suspects. They run separately, in groups; a group that kills
  the engine is split.
- If a row is alone in an engine that dies, and that engine had answered a harmless request, a
  trial follows: the row is blamed if the next engine survives as many steps of harmless requests.
  If it does not, engines do not live that long here, whatever the row.

Up to eight suspects take three deaths, S suspects about 2 + log8(S).

Pure: no engine, no clock, no file. `driver.drive_with_restarts` acts on the decisions made here.
"""

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from rollout.errors import EngineError
from rollout.rows.owed import OwedRow
from rollout.rows.result import Result

SPLIT = 8
MAX_BLAMED = 64  # consecutive rows, if rows of this run were answered before
MAX_TRIAL_STEPS = 1024


@dataclass(frozen=True, slots=True)
class Turn:
    """The engine's next task: answer `rows`, or survive a trial."""

    rows: Iterable[OwedRow] = ()
    is_apart: bool = False  # the rows are suspects; the queue waits
    is_alone: bool = False  # a single suspect: the engine must have answered something first
    num_trial_steps: int = 0  # steps of harmless requests; 0: no trial


@dataclass(frozen=True, slots=True)
class _Trial:
    """A row that was alone in an engine when it died."""

    row: OwedRow
    death: EngineError
    num_steps: int  # that the engine survives if the row is to be blamed


class Survival:
    """The rows of some runs, driven through engines that may die.

    `proven` lists the runs that have answered rows already. MAX_BLAMED of their rows in sequence
    may be blamed; of the other runs' rows, `max_restarts`.
    """

    def __init__(self, rows: Iterable[OwedRow], max_restarts: int, proven: Iterable[int] = ()):
        self._queue, self._max_restarts = _Queue(rows), max_restarts
        self._proven = set(proven)
        self._num_deaths: Counter[tuple[int, int]] = Counter()  # with the row in flight
        self._suspects: list[list[OwedRow]] = []  # groups to run separately, the next one last
        self._group: dict[tuple[int, int], OwedRow] | None = None  # the current one, unfinished
        self._is_alone = False  # the group was a single row
        self._trial: _Trial | None = None
        # By run: held back until another row of the run shows that the engine can answer it.
        self._blamed: dict[int, list[Result]] = defaultdict(list)
        self._num_without_progress = 0  # deaths since a row was answered

    def next_turn(self) -> Turn:
        """Return the next turn. The last one is not apart and ends without a death."""
        self._group = None
        if self._trial:
            return Turn(num_trial_steps=min(self._trial.num_steps, MAX_TRIAL_STEPS))
        if not self._suspects:
            return Turn(self._queue)
        rows = self._suspects.pop()
        self._group, self._is_alone = {_key(row): row for row in rows}, len(rows) == 1
        return Turn(rows, is_apart=True, is_alone=self._is_alone)

    def finished(self, results: list[Result], by_engine: bool) -> list[Result]:
        """Return the rows that are final now; `by_engine`: the engine answered some this turn.

        Blamed rows are included as soon as another row of their run was answered.
        """
        for result in results:
            key = result.run, result.index
            self._num_deaths.pop(key, None)
            if self._group:
                self._group.pop(key, None)
        if not (results and by_engine):
            return results
        self._num_without_progress = 0
        answered = {result.run for result in results if not result.error}
        self._proven |= answered
        cleared = [self._blamed.pop(run) for run in answered & self._blamed.keys()]
        return [*results, *itertools.chain(*cleared)]

    def unresolved(self) -> list[Result]:
        """Return the blamed rows after which no row of their run was answered."""
        return list(itertools.chain(*self._blamed.values()))

    def engine_survived(self) -> tuple[int, EngineError] | None:
        """Record that the engine survived the trial: blame the row.

        Returns the run to give up and the reason, if its rows are blamed one after the other and
        none is answered; else None.
        """
        row, death, self._trial = self._trial.row, self._trial.death, None
        run, blamed = row.wanted.run, self._blamed[row.wanted.run]
        blamed.append(row.result([], f"this row kills the engine: {death}"))
        if len(blamed) <= (MAX_BLAMED if run in self._proven else self._max_restarts):
            return None
        self._queue.leave_out(run)
        kept = ([row for row in group if row.wanted.run != run] for group in self._suspects)
        self._suspects = [group for group in kept if group]
        named = ", ".join(str(result.row) for result in self._blamed.pop(run))
        return run, EngineError(
            f"{death}; each of the rows {named} killed it alone, and no other row finished in "
            "between, so the settings or the machine are the likely cause"
        )

    def engine_died(
        self, death: EngineError, in_flight: list[OwedRow], num_steps: int, eased: str | None
    ) -> str:
        """Decide what happens to the rows in flight; return a text that says so.

        `num_steps` is how long the engine lived. `eased` names the settings lowered for the next
        engine if memory ran out: then no row is blamed, and all are submitted again. Raises
        EngineError after more than `max_restarts` deaths with no row answered in between.
        """
        if eased:
            self._resubmit(in_flight)
            return eased
        text, counts = self._decide(death, in_flight, num_steps)
        self._num_without_progress += counts
        if self._num_without_progress > self._max_restarts:
            raise EngineError(
                f"{death}; that was death {self._num_without_progress} with no row finished in "
                f"between (engine.max_restarts={self._max_restarts})"
            ) from death
        return text

    def _resubmit(self, in_flight: list[OwedRow]) -> None:
        if self._trial:
            self._suspects.append([self._trial.row])
            self._trial = None
        elif self._group is None:
            self._queue.put_back(in_flight)
        else:
            self._suspects.append(list(self._group.values()))

    def _decide(
        self, death: EngineError, in_flight: list[OwedRow], num_steps: int
    ) -> tuple[str, bool]:
        """Return a text of what happens, and whether the death counts as one without progress."""
        if self._trial:
            self._resubmit(in_flight)
            return "it dies on a harmless request too, so no row is blamed", True
        if self._group is None:
            self._num_deaths.update(map(_key, in_flight))
            twice = [row for row in in_flight if self._num_deaths[_key(row)] > 1]
            self._queue.put_back([row for row in in_flight if self._num_deaths[_key(row)] == 1])
            self._suspects += _split(twice)
            if twice:
                return f"{len(twice)} rows that were in flight each time now run separately", True
            return f"the {len(in_flight)} rows in flight are submitted again", True
        rows = list(self._group.values())
        if not in_flight:  # while loading, or at the harmless request
            self._resubmit(in_flight)
            return "trying again", True
        if not self._is_alone:
            self._suspects += _split(rows)
            return f"one of {len(rows)} rows may be the cause; they run separately", False
        self._trial = _Trial(rows[0], death, num_steps + 2)
        row = rows[0].prompt.row
        return f"row {row} was alone in it, and is blamed if the next engine survives", False


class _Queue:
    """The rows to submit; rows of a dead engine return to the front."""

    def __init__(self, rows: Iterable[OwedRow]):
        self._rows = iter(rows)
        self._returned: deque[OwedRow] = deque()
        self._left_out: set[int] = set()

    def __iter__(self) -> "_Queue":
        return self

    def __next__(self) -> OwedRow:
        while True:
            row = self._returned.popleft() if self._returned else next(self._rows)
            if row.wanted.run not in self._left_out:
                return row

    def put_back(self, rows: list[OwedRow]) -> None:
        self._returned.extendleft(reversed(rows))

    def leave_out(self, run: int) -> None:
        """Skip all further rows of this run."""
        self._left_out.add(run)


def _key(row: OwedRow) -> tuple[int, int]:
    return row.wanted.run, row.prompt.index


def _split(rows: list[OwedRow]) -> list[list[OwedRow]]:
    """Split into at most SPLIT groups, in reverse order: they are taken from the end."""
    size = -(-len(rows) // SPLIT)
    return [rows[i : i + size] for i in range(0, len(rows), size or 1)][::-1]
