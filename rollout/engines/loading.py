"""Loading engines, and keeping one: what comes next and needs the same need not load it again.

Promises at most one engine at a time, its memory given back before the next is loaded, and no
process left on any way out. Knows nothing of runs.
"""

import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from rollout.config.sections.engine import OnOom
from rollout.config.sections.sampling import Sampling
from rollout.engines import check_sampling, load_engine
from rollout.engines.base import Engine, EnginePlan, Ladder, Rung
from rollout.engines.memory_faults import OomKind, explain
from rollout.engines.survival import Engines
from rollout.errors import RolloutError
from rollout.system.console import Console
from rollout.system.guard import guard
from rollout.system.signals import StopRequest

MOST_RACES = 3
STEPPING_DOWN = "-"  # stands for the advice, which is taken already


class EngineShelf:
    """Holds at most one engine. Whoever makes one calls `close`."""

    def __init__(self, console: Console, stop: StopRequest):
        self._console, self._stop = console, stop
        self._plan: EnginePlan | None = None
        self._environment: dict[str, str] = {}
        self._engines: Engines | None = None
        self._guard = ExitStack()
        self.num_engines = 0  # asked for so far; the number of the one that stands there

    def has(self, plan: EnginePlan, environment: Mapping[str, str]) -> bool:
        """Whether the engine that stands here serves `plan`."""
        same = self._plan is not None and self._plan.identity == plan.identity
        return same and self._environment == environment

    def _is_enough(self, ladder: Ladder | None) -> bool:
        """Whether what was given up for memory leaves the context that these runs need."""
        given = {name: value for step in self.steps for name, value in step.changed.items()}
        length, needed = given.get("max_model_len"), ladder.longest if ladder else None
        return length is None or needed is None or length >= needed

    @contextmanager
    def engines(
        self,
        plan: EnginePlan,
        environment: Mapping[str, str] | None = None,
        ladder: Ladder | None = None,
    ) -> Iterator[Engines]:
        """The engine for `plan`: the one that stands here, or one that is loaded at its start.

        `environment` is set while it is loaded and used. Meanwhile what libraries write to the
        terminal goes to the engine's log. An engine that is left in the middle of its work, by an
        exception, is shut down. Where memory runs out, `engine.on_oom` says whether to go down
        `ladder`.
        """
        environment = dict(environment or {})
        if not self.has(plan, environment) or not self._is_enough(ladder):
            self.give_back()
            self._plan, self._environment = plan, environment
            self._descent = _Descent(plan, ladder)
            self._engines = Engines(self._load, self._descent.ease)
            self.num_engines += 1
            if self.num_engines == 1:
                self._guard.enter_context(guard(self._console.note))
        else:
            self._descent.serve(ladder)
        log = self._plan.log_file
        with environment_set(environment), self._console.libraries_write_to(log):
            try:
                yield self._engines
            except BaseException:
                self._give_back()
                raise

    def check(self, plan: EnginePlan, sampling: Sampling) -> None:
        """Refuse sampling settings before anything is loaded for them. Raises UserError."""
        if self._engines is None or self._engines.current is None:
            check_sampling(plan, sampling)

    @property
    def steps(self) -> list[Rung]:
        """What was given up so far for the engine that stands here."""
        return self._descent.steps

    def _load(self) -> Engine:
        while True:
            plan = self._descent.plan
            name = plan.model.model_path if plan.model_path else "the scripted engine"
            loading = self._console.waiting(f"loading {name} on {plan.device.name}")
            try:
                with self._stop.deferred(False), loading:
                    return load_engine(plan)
            except RolloutError as error:
                gc.collect()  # what the engine held that did not come up
                if (eased := self._descent.ease(error)) is None:
                    raise
                self._console.note(f"{error}; {eased}")

    def give_back(self) -> None:
        """Shut the engine down and free what it held."""
        if self._engines is None:
            return
        with environment_set(self._environment):
            if self._engines.current is None:
                self._give_back()
                return
            with self._console.libraries_write_to(self._plan.log_file):
                self._give_back()

    def _give_back(self) -> None:
        engines, self._engines, self._plan = self._engines, None, None
        if engines:
            engines.shutdown()
        gc.collect()  # an engine in this process frees its memory by that alone

    def close(self) -> None:
        try:
            self.give_back()
        finally:
            self._guard.close()


class _Descent:
    """One engine's way down the ladder."""

    def __init__(self, plan: EnginePlan, ladder: Ladder | None):
        self.plan, self._ladder = plan, ladder
        self.steps: list[Rung] = []
        self._num_races = 0

    def serve(self, ladder: Ladder | None) -> None:
        """Go on for other runs, with their needs."""
        self._ladder = ladder

    def ease(self, error: RolloutError) -> str | None:
        """Take the next rung where memory ran out; say what it was, None where there is none.

        Raises the error again, with the command to type, where `engine.on_oom` is strict.
        """
        fault, engine = error.fault, self.plan.engine
        if fault is None or self._ladder is None:
            return None
        if fault.kind is OomKind.profiling_race and self._num_races < MOST_RACES:
            self._num_races += 1
            return "measuring again"
        rung = self._ladder.next(engine, fault)
        if engine.on_oom is not OnOom.step_down:
            advice = None
            if rung:
                advice = f"{rung}, or engine.on_oom=step_down to have that done"
            told = explain(fault, model=self.plan.model.model_path, advice=advice)
            error.args = (f"{told} (log: {self.plan.log_file})",)
            if fault.kind is not OomKind.killed:
                raise error
            return None
        if rung is None:
            told = explain(fault, model=self.plan.model.model_path)
            tried = {name: value for step in self.steps for name, value in step.changed.items()}
            words = " ".join(f"{name}={value}" for name, value in tried.items()) or "nothing to do"
            error.args = (f"{told}; engine.on_oom=step_down is at its floor ({words})",)
            return None
        told = explain(fault, model=self.plan.model.model_path, advice=STEPPING_DOWN)
        error.args = (told.removesuffix(f"; type {STEPPING_DOWN}"),)
        self.steps.append(rung)
        self.plan = replace(self.plan, engine=rung.engine)
        return f"stepping down to {rung}"


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
