"""Generate for runs that share one engine and one continuous batch; often it is a single run.

Rows are submitted prompt by prompt, all runs' samples of a prompt together, so that they share its
prefill. A run's error ends that run only; an engine that fails for good ends all of them.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from rollout.engines.base import COUNTERS, Engine, EnginePlan, EngineStats, Ladder
from rollout.engines.driver import drive_with_restarts
from rollout.engines.slot import Slot
from rollout.engines.survival import Survival
from rollout.errors import EngineError, RolloutError
from rollout.rows.result import Result
from rollout.runs.attempt import Attempt
from rollout.runs.progress import LOOK_S, Clock
from rollout.system.garbage import rare_collections
from rollout.system.machine import memory_in_use_gib
from rollout.system.signals import StopRequest

WEIGH_S = 2.0  # between two readings of the memory in use, which take milliseconds

# Called after every step with a function that returns the counters since the first submission.
OnTurn = Callable[[Callable[[], EngineStats]], None]


def answer(
    slot: Slot,
    plan: EnginePlan,
    attempts: Sequence[Attempt],
    stop: StopRequest,
    environment: Mapping[str, str] | None = None,
    ladder: Ladder | None = None,
    progress: Callable[[], AbstractContextManager[OnTurn]] = lambda: nullcontext(
        lambda stats: None
    ),
) -> None:
    """Answer every owed row of `attempts` with the engine of `plan`, and store the results.

    An error is kept in the `error` of each attempt that it leaves incomplete. Raises Interrupted
    if the user asked to stop; finished rows are on disk then.
    """
    try:
        with attempts[0].explaining_disk_errors(), slot.serving(plan, environment, ladder):
            for attempt in attempts:
                with attempt.failing_alone():
                    slot.check(plan, attempt.job.settings.sampling)
                    attempt.find_splitter()
            if runnable := [attempt for attempt in attempts if not attempt.error]:
                with progress() as on_turn:
                    generate(slot, runnable, stop, on_turn)
    except RolloutError as error:
        stop.raise_if_requested()
        for attempt in attempts:
            if not attempt.is_complete:
                attempt.error = attempt.error or error


def generate(
    slot: Slot,
    attempts: Sequence[Attempt],
    stop: StopRequest,
    on_turn: OnTurn = lambda stats: None,
) -> None:
    """Drive the engine, and its replacements if it dies, until every owed row is on disk.

    An error of one run is kept in its `error`. Raises EngineError if the engine fails for all,
    Interrupted if the user asked to stop; finished rows are flushed then.
    """

    def on_load(engine: Engine, load_s: float) -> None:
        for run, attempt in enumerate(attempts):
            attempt.report.num_sharing = len(attempts)
            attempt.begin(engine, run, load_s, slot.steps)

    def on_death(death: EngineError, what: str) -> None:
        stop.raise_if_requested()  # Ctrl-C also reaches the engine's processes
        for attempt in attempts:
            attempt.flush()
            attempt.report.engine_died(death, what)

    def give_up(run: int, error: EngineError) -> None:
        attempts[run].error = attempts[run].error or error

    if slot.current:  # still loaded for earlier runs
        on_load(slot.current, 0.0)
    else:
        on_load(*slot.start())
    if all(attempt.error for attempt in attempts):
        return
    rows = heapq.merge(*(a.rows() for a in attempts), key=lambda row: row.prompt.index)
    proven = [run for run, attempt in enumerate(attempts) if attempt.is_proven]
    survival = Survival(rows, attempts[0].job.settings.engine.max_restarts, proven)
    stats = _Stats(slot, len(attempts))
    stats.look()  # slow the first time; must not count as generation
    clock, taken_at = Clock(), 0.0
    with stop.deferred(), rare_collections():
        for attempt in attempts:
            attempt.watch(stats.of(attempt))
        try:
            for tick in drive_with_restarts(slot, survival, on_load, on_death, give_up):
                now = clock.now()
                if not tick.finished and now - taken_at < LOOK_S / 2:  # most ticks
                    stop.raise_if_requested()
                    continue
                taken_at = now
                finished: list[list[Result]] = [[] for _ in attempts]
                for result in tick.finished:
                    finished[result.run].append(result)
                for attempt, results in zip(attempts, finished, strict=True):
                    attempt.take(results, tick.source_dry)
                on_turn(stats.look)
                if all(attempt.error for attempt in attempts):
                    slot.shutdown()  # drops the requests in flight
                    break
                stop.raise_if_requested()
        except EngineError:
            stop.raise_if_requested()
            raise
        finally:
            for attempt in attempts:
                attempt.flush()
                attempt.unwatch()


class _Stats:
    """The engine's counters, read a few times a second and shared by all attempts."""

    def __init__(self, slot: Slot, num_sharing: int):
        self._slot, self._clock = slot, Clock()
        self._num_sharing = num_sharing
        self._num_gpus = slot.current.facts.num_gpus
        self._base = replace(slot.stats())  # the engine may have served earlier runs
        self._looked_at, self._last = -1.0, EngineStats()
        self._weighed_at, self._memory_gib = -WEIGH_S, None

    def of(self, attempt: Attempt) -> Callable[[], EngineStats]:
        """Return a function for one attempt's counters; a shared engine can't split its tokens."""
        if self._num_sharing == 1:
            return self.look
        tally = attempt.report.tally
        return lambda: replace(self.look(), num_output_tokens=tally.num_output_tokens)

    def look(self) -> EngineStats:
        """Return the counters since the first submission, and the current gauges."""
        now = self._clock.now()
        if now - self._weighed_at >= WEIGH_S:
            self._weighed_at = now
            self._memory_gib = memory_in_use_gib(self._num_gpus)
        if self._num_sharing == 1 or now - self._looked_at >= LOOK_S / 2:
            self._looked_at = now
            now_stats, base = self._slot.stats(), self._base
            since = {c: getattr(now_stats, c) - getattr(base, c) for c in COUNTERS}
            self._last = replace(now_stats, memory_gib=self._memory_gib, **since)
        return self._last
