"""Generate for runs that share engines and their continuous batches; often it is a single run.

Rows are submitted prompt by prompt, all runs' samples of a prompt together, so that they share its
prefill. A run's error ends that run only; an engine that fails for good ends all of them.
"""

import heapq
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace

from rollout.engines.base import COUNTERS, Engine, EnginePlan, EngineStats, Ladder
from rollout.engines.driver import Listener, drive
from rollout.engines.replicas import Replicas
from rollout.engines.slot import Slot
from rollout.engines.survival import Survival
from rollout.errors import EngineError, RolloutError
from rollout.rows.result import Result
from rollout.runs.attempt import Attempt
from rollout.runs.progress import LOOK_S
from rollout.runs.turns import Task
from rollout.store.shards import warm_up
from rollout.system.gpus import Meter
from rollout.system.signals import StopRequest

# Called after every step with a function that returns the counters since the first submission.
OnTurn = Callable[[Callable[[], EngineStats]], None]


def answer(
    replicas: Replicas,
    plan: EnginePlan,
    attempts: Sequence[Attempt],
    stop: StopRequest,
    environment: Mapping[str, str] | None = None,
    ladder: Ladder | None = None,
    progress: Callable[[], AbstractContextManager[OnTurn]] = lambda: nullcontext(
        lambda stats: None
    ),
) -> Task:
    """Answer every owed row of `attempts` with engines of `plan`, and store the results.

    A task (turns.py). An error is kept in the `error` of each attempt that it leaves incomplete.
    Raises Interrupted if the user asked to stop; finished rows are on disk then.
    """
    began = time.monotonic()
    warm_up()  # while no engine waits for it
    try:
        with attempts[0].explaining_disk_errors(), replicas.serving(plan, environment, ladder):
            with stop.deferred(False), replicas.asked(began):
                for attempt in attempts:
                    with attempt.failing_alone():
                        replicas.check(plan, attempt.job.settings.sampling)
                        attempt.find_splitter()
            if runnable := [attempt for attempt in attempts if not attempt.error]:
                with progress() as on_turn:
                    yield from generate(replicas, runnable, stop, on_turn, began)
    except RolloutError as error:
        stop.raise_if_requested()
        for attempt in attempts:
            if not attempt.is_complete:
                attempt.error = attempt.error or error


def generate(
    replicas: Replicas,
    attempts: Sequence[Attempt],
    stop: StopRequest,
    on_turn: OnTurn = lambda stats: None,
    asked_at: float | None = None,
) -> Task:
    """Drive the engines, and the replacements of those that die, until every owed row is on disk.

    A task (turns.py). An error of one run is kept in its `error`. Raises RolloutError if no engine
    is left for any, Interrupted if the user asked to stop; finished rows are flushed then.
    `asked_at` is when an engine was first wanted, by time.monotonic(); None: now.
    """

    def on_load(engine: Engine, load_s: float, slot: Slot) -> None:
        waited_s = 0.0
        if load_s and len(replicas.up) == 1:
            waited_s = time.monotonic() - max(replicas.down_since, asked_at)
        replica = "" if replicas.is_local else replicas.name_of(slot)
        for run, attempt in enumerate(attempts):
            attempt.begin(engine, run, load_s, replicas.steps, waited_s, replica)
            attempt.report.capacity_is(replicas.max_num_seqs, replicas.num_gpus)

    def on_death(death: EngineError, what: str, slot: Slot) -> None:
        stop.raise_if_requested()  # Ctrl-C also reaches the engine's processes
        name = replicas.name_of(slot)
        for attempt in attempts:
            attempt.flush()
            attempt.report.engine_died(death, what, "" if replicas.is_local else name)

    def give_up(run: int, error: EngineError) -> None:
        attempts[run].error = attempts[run].error or error

    for attempt in attempts:
        attempt.report.num_sharing, attempt.report.num_beside = len(attempts), replicas.num_beside
    asked_at = time.monotonic() if asked_at is None else asked_at
    rows = heapq.merge(*(a.rows() for a in attempts), key=lambda row: row.prompt.index)
    proven = [run for run, attempt in enumerate(attempts) if attempt.is_proven]
    survival = Survival(rows, attempts[0].job.settings.engine.max_restarts, proven)
    ticks = drive(replicas, survival, Listener(on_load, on_death, give_up))
    with replicas.loading():
        for tick in ticks:  # nothing finishes before an engine is up
            stop.raise_if_requested()
            if replicas.up:
                break
            yield not tick.is_idle
    if all(attempt.error for attempt in attempts):
        return
    stats = _Stats(replicas, len(attempts))
    stats.look()  # slow the first time; must not count as generation
    taken_at = 0.0
    for attempt in attempts:
        attempt.watch(stats.of(attempt))
    try:
        for tick in ticks:
            now = time.monotonic()
            if not tick.finished and now - taken_at < LOOK_S / 2:  # most ticks
                stop.raise_if_requested()
                yield not tick.is_idle
                continue
            taken_at = now
            finished: list[list[Result]] = [[] for _ in attempts]
            for result in tick.finished:
                finished[result.run].append(result)
            for attempt, results in zip(attempts, finished, strict=True):
                attempt.take(results, tick.source_dry)
            on_turn(stats.look)
            if all(attempt.error for attempt in attempts):
                replicas.shutdown()  # drops the requests in flight
                break
            stop.raise_if_requested()
            yield not tick.is_idle
    except RolloutError:
        stop.raise_if_requested()
        raise
    finally:
        for attempt in attempts:
            attempt.flush()
            attempt.unwatch()


