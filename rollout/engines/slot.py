"""A slot: holds one engine, and its replacements when it dies.

Guarantees at most one engine at a time, whose memory is freed before the next one is loaded, and no
process left behind on any exit. An engine is kept for later runs with the same plan. A dead engine
is replaced, with less memory if it ran out. Must not know about runs or rows.
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

LOAD_PAUSE_S = 2.0  # after a failed load: the dead engine's memory may take a moment to be freed
MOST_RACES = 3
STEPPING_DOWN = "-"  # placeholder for advice that is already being followed


class Slot:
    """Holds at most one engine. The caller closes it."""

    def __init__(
        self,
        console: Console,
        stop: StopRequest,
        load: Callable[[EnginePlan], Engine] = load_engine,
    ):
        self._console, self._stop, self._load_engine = console, stop, load
        self._plan: EnginePlan | None = None  # as given, before anything is lowered
        self._environment: dict[str, str] = {}
        self._descent: _Descent | None = None
        self._past = EngineStats()  # counters of the dead engines
        self._guard = ExitStack()
        self.current: Engine | None = None
        self.num_plans = 0  # plans served so far, including the current one
        self.num_starts = 0  # engines started for the current plan
        self.has_answered, self.num_steps = False, 0  # of the current engine

    def has(self, plan: EnginePlan, environment: Mapping[str, str]) -> bool:
        """Return whether this slot's engine can serve `plan`."""
        same = self._plan is not None and self._plan.identity == plan.identity
        return same and self._environment == environment

    @property
    def steps(self) -> list[Rung]:
        """The settings lowered to save memory for this plan, in order."""
        return self._descent.steps

    @contextmanager
    def serving(
        self,
        plan: EnginePlan,
        environment: Mapping[str, str] | None = None,
        ladder: Ladder | None = None,
    ) -> Iterator[None]:
        """Serve `plan` in the block, with the current engine if it fits, else with a new one.

        Call `start` to load the new one. `environment` is set while the engine is loaded and used,
        and the terminal output of libraries goes to the engine's log. An exception in the block
        shuts the engine down. If memory runs out, `engine.on_oom` decides whether to step down
        `ladder`.
        """
        environment = dict(environment or {})
        if self.has(plan, environment) and self._descent.is_enough(ladder):
            self._descent.ladder = ladder
        else:
            self.release()
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
        """Refuse bad sampling settings before an engine is loaded. Raises UserError."""
        if self.current is None:
            check_sampling(plan, sampling)

    def start(self) -> tuple[Engine, float]:
        """Replace the current engine by a new one; return it, and its load time in seconds.

        If the first load fails, its own error is raised; later failures raise EngineError.
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
            raise EngineError(f"the engine could not be loaded again: {error}") from error
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
                _free(plan)
                error, eased = self.step_down(error)
                if eased is None:
                    raise error
                self._console.note(f"{error}; {eased}")

    def step_down(self, error: RolloutError) -> tuple[RolloutError, str | None]:
        """Return the error explained for the user, and the settings lowered for the next engine.

        The latter is None if memory was not the cause, or nothing is left to lower. Raises the
        error if `engine.on_oom` is fail.
        """
        return self._descent.step_down(error)

    def stats(self) -> EngineStats:
        """Return counters over all engines of this plan, and gauges of the current one."""
        return _added(self._past, self.current.stats()) if self.current else self._past

    def shutdown(self) -> None:
        """Shut the current engine down; its counters are kept."""
        engine, self.current = self.current, None
        if engine is None:
            return
        self._past = _added(self._past, engine.stats())
        self._past.num_running = self._past.num_waiting = 0
        engine.shutdown()

    def release(self) -> None:
        """Shut the engine down and free its memory."""
        if self._plan is None:
            return
        with environment_set(self._environment):
            if self.current is None:
                self._empty()
                return
            with self._console.libraries_write_to(self._plan.log_file):
                self._empty()

    def _empty(self) -> None:
        plan, self._plan = self._plan, None
        self.shutdown()
        _free(plan)

    def close(self) -> None:
        try:
            self.release()
        finally:
            self._guard.close()


class _Descent:
    """The steps down the ladder for one plan."""

    def __init__(self, plan: EnginePlan, ladder: Ladder | None):
        self.plan, self.ladder = plan, ladder
        self.steps: list[Rung] = []
        self._num_races = 0

    def is_enough(self, ladder: Ladder | None) -> bool:
        """Return whether the lowered context is still long enough for the runs of `ladder`."""
        length, needed = self._lowered().get("max_model_len"), ladder.longest if ladder else None
        return length is None or needed is None or length >= needed

    def _lowered(self) -> dict[str, Any]:
        return {name: value for step in self.steps for name, value in step.changed.items()}

    def step_down(self, error: RolloutError) -> tuple[RolloutError, str | None]:
        """See Slot.step_down; steps down to the next rung if there is one."""
        fault, engine, model = error.fault, self.plan.engine, self.plan.model.model_path
        if fault is None or self.ladder is None:
            return error, None
        if fault.kind is OomKind.profiling_race and self._num_races < MOST_RACES:
            self._num_races += 1
            return error, "measuring again"
        rung = self.ladder.next(engine, fault)
        if engine.on_oom is not OnOom.step_down:
            advice = f"{rung}, or engine.on_oom=step_down to do that automatically"
            text = explain(fault, model=model, advice=advice if rung else None)
            error = error.with_message(f"{text} (log: {self.plan.log_file})")
            if fault.kind is not OomKind.killed:
                raise error
            return error, None
        if rung is None:
            lowered = " ".join(f"{name}={value}" for name, value in self._lowered().items())
            floor = f"engine.on_oom=step_down is at its floor ({lowered or 'nothing to lower'})"
            return error.with_message(f"{explain(fault, model=model)}; {floor}"), None
        self.steps.append(rung)
        self.plan = replace(self.plan, engine=rung.engine)
        text = explain(fault, model=model, advice=STEPPING_DOWN)
        text = text.removesuffix(f"; type {STEPPING_DOWN}")
        return error.with_message(text), f"stepping down to {rung}"


def _free(plan: EnginePlan) -> None:
    """Free the memory of an engine that ran, or failed to load, in this process.

    A full collection takes seconds where vLLM is loaded, and the scripted engine has no model.
    """
    if plan.model_path:
        gc.collect()


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
