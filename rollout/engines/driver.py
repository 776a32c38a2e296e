"""The driving loop: keep every engine full, and yield rows as they finish.

One loop for one engine and for many: rows go one by one to the engine with the most room, so
there is no barrier and no split in advance, and the last rows are shared. Must not know about
files or clocks, nor where an engine runs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rollout.engines.base import Engine
from rollout.engines.flight import Flight
from rollout.engines.replicas import Replicas
from rollout.engines.slot import Slot
from rollout.engines.survival import Survival, Turn
from rollout.errors import EngineError, RequestRefused, RolloutError
from rollout.rows.owed import OwedRow
from rollout.rows.prompt import Prompt
from rollout.rows.request import Request
from rollout.rows.result import Result

HARMLESS = Request(Prompt(-1, -1, "Hello"), 1, 0, max_tokens=1)
MAX_REFUSED_IN_A_ROW = 64  # so that a file full of bad rows is still written incrementally


@dataclass(slots=True)
class Tick:
    """One turn of the loop: the rows that finished, and whether all rows are submitted."""

    finished: list[Result]
    source_dry: bool
    is_idle: bool = False  # nothing happened: the caller waits a moment before the next turn


def _raise(run: int, error: EngineError) -> None:
    raise error


@dataclass(frozen=True, slots=True)
class Listener:
    """What the loop reports while it runs.

    `on_load` is called with each engine that is up, its load time in seconds (0 if it served
    earlier runs) and its slot; `on_death` with each death, before the next engine is loaded: the
    error, what happens next, and the slot. `give_up` is called with a run whose rows are blamed
    one after the other while none is answered; the other runs continue without it.
    """

    on_load: Callable[[Engine, float, Slot], None] = lambda engine, load_s, slot: None
    on_death: Callable[[EngineError, str, Slot], None] = lambda death, what, slot: None
    give_up: Callable[[int, EngineError], None] = _raise


def drive(replicas: Replicas, survival: Survival, listener: Listener) -> Iterator[Tick]:
    """Drive the rows of `survival` through as many engines as needed; yield a Tick every turn.

    Each row is yielded exactly once, finished or failed with its error, in the order they finish.
    A tick may be empty, while engines are being loaded, for example. The caller may stop at any
    turn; rows in flight then stay in the engines. Raises RolloutError if no engine is left.
    """
    loop = _Loop(replicas, survival, listener)
    while True:
        if moved := loop.advance():
            yield Tick([], loop.is_dry)
        finished = loop.hand_out()
        if finished:
            yield Tick(finished, loop.is_dry)
        loop.bury()
        for lane in loop.lanes:
            results = loop.step(lane)
            if results is not None:
                yield Tick(results, loop.is_dry)
        moved |= bool(finished) or loop.has_moved
        if loop.is_over:
            if left := survival.unresolved():
                yield Tick(left, True)
            return
        if not moved:
            yield Tick([], loop.is_dry, is_idle=True)


class _Loop:
    """The lanes of the slots there are, and what one turn of the loop does to them."""

    def __init__(self, replicas: Replicas, survival: Survival, listener: Listener):
        self._replicas, self._survival, self._listener = replicas, survival, listener
        self.lanes: list[Lane] = []
        self._dead: list[tuple[Lane, RolloutError]] = []
        self._failed: dict[Lane, RolloutError] = {}  # first loads, while no engine is up
        self.has_moved = False

    @property
    def is_dry(self) -> bool:
        return self._survival.is_dry and not any(lane.is_apart for lane in self.lanes)

    @property
    def is_over(self) -> bool:
        if not self._survival.is_over:
            return False
        return all(lane.is_free for lane in self.lanes if lane.slot.current)

    def advance(self) -> bool:
        """Bring engines up and begin turns; return whether anything happened."""
        self.has_moved = moved = False
        self._replicas.refresh(grows=not self._survival.is_dry)
        known = {lane.slot for lane in self.lanes}
        self.lanes += [
            Lane(slot, self._survival, self._listener)
            for slot in self._replicas.slots
            if slot not in known
        ]
        for lane in self.lanes:
            if lane in self._failed:
                continue
            if lane.is_free and self._replicas.is_leaving(lane.slot):
                lane.leave()
            try:
                moved |= lane.advance()
            except RolloutError as error:
                self._dead.append((lane, error))
        self.bury()
        return moved

    def hand_out(self) -> list[Result]:
        """Submit rows while there is room, each where most room is; return those final at once."""
        finished: list[Result] = []
        takers = [lane for lane in self.lanes if lane.takes_rows and not self._is_leaving(lane)]
        leaves_some = self._are_others_coming  # of a small input
        if leaves_some:
            takers = [lane for lane in takers if not lane.flight.is_busy]
        while takers and len(finished) < MAX_REFUSED_IN_A_ROW:
            lane = takers[0] if len(takers) == 1 else min(takers, key=lambda t: t.flight.load)
            try:
                had_row, final = lane.submit()
            except EngineError as error:
                self._dead.append((lane, error))
                had_row, final = False, []
            finished += final
            is_full = lane.flight.is_busy if leaves_some else not lane.flight.has_room
            if not had_row or is_full:
                takers.remove(lane)
        return finished

    @property
    def _are_others_coming(self) -> bool:
        """Whether slots are loading for the first time."""
        return any(
            lane.slot.current is None and lane.slot.num_starts < 2 and lane not in self._failed
            for lane in self.lanes
        )

    def _is_leaving(self, lane: "Lane") -> bool:
        return not lane.is_apart and self._replicas.is_leaving(lane.slot)

    def step(self, lane: "Lane") -> list[Result] | None:
        """Advance the lane's engine; return the rows that are final, None if it has nothing."""
        try:
            results = lane.step()
        except EngineError as error:
            self._dead.append((lane, error))
            results = []
        if given_up := lane.given_up:
            lane.given_up = None
            self._listener.give_up(*given_up)
        self.has_moved |= bool(results) or lane.has_moved
        return results

    def bury(self) -> None:
        """Let the lanes of dead engines go on, or retire them. Raises RolloutError if none is left.

        A first load that fails is tried again only if another slot's engine came up.
        """
        dead, self._dead = self._dead, []
        for lane, error in dead:
            self.has_moved = True
            if lane.slot.num_starts == 1 and lane.slot.current is None and not self._replicas.up:
                self._failed[lane] = error
            else:
                self._die(lane, error)
        if not self._failed:
            return
        if self._replicas.up:
            failed, self._failed = self._failed, {}
            for lane, error in failed.items():
                self._die(lane, error)
        elif len(self._failed) == len(self.lanes):
            raise next(iter(self._failed.values()))

    def _die(self, lane: "Lane", error: RolloutError) -> None:
        try:
            lane.died(error)
        except RolloutError as fatal:
            lane.leave()
            self.lanes.remove(lane)
            self._replicas.retire(lane.slot, fatal)


