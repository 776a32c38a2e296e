"""Whose fault a dead engine is: which rows are asked again, which run apart, which one is blamed.

An engine that dies takes every row in flight with it, and one of them may be why. Asking all of
them again a few times would blame innocent rows, which die again beside the guilty one. So: after
one death the rows go back to the queue. Rows in flight at a second death are suspects and run
apart, in groups; a group that kills the engine is split. A row that kills it alone, on an engine
seen to answer a harmless request, stands accused: it is blamed if the next engine lives through
as many steps of harmless requests, since otherwise engines just do not live that long. With up to
eight suspects that takes three deaths, with S suspects about 2 + log8(S).

Pure: no engine, no clock, no file. `driver.drive_on` does what is decided here.
"""

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from rollout.errors import EngineError
from rollout.rows.owed import OwedRow
from rollout.rows.result import Result

SPLIT = 8
MAX_BLAMED = 64  # rows in a row, by an engine that has answered prompts of this run before
MAX_TRIAL_STEPS = 1024


@dataclass(frozen=True, slots=True)
class Turn:
    """What the engine is to do next: answer `rows`, or live through a trial."""

    rows: Iterable[OwedRow] = ()
    is_apart: bool = False  # suspects: the queue waits
    is_alone: bool = False  # a single suspect: the engine has to have answered something before
    num_trial_steps: int = 0  # steps of harmless requests; 0: no trial


@dataclass(frozen=True, slots=True)
class _Accused:
    """A row that was alone in an engine when it died."""

    row: OwedRow
    death: EngineError
    num_steps: int  # that its engine lived


class Survival:
    """The rows of some runs on their way through engines that may die.

    `proven` are the runs of which rows were answered before: more than `max_restarts` of their
    rows may be blamed without one being answered in between.
    """

    def __init__(self, rows: Iterable[OwedRow], max_restarts: int, proven: Iterable[int] = ()):
        self._queue, self._max_restarts = _Queue(rows), max_restarts
        self._proven = set(proven)
        self._num_deaths: Counter[tuple[int, int]] = Counter()  # that a row was in flight at
        self._suspects: list[list[OwedRow]] = []  # groups that run apart, the next one last
        self._group: dict[tuple[int, int], OwedRow] | None = None  # runs apart now, unfinished
        self._is_alone = False  # the group was a single row
        self._accused: _Accused | None = None
        # By run: held back until another row of it shows that the engine can answer it.
        self._blamed: dict[int, list[Result]] = defaultdict(list)
        self._num_in_vain = 0  # deaths since a row was answered

    def next_turn(self) -> Turn:
        """What comes next. The last turn is one that is not apart and ends without a death."""
        self._group = None
        if self._accused:
            return Turn(num_trial_steps=min(self._accused.num_steps, MAX_TRIAL_STEPS))
        if not self._suspects:
            return Turn(self._queue)
        rows = self._suspects.pop()
        self._group, self._is_alone = {_key(row): row for row in rows}, len(rows) == 1
        return Turn(rows, is_apart=True, is_alone=self._is_alone)

    def finished(self, results: list[Result], by_engine: bool) -> list[Result]:
        """The rows that are finished now; `by_engine`: it has answered something in this turn.

        Rows that were blamed come with them once another row of their run was answered.
        """
        for result in results:
            key = result.run, result.index
            self._num_deaths.pop(key, None)
            if self._group:
                self._group.pop(key, None)
        if not (results and by_engine):
            return results
        self._num_in_vain = 0
        answered = {result.run for result in results if not result.error}
        self._proven |= answered
        cleared = [self._blamed.pop(run) for run in answered & self._blamed.keys()]
        return [*results, *itertools.chain(*cleared)]

    def left(self) -> list[Result]:
        """Rows that were blamed with no row of their run answered after them."""
        return list(itertools.chain(*self._blamed.values()))

    def lived(self) -> tuple[int, EngineError] | None:
        """The engine lived through the trial, so the accused row is to blame.

        Returns a run that is given up, and why: its rows die one by one and none is answered.
        """
        row, death, self._accused = self._accused.row, self._accused.death, None
        run, blamed = row.wanted.run, self._blamed[row.wanted.run]
        blamed.append(row.result([], f"this row kills the engine: {death}"))
        if len(blamed) <= (MAX_BLAMED if run in self._proven else self._max_restarts):
            return None
        self._queue.leave_out(run)
        kept = ([row for row in group if row.wanted.run != run] for group in self._suspects)
        self._suspects = [group for group in kept if group]
        named = ", ".join(str(result.row) for result in self._blamed.pop(run))
        return run, EngineError(
            f"{death}; it died at each of the rows {named}, alone, and no other row finished in "
            "between, so the settings or the machine are the likelier cause"
        )

    def died(
        self, death: EngineError, in_flight: list[OwedRow], num_steps: int, eased: str | None
    ) -> str:
        """Decide what becomes of the rows in flight; returns it in words.

        `num_steps` is how long the engine lived. `eased` is what the next engine gives up where
        memory ran out: then no row is at fault, and all are asked again. Raises EngineError after
        more than `max_restarts` deaths with no row answered in between.
        """
        if eased:
            self._ask_again(in_flight)
            return eased
        what, is_in_vain = self._decide(death, in_flight, num_steps)
        self._num_in_vain += is_in_vain
        if self._num_in_vain > self._max_restarts:
            raise EngineError(
                f"{death}; that was death {self._num_in_vain} with no row finished since the last "
                f"(engine.max_restarts={self._max_restarts})"
            ) from death
        return what

    def _ask_again(self, in_flight: list[OwedRow]) -> None:
        if self._accused:
            self._suspects.append([self._accused.row])
            self._accused = None
        elif self._group is None:
            self._queue.put_back(in_flight)
        else:
            self._suspects.append(list(self._group.values()))

    def _decide(
        self, death: EngineError, in_flight: list[OwedRow], num_steps: int
    ) -> tuple[str, bool]:
        """What happens, in words, and whether the death was in vain: it told nothing of rows."""
        if self._accused:
            self._ask_again(in_flight)
            return "it dies of a harmless request too, so no row is blamed", True
        if self._group is None:
            self._num_deaths.update(map(_key, in_flight))
            twice = [row for row in in_flight if self._num_deaths[_key(row)] > 1]
            self._queue.put_back([row for row in in_flight if self._num_deaths[_key(row)] == 1])
            self._suspects += _split(twice)
            if twice:
                return f"{len(twice)} rows that were in flight each time now run apart", True
            return f"the {len(in_flight)} rows in flight are asked again", True
        rows = list(self._group.values())
        if not in_flight:  # while loading, or at the harmless request
            self._ask_again(in_flight)
            return "trying again", True
        if not self._is_alone:
            self._suspects += _split(rows)
            return f"one of {len(rows)} rows may be the cause; they run apart", False
        self._accused = _Accused(rows[0], death, num_steps + 2)
        row = rows[0].prompt.row
        return f"row {row} was alone in it, and is to blame if the next engine lives", False


class _Queue:
    """The rows to submit; those of a dead engine come back to the front."""

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
        """Ask no more rows of this run."""
        self._left_out.add(run)


def _key(row: OwedRow) -> tuple[int, int]:
    return row.wanted.run, row.prompt.index


def _split(rows: list[OwedRow]) -> list[list[OwedRow]]:
    """At most SPLIT groups, the first one last: they are taken from the end."""
    size = -(-len(rows) // SPLIT)
    return [rows[i : i + size] for i in range(0, len(rows), size or 1)][::-1]
