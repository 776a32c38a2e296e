"""A slot: the place of one engine, and of those that follow it.

Promises at most one engine at a time, its memory given back before the next one is loaded, and no
process left on any way out. An engine stays for the next runs that need the same; one that died
is replaced, with less memory where it ran out. Knows nothing of runs and rows.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from rollout.config.sections.engine import OnOom
from rollout.config.sections.sampling import Sampling
from rollout.engines import check_sampling, load_engine
from rollout.engines.base import COUNTERS, Engine, EnginePlan, EngineStats, Ladder, Rung
from rollout.engines.memory_faults import OomKind, explain
from rollout.errors import EngineError, RolloutError
from rollout.system.console import Console
from rollout.system.guard import guard
from rollout.system.signals import StopRequest

LOAD_PAUSE_S = 2.0  # after a failed load: what the dead engine held may take a moment to be free
MOST_RACES = 3
STEPPING_DOWN = "-"  # stands for the advice, which is taken already


class Slot:
    """Holds at most one engine. The caller closes it."""

    def __init__(
        self,
        console: Console,
        stop: StopRequest,
        load: Callable[[EnginePlan], Engine] = load_engine,
    ):
        self._console, self._stop, self._load_engine = console, stop, load
        self._plan: EnginePlan | None = None  # as it was asked for
        self._environment: dict[str, str] = {}
        self._descent: _Descent | None = None
        self._past = EngineStats()  # counters of the dead engines
        self._guard = ExitStack()
        self.current: Engine | None = None
        self.num_plans = 0  # served so far; the number of the one that is served now
        self.num_starts = 0  # of engines for this plan
        self.has_answered, self.num_steps = False, 0  # of the current engine

    def has(self, plan: EnginePlan, environment: Mapping[str, str]) -> bool:
        """Whether the engine in this slot serves `plan`."""
        same = self._plan is not None and self._plan.identity == plan.identity
        return same and self._environment == environment

    @property
    def steps(self) -> list[Rung]:
        """What the engines of this plan have given up for memory so far."""
        return self._descent.steps

    @contextmanager
    def serving(
        self,
        plan: EnginePlan,
        environment: Mapping[str, str] | None = None,
        ladder: Ladder | None = None,
    ) -> Iterator[None]:
        """Serve `plan` in the block: with the engine at hand if it suits, else with one that
        `start` loads.

        `environment` is set while it is loaded and used. Meanwhile what libraries write to the
        terminal goes to the engine's log. An engine that an exception interrupts is shut down.
        Where memory runs out, `engine.on_oom` says whether to go down `ladder`.
        """
        environment = dict(environment or {})
        if self.has(plan, environment) and self._descent.is_enough(ladder):
            self._descent.ladder = ladder
        else:
            self.give_back()
            self._plan, self._environment = plan, environment
            self._descent = _Descent(plan, ladder)
            self._past, self.num_starts = EngineStats(), 0
            self.num_plans += 1
            if self.num_plans == 1:
                self._guard.enter_context(guard(self._console.note))
        with environment_set(environment), self._console.libraries_write_to(plan.log_file):
            try:
                yield
            except BaseException:
                self._empty()
                raise

    def check(self, plan: EnginePlan, sampling: Sampling) -> None:
        """Refuse sampling settings before anything is loaded for them. Raises UserError."""
        if self.current is None:
            check_sampling(plan, sampling)

    def start(self) -> tuple[Engine, float]:
        """Load an engine in place of the current one; returns it, and the seconds it took.

        A first load that fails raises its own error, a later one EngineError.
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
        return self.current, time.monotonic() - began

    def _load(self) -> Engine:
        while True:
            plan = self._descent.plan
            name = plan.model.model_path if plan.model_path else "the scripted engine"
            loading = self._console.waiting(f"loading {name} on {plan.device.name}")
            try:
                with self._stop.deferred(False), loading:
                    return self._load_engine(plan)
            except RolloutError as error:
                gc.collect()  # what the engine held that did not come up
                error, eased = self.ease(error)
                if eased is None:
                    raise error
                self._console.note(f"{error}; {eased}")

    def ease(self, error: RolloutError) -> tuple[RolloutError, str | None]:
        """The error in a user's words, and what the next engine gives up for memory.

        None where memory was not the cause, or nothing is left to give up. Raises the error where
        `engine.on_oom` is fail.
        """
        return self._descent.ease(error)

    def stats(self) -> EngineStats:
        """Counters over all engines of this plan, gauges of the current one."""
        return _added(self._past, self.current.stats()) if self.current else self._past

    def shutdown(self) -> None:
        """Shut the current engine down; the counters stay."""
        engine, self.current = self.current, None
        if engine is None:
            return
        self._past = _added(self._past, engine.stats())
        self._past.num_running = self._past.num_waiting = 0
        engine.shutdown()

    def give_back(self) -> None:
        """Shut the engine down and free what it held."""
        if self._plan is None:
            return
        with environment_set(self._environment):
            if self.current is None:
                self._empty()
                return
            with self._console.libraries_write_to(self._plan.log_file):
                self._empty()

    def _empty(self) -> None:
        self._plan = None
        self.shutdown()
        gc.collect()  # an engine in this process frees its memory by that alone

    def close(self) -> None:
        try:
            self.give_back()
        finally:
            self._guard.close()


class _Descent:
    """The way down the ladder of the engines for one plan."""

    def __init__(self, plan: EnginePlan, ladder: Ladder | None):
        self.plan, self.ladder = plan, ladder
        self.steps: list[Rung] = []
        self._num_races = 0

    def is_enough(self, ladder: Ladder | None) -> bool:
        """Whether what was given up leaves the context that the runs of `ladder` need."""
        given = {name: value for step in self.steps for name, value in step.changed.items()}
        length, needed = given.get("max_model_len"), ladder.longest if ladder else None
        return length is None or needed is None or length >= needed

    def ease(self, error: RolloutError) -> tuple[RolloutError, str | None]:
        """See Slot.ease; takes the next rung where there is one."""
        fault, engine, model = error.fault, self.plan.engine, self.plan.model.model_path
        if fault is None or self.ladder is None:
            return error, None
        if fault.kind is OomKind.profiling_race and self._num_races < MOST_RACES:
            self._num_races += 1
            return error, "measuring again"
        rung = self.ladder.next(engine, fault)
        if engine.on_oom is not OnOom.step_down:
            advice = f"{rung}, or engine.on_oom=step_down to have that done" if rung else None
            words = explain(fault, model=model, advice=advice)
            error = error.reworded(f"{words} (log: {self.plan.log_file})")
            if fault.kind is not OomKind.killed:
                raise error
            return error, None
        if rung is None:
            tried = {name: value for step in self.steps for name, value in step.changed.items()}
            words = " ".join(f"{name}={value}" for name, value in tried.items()) or "nothing to do"
            floor = f"engine.on_oom=step_down is at its floor ({words})"
            return error.reworded(f"{explain(fault, model=model)}; {floor}"), None
        self.steps.append(rung)
        self.plan = replace(self.plan, engine=rung.engine)
        words = explain(fault, model=model, advice=STEPPING_DOWN)
        words = words.removesuffix(f"; type {STEPPING_DOWN}")
        return error.reworded(words), f"stepping down to {rung}"


def _added(past: EngineStats, now: EngineStats) -> EngineStats:
    total = replace(now, **{name: getattr(past, name) + getattr(now, name) for name in COUNTERS})
    total.kv_cache_usage_peak = max(past.kv_cache_usage_peak, now.kv_cache_usage_peak)
    return total


@contextmanager
def environment_set(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the block."""
    before: dict[str, Any] = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
