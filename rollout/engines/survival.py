"""When an engine dies: start another, go on with what is owed, and find the row that kills it.

An engine that dies takes every row in flight with it, and one of them may be why. Retrying all
of them a few times would blame innocents, which die again beside the guilty one. So: after one
death the rows go back to the queue; those in flight at a second death are suspects, and run
apart, in groups; a group that kills the engine is split; a row that kills it alone, on an engine
seen to answer a harmless request, is guilty if the next engine lives through as many steps of
harmless requests: else engines just do not live that long. With up to eight suspects that takes
three deaths; with S, 2 + log8(S) about.
"""

import itertools
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from rollout.engines.base import COUNTERS, Engine, EngineStats
from rollout.engines.driver import Flight, Tick, drive, probe
from rollout.errors import EngineError, RolloutError
from rollout.rows.owed import OwedRow
from rollout.rows.prompt import Prompt
from rollout.rows.request import Request
from rollout.rows.result import Result

SPLIT = 8
MAX_CONVICTED = 64  # in a row, by an engine that has shown that it can answer these prompts
LOAD_PAUSE_S = 2.0  # after a failed load: what the dead engine held may take a moment to be free
MAX_CONTROL_STEPS = 1024
HARMLESS = Request(Prompt(-1, -1, "Hello"), 1, 0, max_tokens=1)


class _NotTheRows(EngineError):
    """Rows die alone one after the other: more of that proves nothing."""


class Engines:
    """One engine at a time; a dead one is replaced by the next."""

    def __init__(
        self,
        load: Callable[[], Engine],
        ease: Callable[[EngineError], str | None] = lambda death: None,
    ):
        """`ease` hears of a death, and says what the next engine will do with less memory for;
        None where that is not why, or nothing is left to give up."""
        self._load, self.ease = load, ease
        self.on_load: Callable[[Engine, float], None] = lambda engine, load_s: None
        self._past = EngineStats()  # counters of the dead ones
        self.num_starts = 0
        self.has_answered, self.num_steps = False, 0  # of the one that runs now
        self.current: Engine | None = None

    def start(self) -> Engine:
        """Load an engine in place of the current one, which is shut down.

        What fails at a first load is the user's to mend; a later one raises EngineError.
        """
        self.shutdown()
        self.num_starts += 1
        self.has_answered, self.num_steps = False, 0
        began = time.monotonic()
        try:
            self.current = self._load()
        except RolloutError as error:
            if self.num_starts == 1:
                raise
            time.sleep(LOAD_PAUSE_S)
            raise EngineError(f"it could not be loaded again: {error}") from error
        self.on_load(self.current, time.monotonic() - began)
        return self.current

    def shutdown(self) -> None:
        """Free everything; the counters stay."""
        engine, self.current = self.current, None
        if engine is None:
            return
        self._past = _added(self._past, engine.stats())
        self._past.num_running = self._past.num_waiting = 0
        engine.shutdown()

    def stats(self) -> EngineStats:
        """Counters over all engines, gauges of the current one."""
        return _added(self._past, self.current.stats()) if self.current else self._past


def _added(past: EngineStats, now: EngineStats) -> EngineStats:
    total = replace(now, **{name: getattr(past, name) + getattr(now, name) for name in COUNTERS})
    total.kv_cache_usage_peak = max(past.kv_cache_usage_peak, now.kv_cache_usage_peak)
    return total


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


def _without(rows: list[OwedRow], run: int) -> list[OwedRow]:
    return [row for row in rows if row.wanted.run != run]


def _raise(run: int, error: EngineError) -> None:
    raise error


