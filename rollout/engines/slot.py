"""A slot: holds one engine of a plan, and its replacement when it dies.

Guarantees at most one engine at a time. A dead engine is replaced, with less memory if it ran out.
Must not know about runs or rows, nor where the engine runs.
"""

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from rollout.config.sections.engine import OnOom
from rollout.engines.base import (
    COUNTERS,
    GAUGES,
    Engine,
    EnginePlan,
    EngineStats,
    Ladder,
    ReplicaStats,
    Rung,
)
from rollout.engines.memory_faults import OomKind, explain
from rollout.errors import EngineError, RolloutError
from rollout.system.console import Console

LOAD_PAUSE_S = 2.0  # after a failed load: the dead engine's memory may take a moment to be freed
MOST_RACES = 3
STEPPING_DOWN = "-"  # placeholder for advice that is already being followed


class Slot:
    """Holds at most one engine; `number` tells slots apart. The caller shuts it down."""

    def __init__(
        self,
        number: int,
        descent: "Descent",
        load: Callable[[EnginePlan], Engine],
        console: Console,
        log_file: Path,
    ):
        self.number = number
        self._descent, self._load_engine, self._console = descent, load, console
        self._log_file = log_file
        self._past = EngineStats(energy_j=0.0)  # counters of the dead engines
        self._loading: Engine | None = None
        self._plan = descent.plan  # of the current engine
        self._up_since = self._past_up_s = 0.0
        self.down_since = 0.0  # when its last engine ended, by time.monotonic()
        self._where = ""  # the node of the last engine
        self.current: Engine | None = None  # the engine, once it is up
        self.num_starts = self.num_deaths = 0
        self.load_s = 0.0  # of the current engine
        self.num_rows = 0  # finished by its engines
        self.has_answered = False  # the current engine

    def start(self) -> Iterator[None]:
        """Replace the engine by a new one; yield while it is being loaded elsewhere.

        If the first load fails, its own error is raised; later failures raise EngineError.
        """
        self.shutdown()
        self.num_starts += 1
        self.has_answered = False
        began = time.monotonic()
        try:
            yield from self._load()
        except RolloutError as error:
            if self.num_starts == 1:
                raise
            until = time.monotonic() + LOAD_PAUSE_S
            while time.monotonic() < until:
                yield
            raise EngineError(f"the engine could not be loaded again: {error}") from error
        self._up_since = time.monotonic()
        self.load_s = self._up_since - began

    def _load(self) -> Iterator[None]:
        while True:
            plan = self._plan = self._descent.plan
            try:
                self._loading = self._load_engine(replace(plan, log_file=self._log_file))
                while not self._loading.is_up:
                    yield
                self.current, self._loading = self._loading, None
                self._where = self.current.facts.where
                return
            except RolloutError as error:
                self._drop_load()
                free(plan)
                error, eased = self.step_down(error)
                if eased is None:
                    raise error
                self._console.note(f"{error}; {eased}")

    def _drop_load(self) -> None:
        engine, self._loading = self._loading, None
        if engine:
            engine.shutdown()

    def step_down(self, error: RolloutError) -> tuple[RolloutError, str | None]:
        """Return the error explained for the user, and the settings lowered for the next engine.

        The latter is None if memory was not the cause, or nothing is left to lower. Raises the
        error if `engine.on_oom` is fail.
        """
        return self._descent.step_down(error, self._plan, self._log_file)

    @property
    def engine(self) -> Engine | None:
        """The engine, or the one that is being loaded."""
        return self.current or self._loading

    @property
    def up_s(self) -> float:
        """Seconds that its engines were up."""
        return self._past_up_s + (time.monotonic() - self._up_since if self.current else 0.0)

    def stats(self) -> EngineStats:
        """Return counters over all its engines, and gauges of the current one."""
        return added(self._past, self.current.stats()) if self.current else self._past

    def replica_stats(self) -> ReplicaStats:
        """Return what its engines have done so far."""
        return ReplicaStats(
            self.number,
            self._where,
            self.current is not None,
            self.up_s,
            self.num_rows,
            self.stats().num_output_tokens,
            self.num_deaths,
        )

    def shutdown(self) -> None:
        """Shut the current engine down, or stop loading it; its counters are kept."""
        self._drop_load()
        if self.current is None:
            return
        self._past_up_s, self.down_since = self.up_s, time.monotonic()
        engine, self.current = self.current, None
        past = added(self._past, engine.stats())
        self._past = replace(past, **dict.fromkeys(GAUGES, 0))
        engine.shutdown()