class Lane:
    """One slot on its way: loading its engine, taking turns, coming back after deaths."""

    def __init__(self, slot: Slot, survival: Survival, listener: Listener):
        self.slot = slot
        self._survival, self._listener = survival, listener
        self._loading: Iterator[None] | None = None
        self._load_s: float | None = 0.0  # of the engine; None: the listener knows it
        self._turn: Turn | None = None
        self._rows: Iterator[OwedRow] = iter(())
        self._are_sent = False  # all rows of the turn, for now
        self._probe_steps: int | None = None  # for the engine to survive with harmless requests
        self.flight: Flight | None = None
        self.has_moved = False  # at the last step
        self.given_up: tuple[int, EngineError] | None = None  # run to give up, and why

    @property
    def is_free(self) -> bool:
        """Whether the engine is up and has nothing to do."""
        return self.flight is not None and self.flight.is_empty and self._probe_steps is None

    @property
    def takes_rows(self) -> bool:
        """Whether its engine has room for a row of its turn."""
        return self.flight is not None and self._probe_steps is None and self.flight.has_room

    @property
    def is_apart(self) -> bool:
        return self._turn is not None and self._turn.is_apart

    def advance(self) -> bool:
        """Bring the engine up and begin its next turn; return whether anything happened.

        Raises RolloutError if the engine can't be loaded.
        """
        if self.slot.current is None:
            self._loading = self._loading or self.slot.start()
            try:
                next(self._loading)
                return False
            except StopIteration:
                self._loading, self._load_s = None, self.slot.load_s
        if self._load_s is not None:
            load_s, self._load_s = self._load_s, None
            self._listener.on_load(self.slot.current, load_s, self.slot)
        if self._turn is None:
            self._begin()
            return True
        if self.is_free and self._are_sent:
            self._begin()
            return self.is_apart or self._probe_steps is not None
        return False

    def _begin(self) -> None:
        turn = self._turn = self._survival.next_turn(self.slot.number)
        self._rows, self.flight = iter(turn.rows), Flight(self.slot.current)
        self._are_sent = False
        if turn.num_trial_steps:
            self._probe_steps = turn.num_trial_steps
        elif turn.is_alone and not self.slot.has_answered:
            self._probe_steps = 1

    def submit(self) -> tuple[bool, list[Result]]:
        """Submit the next row; return whether there was one, and the rows that are final by it.

        Raises EngineError if the engine died.
        """
        row = next(self._rows, None)
        self._are_sent = row is None
        if row is None:
            return False, []
        result = self.flight.submit(row)
        return True, self._final([result]) if result else []

    def step(self) -> list[Result] | None:
        """Advance the engine; return the rows that are final, or None if it has nothing to do.

        Raises EngineError if it died.
        """
        self.has_moved = False
        if self.flight is None or self.is_free:
            return None
        before = self.slot.current.num_steps
        results = self._final(self.flight.step()) if self._probe_steps is None else self._probe()
        self.has_moved = bool(results) or self.slot.current.num_steps > before
        return results

    def _final(self, results: list[Result]) -> list[Result]:
        by_engine = self.flight.num_completions > 0
        if results and by_engine:
            self.slot.has_answered = True
            self.slot.num_rows += len(results)
        return self._survival.finished(results, by_engine, self.slot.number)

    def _probe(self) -> list[Result]:
        """Run a harmless request, repeatedly, until the engine has lived long enough.

        These are steps of the engine, too: how long it lives decides who is to blame.
        """
        engine = self.slot.current
        before = engine.num_steps
        try:
            if not engine.num_unfinished:
                engine.submit(HARMLESS)
            refused = any(completion.error for completion in engine.step())
        except RequestRefused:
            refused = True
        self._probe_steps -= engine.num_steps - before
        if refused:
            self._probe_steps = 0  # it is alive
        if self._probe_steps <= 0 and not engine.num_unfinished:
            self._probe_steps = None
            self.slot.has_answered = True
            if self._turn.num_trial_steps:
                self._turn = None
                self.given_up = self._survival.engine_survived(self.slot.number)
        return []

    def died(self, error: RolloutError) -> None:
        """Decide what happens to the rows in flight. Raises RolloutError if the slot must end."""
        engine = self.slot.current
        self.slot.num_deaths += 1
        death, eased = self.slot.step_down(error)
        in_flight = self.flight.unfinished if self.flight else []
        num_steps = engine.num_steps if engine else 0
        what = self._survival.engine_died(
            death, in_flight, num_steps, eased or death.excuse, self.slot.number
        )
        self._listener.on_death(death, what, self.slot)
        self._reset()

    def leave(self) -> None:
        """Shut the engine down; what it was trying goes to others, and a new one is loaded."""
        self._survival.is_down(self.slot.number)
        self._reset()

    def _reset(self) -> None:
        self.slot.shutdown()
        self._turn = self.flight = self._loading = self._probe_steps = None
