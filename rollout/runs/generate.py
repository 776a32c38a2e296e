"""Runs that share one engine and one continuous batch; a run of its own is the plain case.

Rows go in prompt-major: all runs' samples of a prompt side by side, so that its prefill is
shared. A run that fails fails alone; when the engine fails for good, it fails for all.
"""

import heapq
from collections.abc import Callable
from dataclasses import replace

from rollout.engines.base import COUNTERS, Engine, EngineStats, Rung
from rollout.engines.survival import Engines, drive_on
from rollout.errors import EngineError
from rollout.rows.result import Result
from rollout.runs.attempt import Attempt
from rollout.runs.job import Job
from rollout.runs.progress import LOOK_S, Clock
from rollout.system.machine import memory_in_use_gib
from rollout.system.signals import StopRequest

WEIGH_S = 2.0  # between two looks at the memory, which cost some milliseconds


def generate(
    engines: Engines,
    attempts: list[Attempt],
    stop: StopRequest,
    on_turn: Callable[[Callable[[], EngineStats]], None] = lambda stats: None,
    steps: Callable[[], list[Rung]] = list,
) -> None:
    """Drive the engine, and others after it if it dies, until every owed row is on disk.

    `on_turn` hears of every turn, and how to look at the counters since the first submission;
    `steps` says what the engine gave up for memory, which each run records.
    What fails one run alone is left in its `error`. Raises EngineError where the engine fails all
    of them, Interrupted where the user asked to stop; what was finished is flushed then.
    """

    def on_load(engine: Engine, load_s: float) -> None:
        for run, attempt in enumerate(attempts):
            attempt.report.num_sharing = len(attempts)
            attempt.begin(engine, run, load_s, steps())

    engines.on_load = on_load
    if engines.current:  # kept from the runs before
        on_load(engines.current, 0.0)
    else:
        engines.start()

    if all(attempt.error for attempt in attempts):
        return

    def on_death(death: EngineError, what: str) -> None:
        stop.raise_if_requested()  # Ctrl-C reaches the engine's own processes too
        for attempt in attempts:
            attempt.flush()
            attempt.report.engine_died(death, what)

    rows = heapq.merge(*(a.rows() for a in attempts), key=lambda row: row.prompt.index)
    max_restarts = attempts[0].job.settings.engine.max_restarts
    proven = [run for run, attempt in enumerate(attempts) if attempt.is_proven]

    def give_up(run: int, error: EngineError) -> None:
        attempts[run].error = attempts[run].error or error

    stats = _Stats(engines, attempts[0].job, len(attempts))
    stats.look()  # takes a moment the first time, which is no attempt's
    with stop.deferred():
        for attempt in attempts:
            attempt.watch(stats.of(attempt, len(attempts)))
        try:
            for tick in drive_on(engines, rows, max_restarts, on_death, proven, give_up):
                finished: list[list[Result]] = [[] for _ in attempts]
                for result in tick.finished:
                    finished[result.run].append(result)
                for attempt, results in zip(attempts, finished, strict=True):
                    attempt.take(results, tick.source_dry)
                on_turn(stats.look)
                if all(attempt.error for attempt in attempts):
                    engines.shutdown()  # with what is in flight
                    break
                stop.raise_if_requested()
        except EngineError:
            stop.raise_if_requested()
            raise
        finally:
            engines.on_load = lambda engine, load_s: None
            for attempt in attempts:
                attempt.flush()
                attempt.unwatch()


class _Stats:
    """The engine's counters, looked at a few times a second for all who ask."""

    def __init__(self, engines: Engines, job: Job, num_sharing: int):
        self._engines, self._clock, self._job = engines, Clock(), job
        self._num_sharing = num_sharing
        self._num_gpus = engines.current.facts.num_gpus
        self._base = replace(engines.stats())  # an engine may have served others before
        self._looked_at, self._last = -1.0, EngineStats()
        self._weighed_at, self._memory_gib = -WEIGH_S, None

    def of(self, attempt: Attempt, num_sharing: int) -> Callable[[], EngineStats]:
        """For one attempt: of those that share an engine, each has its own output tokens."""
        if num_sharing == 1:
            return self.look
        return lambda: replace(self.look(), num_output_tokens=attempt.report.num_output_tokens)

    def look(self) -> EngineStats:
        """What was counted since the first submission, and what the gauges say."""
        now = self._clock.now()
        if now - self._weighed_at >= WEIGH_S:
            self._weighed_at = now
            self._memory_gib = memory_in_use_gib(self._num_gpus)
        if self._num_sharing == 1 or now - self._looked_at >= LOOK_S / 2:
            self._looked_at = now
            now_stats, base = self._engines.stats(), self._base
            since = {c: getattr(now_stats, c) - getattr(base, c) for c in COUNTERS}
            self._last = replace(now_stats, memory_gib=self._memory_gib, **since)
        return self._last