class Descent:
    """The steps down the ladder for one plan, shared by all its slots."""

    def __init__(self, plan: EnginePlan, ladder: Ladder | None):
        self.plan, self.ladder = plan, ladder
        self.steps: list[Rung] = []  # the settings lowered to save memory, in order
        self._num_races = 0

    def is_enough(self, ladder: Ladder | None) -> bool:
        """Return whether the lowered context is still long enough for the runs of `ladder`."""
        length, needed = self._lowered().get("max_model_len"), ladder.longest if ladder else None
        return length is None or needed is None or length >= needed

    def _lowered(self) -> dict[str, Any]:
        return {name: value for step in self.steps for name, value in step.changed.items()}

    def step_down(
        self, error: RolloutError, loaded: EnginePlan, log_file: Path
    ) -> tuple[RolloutError, str | None]:
        """See Slot.step_down; steps down to the next rung if there is one.

        `loaded` is the plan of the engine that failed. If another slot has stepped down since, the
        current plan is tried first.
        """
        fault, engine, model = error.fault, self.plan.engine, self.plan.model.model_path
        if fault is None or self.ladder is None:
            return error, None
        if fault.kind is OomKind.profiling_race and self._num_races < MOST_RACES:
            self._num_races += 1
            return error, "measuring again"
        if loaded is not self.plan:
            return self._explained(error), f"stepping down to {self.steps[-1]}"
        rung = self.ladder.next(engine, fault)
        if engine.on_oom is not OnOom.step_down:
            advice = f"{rung}, or engine.on_oom=step_down to do that automatically"
            text = explain(fault, model=model, advice=advice if rung else None)
            error = error.with_message(f"{text} (log: {log_file})")
            if fault.kind is not OomKind.killed:
                raise error
            return error, None
        if rung is None:
            lowered = " ".join(f"{name}={value}" for name, value in self._lowered().items())
            floor = f"engine.on_oom=step_down is at its floor ({lowered or 'nothing to lower'})"
            return error.with_message(f"{explain(fault, model=model)}; {floor}"), None
        self.steps.append(rung)
        self.plan = replace(self.plan, engine=rung.engine)
        return self._explained(error), f"stepping down to {rung}"

    def _explained(self, error: RolloutError) -> RolloutError:
        """Return the error in words, without the advice that is being followed."""
        text = explain(error.fault, model=self.plan.model.model_path, advice=STEPPING_DOWN)
        return error.with_message(text.removesuffix(f"; type {STEPPING_DOWN}"))


def free(plan: EnginePlan) -> None:
    """Free the memory of an engine that ran, or failed to load, in this process.

    A full collection takes seconds where vLLM is loaded, and the scripted engine has no model.
    """
    if plan.model_path:
        gc.collect()


def added(past: EngineStats, now: EngineStats) -> EngineStats:
    """Return the counters of both, the gauges of `now` and the higher peak."""
    total = replace(now, **{name: getattr(past, name) + getattr(now, name) for name in COUNTERS})
    total.kv_cache_usage_peak = max(past.kv_cache_usage_peak, now.kv_cache_usage_peak)
    total.energy_j = sum_if_known((past.energy_j, now.energy_j))
    return total


def together(each: Iterable[EngineStats], up: Sequence[EngineStats]) -> EngineStats:
    """Return the counters of `each`, and the gauges of those of them that are `up`.

    Gauges are sums, usage and utilization means, the memory that of the fullest.
    """
    total = reduce(added, each, EngineStats(energy_j=0.0))
    for name in GAUGES:
        setattr(total, name, sum(getattr(stats, name) for stats in up))
    least = (stats.least_running_tokens for stats in up if stats.num_running)
    total.least_running_tokens = min(least, default=0)
    total.kv_cache_usage = sum(stats.kv_cache_usage for stats in up) / max(len(up), 1)
    memory = [stats.memory_gib for stats in up if stats.memory_gib is not None]
    total.memory_gib = max(memory, default=None)
    busy = sum_if_known(stats.gpu_utilization for stats in up)
    total.gpu_utilization = None if busy is None else busy / len(up)
    total.power_w = sum_if_known(stats.power_w for stats in up)
    total.replicas = tuple(replica for stats in up for replica in stats.replicas)
    return total


def sum_if_known(values: Iterable[float | None]) -> float | None:
    """Return the sum; None if a part is unknown, or if there is none."""
    values = list(values)
    return None if None in values or not values else sum(values)
