"""Decide after an engine's death which rows to resubmit, which to run separately, which to blame.

One policy for all slots: the engines of a run share the queue and the suspects.

An engine that dies takes all rows in flight with it, and one of them may be the cause. Retrying
all of them a few times would blame good rows that die again next to the bad one. Instead:

- After one death, the rows go back to the queue.
- Rows in flight at a second death are suspects. They run separately, in groups; a group that kills
  the engine is split.
- If a row is alone in an engine that dies, and that engine had answered a harmless request, a
  trial follows: the row is blamed if the next engine survives as many steps of harmless requests.
  If it does not, engines do not live that long here, whatever the row.
- With several slots, the row must also have been alone in an engine of another slot that died: the
  first slot's machine may be the cause.

Up to eight suspects take three deaths, S suspects about 2 + log8(S); with several slots one more.

Pure: no engine, no clock, no file. `driver.drive_with_restarts` acts on the decisions made here.
"""

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

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
    killed: frozenset[int]  # other slots whose engines died with the row alone in them


@dataclass(frozen=True, slots=True)
class _Suspects:
    """Rows to run separately, together; a single one, in another slot than those in `killed`."""

    rows: list[OwedRow]
    killed: frozenset[int] = frozenset()


@dataclass(slots=True)
class _Slot:
    """What one slot is doing."""

    group: _Suspects | None = None
    left: dict[tuple[int, int], OwedRow] | None = None  # rows of the group that are unfinished
    trial: _Trial | None = None
    num_without_progress: int = 0  # deaths since one of its engines answered a row
    num_left_to_others: int = 0  # rows that killed its engines alone, since then