OF_ROWS_IN_FLIGHT = "num_running_tokens", "least_running_tokens", "num_ended_in_flight"


class _Stats:
    """The engines' counters, read a few times a second and shared by all attempts."""

    def __init__(self, replicas: Replicas, num_sharing: int):
        self._replicas, self._num_sharing = replicas, num_sharing
        self._base = replace(replicas.stats())  # the engines may have served earlier runs
        self._looked_at, self._last = float("-inf"), EngineStats()
        self._meter = Meter()
        self._num_gpus = 0  # also while an engine is loaded again
        self._peak = 0.0

    def of(self, attempt: Attempt) -> Callable[..., EngineStats]:
        """Return a function for one attempt's counters; a shared engine can't split its tokens."""
        if self._num_sharing == 1:
            return self.look
        tally = attempt.report.tally

        def counters(fresh: bool = False) -> EngineStats:
            shared = self.look(fresh)
            none = dict.fromkeys(OF_ROWS_IN_FLIGHT, 0)
            return replace(shared, num_output_tokens=tally.num_output_tokens, **none)

        return counters

    def look(self, fresh: bool = False) -> EngineStats:
        """Return the counters since the first submission, and the current gauges.

        Those of a shared engine may be LOOK_S / 2 old, unless they have to be `fresh`.
        """
        now = time.monotonic()
        if fresh or self._num_sharing == 1 or now - self._looked_at >= LOOK_S / 2:
            self._looked_at = now
            stats, base = self._replicas.stats(), self._base
            since = {c: getattr(stats, c) - getattr(base, c) for c in COUNTERS}
            each = {replica.number: replica for replica in base.replicas}
            since["replicas"] = tuple(r.since(each.get(r.number)) for r in stats.replicas)
            since["kv_cache_usage_peak"] = self._peak_since(stats)
            since |= self._usage(fresh)
            self._last = replace(stats, **since)
        return self._last

    def _peak_since(self, stats: EngineStats) -> float:
        """Return the KV cache's peak usage; one that earlier runs reached does not count.

        Below that one, it is the highest reading.
        """
        self._peak = max(self._peak, stats.kv_cache_usage)
        is_new = stats.kv_cache_usage_peak > self._base.kv_cache_usage_peak
        return stats.kv_cache_usage_peak if is_new else self._peak

    def _usage(self, fresh: bool) -> dict[str, float | None]:
        """Return the usage of the devices; replicas have read theirs."""
        if not self._replicas.is_local:
            return {}
        self._num_gpus = max(self._num_gpus, self._replicas.num_gpus)
        return asdict(self._meter.usage(self._num_gpus, fresh))