def drive_on(
    engines: Engines,
    rows: Iterable[OwedRow],
    max_restarts: int,
    on_death: Callable[[EngineError, str], None],
    proven: Iterable[int] = (),
    give_up: Callable[[int, EngineError], None] = _raise,
) -> Iterator[Tick]:
    """Drive all `rows` through as many engines as it takes; ticks as of `driver.drive`.

    `proven` are the runs of which rows were finished before: then more of them may be blamed in a
    row than `max_restarts`, the limit until a first one is finished.
    `on_death` hears of each death before the next engine is loaded: the error, and what will
    happen. `give_up` hears of a run whose rows die one by one and none finishes: the others go
    on without it. Raises EngineError after more than `max_restarts` deaths with no row finished
    in between.
    """
    queue, strikes = _Queue(rows), Counter()
    proven = set(proven)
    suspects: list[list[OwedRow]] = []  # groups that run apart, the next one last
    # By run, held back until another row of it shows that the engine can answer it.
    convicted: dict[int, list[Result]] = defaultdict(list)
    accused: tuple[OwedRow, EngineError, int] | None = None  # and the steps its engine lived
    num_in_vain = 0  # deaths since a row finished
    while True:
        group = None
        if accused is None and suspects:
            group = suspects.pop()
        left = {_key(row): row for row in group or ()}
        flight = None
        try:
            engine = engines.current or engines.start()
            if accused:
                row, cause, num_steps = accused
                probe(engine, HARMLESS, min(num_steps, MAX_CONTROL_STEPS))
                engines.has_answered, accused = True, None
                run = row.wanted.run
                blamed = convicted[run]
                blamed.append(_guilty(row, cause))
                if len(blamed) > (MAX_CONVICTED if run in proven else max_restarts):
                    queue.leave_out(run)
                    suspects = [kept for g in suspects if (kept := _without(g, run))]
                    named = ", ".join(str(result.row) for result in convicted.pop(run))
                    error = _NotTheRows(
                        f"{cause}; it died at each of the rows {named}, alone, and no other row "
                        "finished in between, so it is rather the settings or the machine"
                    )
                    give_up(run, error)
                continue
            if group is not None and len(group) == 1 and not engines.has_answered:
                probe(engine, HARMLESS)
                engines.has_answered = True
            flight = Flight(engine)
            for tick in drive(flight, queue if group is None else group):
                for result in tick.finished:
                    left.pop((result.run, result.index), None)
                    strikes.pop((result.run, result.index), None)
                if tick.finished and flight.num_completions:
                    engines.has_answered, num_in_vain = True, 0
                    answered = {result.run for result in tick.finished if not result.error}
                    proven |= answered
                    for run in answered & convicted.keys():
                        tick.finished += convicted.pop(run)
                yield Tick(tick.finished, tick.source_dry and group is None)
            engines.num_steps += flight.num_steps
            if group is None:
                if convicted:
                    yield Tick(list(itertools.chain(*convicted.values())), True)
                return
        except _NotTheRows:
            raise
        except EngineError as death:
            dead = flight.unfinished if flight else []
            if what := engines.ease(death):  # nobody's fault: all is asked again
                if accused:
                    suspects.append([accused[0]])
                    accused = None
                elif group is None:
                    queue.put_back(dead)
                else:
                    suspects.append(list(left.values()))
            elif accused:
                num_in_vain += 1
                suspects.append([accused[0]])
                accused = None
                what = "it dies of a harmless request too, so nobody is blamed"
            elif group is None:
                num_in_vain += 1
                strikes.update(map(_key, dead))
                twice = [row for row in dead if strikes[_key(row)] > 1]
                queue.put_back([row for row in dead if strikes[_key(row)] == 1])
                suspects += _split(twice)
                what = f"the {len(dead)} rows in flight are asked again"
                if twice:
                    what = f"{len(twice)} rows that were in flight each time now run apart"
            elif not dead:  # at loading or at the harmless request: no row's fault
                num_in_vain += 1
                suspects.append(group)
                what = "trying again"
            elif len(group) == 1:
                accused = group[0], death, engines.num_steps + flight.num_steps + 2
                what = f"row {group[0].prompt.row} was alone in it, and to blame if the next lives"
            else:
                suspects += _split(list(left.values()))
                what = f"one of {len(left)} rows may be why; they run apart"
            if num_in_vain > max_restarts:
                raise EngineError(
                    f"{death}; that was death {num_in_vain} with no row finished since the last "
                    f"(engine.max_restarts={max_restarts})"
                ) from death
            on_death(death, what)
            engines.shutdown()


def _key(row: OwedRow) -> tuple[int, int]:
    return row.wanted.run, row.prompt.index


def _split(rows: list[OwedRow]) -> list[list[OwedRow]]:
    """At most SPLIT groups, the first one last: they are taken from the end."""
    size = -(-len(rows) // SPLIT)
    return [rows[i : i + size] for i in range(0, len(rows), size or 1)][::-1]


def _guilty(row: OwedRow, death: EngineError) -> Result:
    return row.result([], f"this row kills the engine: {death}")