class Survival:
    """The rows of some runs, driven through engines that may die.

    `proven` lists the runs that have answered rows already. MAX_BLAMED of their rows in sequence
    may be blamed; of the other runs' rows, `max_restarts`. A slot is a number, 0 if there is one.
    """

    def __init__(self, rows: Iterable[OwedRow], max_restarts: int, proven: Iterable[int] = ()):
        self._queue, self._max_restarts = _Queue(rows), max_restarts
        self._proven = set(proven)
        self._num_deaths: Counter[tuple[int, int]] = Counter()  # with the row in flight
        self._suspects: list[_Suspects] = []  # the next ones last
        self._slots: defaultdict[int, _Slot] = defaultdict(_Slot)
        self._up: set[int] = set()  # slots that have an engine
        # By run: held back until another row of the run shows that the engine can answer it.
        self._blamed: dict[int, list[Result]] = defaultdict(list)

    @property
    def is_over(self) -> bool:
        """Whether no row waits: neither in the queue nor among suspects nor for a trial."""
        waits = self._suspects or any(slot.trial or slot.group for slot in self._slots.values())
        return self._queue.is_dry and not waits

    @property
    def is_dry(self) -> bool:
        """Whether the queue has no more rows for now; rows of a dead engine may return to it."""
        return self._queue.is_dry

    def next_turn(self, slot: int = 0) -> Turn:
        """Return the next turn of a slot whose engine is up; it ends when `rows` do."""
        state = self._slots[slot]
        state.group = state.left = None
        self._up.add(slot)
        if state.trial:
            return Turn(num_trial_steps=min(state.trial.num_steps, MAX_TRIAL_STEPS))
        for number in reversed(range(len(self._suspects))):
            if self._may_run(slot, self._suspects[number]):
                group = state.group = self._suspects.pop(number)
                state.left = {_key(row): row for row in group.rows}
                return Turn(group.rows, is_apart=True, is_alone=len(group.rows) == 1)
        return Turn(self._queue)

    def _may_run(self, slot: int, group: _Suspects) -> bool:
        """Whether the slot runs the group, or leaves it to others.

        First come slots whose engines did not die of it, and not of too many other rows alone. If
        there are none, and nothing else is left to do: any that did not die of it, then any.
        """
        limit = max(self._max_restarts, 1)
        fresh = self._up - group.killed
        trusted = {each for each in fresh if self._slots[each].num_left_to_others < limit}
        if trusted or not self._queue.is_dry:
            return slot in trusted
        return slot in (fresh or self._up)

    def finished(self, results: list[Result], by_engine: bool, slot: int = 0) -> list[Result]:
        """Return the rows that are final now; `by_engine`: the engine answered some this turn.

        Blamed rows are included as soon as another row of their run was answered.
        """
        state = self._slots[slot]
        for result in results:
            key = result.run, result.index
            self._num_deaths.pop(key, None)
            if state.left:
                state.left.pop(key, None)
        if not (results and by_engine):
            return results
        state.num_without_progress = state.num_left_to_others = 0
        answered = {result.run for result in results if not result.error}
        self._proven |= answered
        cleared = [self._blamed.pop(run) for run in answered & self._blamed.keys()]
        return [*results, *itertools.chain(*cleared)]

    def unresolved(self) -> list[Result]:
        """Return the blamed rows after which no row of their run was answered."""
        return list(itertools.chain(*self._blamed.values()))

    def engine_survived(self, slot: int = 0) -> tuple[int, EngineError] | None:
        """Record that the engine survived the trial: blame the row, or try it on another slot.

        Returns the run to give up and the reason, if its rows are blamed one after the other and
        none is answered; else None.
        """
        state = self._slots[slot]
        trial, state.trial = state.trial, None
        if not trial.killed and self._up - {slot}:
            self._suspects.insert(0, _Suspects([trial.row], frozenset({slot})))
            state.num_left_to_others += 1
            return None
        row, death = trial.row, trial.death
        run, blamed = row.wanted.run, self._blamed[row.wanted.run]
        blamed.append(row.result([], f"this row kills the engine: {death}"))
        if len(blamed) <= (MAX_BLAMED if run in self._proven else self._max_restarts):
            return None
        self._queue.leave_out(run)
        kept = ([row for row in group.rows if row.wanted.run != run] for group in self._suspects)
        pairs = zip(self._suspects, kept, strict=True)
        self._suspects = [replace(group, rows=rows) for group, rows in pairs if rows]
        named = ", ".join(str(result.row) for result in self._blamed.pop(run))
        return run, EngineError(
            f"{death}; each of the rows {named} killed it alone, and no other row finished in "
            "between, so the settings or the machine are the likely cause"
        )

    def engine_died(
        self,
        death: EngineError,
        in_flight: list[OwedRow],
        num_steps: int,
        eased: str | None,
        slot: int = 0,
    ) -> str:
        """Decide what happens to the rows in flight; return a text that says so.

        `num_steps` is how long the engine lived. `eased` says why no row is to blame, such as the
        settings lowered for the next engine if memory ran out: all rows are submitted again. Raises
        EngineError after more than `max_restarts` deaths with no row answered in between.
        """
        self._up.discard(slot)
        state = self._slots[slot]
        if eased:
            self._resubmit(state, in_flight)
            return eased
        text, counts = self._decide(state, death, in_flight, num_steps)
        state.num_without_progress += counts
        if state.num_without_progress > self._max_restarts:
            raise EngineError(
                f"{death}; that was death {state.num_without_progress} with no row finished in "
                f"between (engine.max_restarts={self._max_restarts})"
            ) from death
        return text

    def is_down(self, slot: int) -> None:
        """Record that the slot has no engine; what it was trying goes to the others."""
        self._up.discard(slot)
        self._resubmit(self._slots[slot], [])

    def _resubmit(self, state: _Slot, in_flight: list[OwedRow]) -> None:
        if trial := state.trial:
            self._suspects.append(_Suspects([trial.row], trial.killed))
            state.trial = None
        elif state.left is None:
            self._queue.put_back(in_flight)
        elif state.left:
            self._suspects.append(replace(state.group, rows=list(state.left.values())))
        state.group = state.left = None

    def _decide(
        self, state: _Slot, death: EngineError, in_flight: list[OwedRow], num_steps: int
    ) -> tuple[str, bool]:
        """Return a text of what happens, and whether the death counts as one without progress."""
        if state.trial:
            self._resubmit(state, in_flight)
            return "it dies on a harmless request too, so no row is blamed", True
        if state.left is None:
            self._num_deaths.update(map(_key, in_flight))
            twice = [row for row in in_flight if self._num_deaths[_key(row)] > 1]
            self._queue.put_back([row for row in in_flight if self._num_deaths[_key(row)] == 1])
            self._suspects += _split(twice)
            if twice:
                return f"{len(twice)} rows that were in flight each time now run separately", True
            return f"the {len(in_flight)} rows in flight are submitted again", True
        group, rows = state.group, list(state.left.values())
        if not in_flight:  # at the harmless request
            self._resubmit(state, in_flight)
            return "trying again", True
        state.group = state.left = None
        if len(group.rows) > 1:
            self._suspects += _split(rows)
            return f"one of {len(rows)} rows may be the cause; they run separately", False
        state.trial = _Trial(rows[0], death, num_steps + 2, group.killed)
        row = rows[0].prompt.row
        return f"row {row} was alone in it, and is blamed if the next engine survives", False


class _Queue:
    """The rows to submit; rows of a dead engine return to the front."""

    def __init__(self, rows: Iterable[OwedRow]):
        self._rows = iter(rows)
        self._returned: deque[OwedRow] = deque()
        self._left_out: set[int] = set()
        self._is_exhausted = False

    @property
    def is_dry(self) -> bool:
        return self._is_exhausted and not self._returned

    def __iter__(self) -> "_Queue":
        return self

    def __next__(self) -> OwedRow:
        while True:
            if self._returned:
                row = self._returned.popleft()
            elif (row := next(self._rows, None)) is None:
                self._is_exhausted = True
                raise StopIteration
            if row.wanted.run not in self._left_out:
                return row

    def put_back(self, rows: list[OwedRow]) -> None:
        self._returned.extendleft(reversed(rows))

    def leave_out(self, run: int) -> None:
        """Skip all further rows of this run."""
        self._left_out.add(run)


def _key(row: OwedRow) -> tuple[int, int]:
    return row.wanted.run, row.prompt.index


def _split(rows: list[OwedRow]) -> list[_Suspects]:
    """Split into at most SPLIT groups, in reverse order: they are taken from the end."""
    size = -(-len(rows) // SPLIT)
    return [_Suspects(rows[i : i + size]) for i in range(0, len(rows), size or 1)][::-1]
