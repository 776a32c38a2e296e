"""The driving loop: keep the engine full, and yield rows as they finish.

The window counts *unfinished samples*, about twice as many as the engine decodes concurrently.
A window of rows would drain the engine at the end of every row for large n; a window of all
submitted samples would let host memory grow with the file. Must not know about files or clocks.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from rollout.engines.base import Engine
from rollout.engines.slot import Slot
from rollout.engines.survival import Survival
from rollout.errors import EngineError, RequestRefused
from rollout.rows.owed import OwedRow
from rollout.rows.prompt import Prompt
from rollout.rows.request import Completion, Request
from rollout.rows.result import Result

HARMLESS = Request(Prompt(-1, -1, "Hello"), 1, 0, max_tokens=1)
MAX_REFUSED_IN_A_ROW = 64  # so that a file full of bad rows is still written incrementally


@dataclass(slots=True)
class Tick:
    """One turn of the loop: the rows that finished, and whether all rows are submitted."""

    finished: list[Result]
    source_dry: bool


@dataclass(slots=True)
class _Open:
    """A row in the engine: its unfinished requests, and the completions so far."""

    row: OwedRow
    left: list[Request] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    error: str | None = None


class Flight:
    """The rows in one engine. After it died, `unfinished` lists the rows that were lost."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._window = window_of(engine.facts.max_num_seqs)
        self._open: dict[OwedRow, _Open] = {}
        self._row_of: dict[Request, OwedRow] = {}
        self.num_completions = self.num_steps = 0

    @property
    def has_room(self) -> bool:
        return self._engine.num_unfinished < self._window

    @property
    def unfinished(self) -> list[OwedRow]:
        """Rows submitted but not finished, in submission order."""
        return [flying.row for flying in self._open.values()]

    def submit(self, row: OwedRow) -> Result | None:
        """Submit all owed requests of the row; return its result if there is nothing to wait for.

        A sample that can't be continued (no room left in the context) stays as it is.
        """
        if row.prompt.error:
            return row.result([], row.prompt.error)
        flying = self._open[row] = _Open(row)
        for request in row.requests():
            try:
                self._engine.submit(request)
                flying.left.append(request)
                self._row_of[request] = row
            except RequestRefused as refusal:
                if request.prefix is None:
                    flying.error = str(refusal)
        return None if flying.left else self._close(flying)

    def step(self) -> list[Result]:
        """Run one engine step; return the rows whose last request finished."""
        finished = []
        self.num_steps += 1
        for completion in self._engine.step():
            flying = self._open[self._row_of.pop(completion.request)]
            flying.completions.append(completion)
            self.num_completions += 1
            flying.left.remove(completion.request)
            if not flying.left:
                finished.append(self._close(flying))
        return finished

    def _close(self, flying: _Open) -> Result:
        del self._open[flying.row]
        return flying.row.result(flying.completions, flying.error)

    @property
    def is_empty(self) -> bool:
        return not self._open


def window_of(max_num_seqs: int) -> int:
    """Return how many samples to keep unfinished: one full batch running, one waiting."""
    return 2 * max_num_seqs


def drive(flight: Flight, rows: Iterable[OwedRow]) -> Iterator[Tick]:
    """Submit all `rows`, never more than a window ahead; yield a Tick every turn.

    Each row is yielded exactly once, finished or failed with its error, in the order they finish.
    Raises EngineError if the engine dies. The caller may stop at any turn; rows in flight then
    stay in the engine.
    """
    source = iter(rows)
    dry = False
    while True:
        settled: list[Result] = []
        while not dry and flight.has_room and len(settled) < MAX_REFUSED_IN_A_ROW:
            row = next(source, None)
            if row is None:
                dry = True
            else:
                try:
                    result = flight.submit(row)
                except EngineError:
                    if settled:
                        yield Tick(settled, dry)
                    raise
                settled += [result] if result else []
        if settled:
            yield Tick(settled, dry)
        if not flight.is_empty:
            yield Tick(flight.step(), dry)
        elif dry:
            return


def probe(slot: Slot, request: Request, num_steps: int = 1) -> None:
    """Run a harmless request, repeatedly, for `num_steps` engine steps in total.

    They count as steps of the slot's engine: how long an engine lives decides who is to blame.
    Raises EngineError if the engine dies.
    """
    engine = slot.current
    while num_steps > 0:
        try:
            engine.submit(request)
        except RequestRefused:
            return  # it is alive
        while engine.num_unfinished:
            engine.step()
            slot.num_steps += 1
            num_steps -= 1


def _raise(run: int, error: EngineError) -> None:
    raise error


def drive_with_restarts(
    slot: Slot,
    survival: Survival,
    on_load: Callable[[Engine, float], None],
    on_death: Callable[[EngineError, str], None],
    give_up: Callable[[int, EngineError], None] = _raise,
) -> Iterator[Tick]:
    """Drive the rows of `survival` through as many engines as needed; yield ticks like `drive`.

    `on_load` is called with each loaded engine and its load time in seconds; `on_death` with each
    death, before the next engine is loaded: the error, and what happens next. `give_up` is called
    with a run whose rows are blamed one after the other while none is answered; the other runs
    continue without it. Raises EngineError if `survival` gives up.
    """
    while True:
        turn, flight = survival.next_turn(), None
        try:
            if slot.current is None:
                on_load(*slot.start())
            engine = slot.current
            num_steps = turn.num_trial_steps or int(turn.is_alone and not slot.has_answered)
            if num_steps:
                probe(slot, HARMLESS, num_steps)
                slot.has_answered = True
            if not turn.num_trial_steps:
                flight = Flight(engine)
                for tick in drive(flight, turn.rows):
                    by_engine = flight.num_completions > 0
                    slot.has_answered |= by_engine and bool(tick.finished)
                    finished = survival.finished(tick.finished, by_engine)
                    yield Tick(finished, tick.source_dry and not turn.is_apart)
                slot.num_steps += flight.num_steps
        except EngineError as error:
            death, eased = slot.step_down(error)
            in_flight, num_steps = (flight.unfinished, flight.num_steps) if flight else ([], 0)
            what = survival.engine_died(death, in_flight, slot.num_steps + num_steps, eased)
            on_death(death, what)
            slot.shutdown()
            continue
        if turn.num_trial_steps:
            if given_up := survival.engine_survived():
                give_up(*given_up)
        elif not turn.is_apart:
            if left := survival.unresolved():
                yield Tick(left, True)
            return
