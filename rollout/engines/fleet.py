"""Where the engines of a command run: its host, and how groups of replicas divide it.

A group serves one plan (replicas.py); a sweep may have several at a time, each with its share of
the host. Must not know about runs or rows.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

from rollout.config.sections.scale import Scale, ScaleOut
from rollout.engines import load_engine, log_reader
from rollout.engines.base import Engine, EnginePlan, Host
from rollout.engines.log_watch import LogWatch
from rollout.errors import RolloutError
from rollout.system.console import Console
from rollout.system.guard import guard
from rollout.system.signals import StopRequest

WAIT_S = 0.1


class LocalHost:
    """Runs one engine in this process."""

    def __init__(self, console: Console, stop: StopRequest, load: Callable[[EnginePlan], Engine]):
        self._console, self._stop, self._load_engine = console, stop, load
        self._watch: LogWatch | None = None  # of the log of the last engine
        self._asked_at: float | None = None  # for the engine that is loaded next

    def num_slots(self, plan: EnginePlan) -> int:
        return 1

    def load(self, plan: EnginePlan, environment: Mapping[str, str], group: str) -> Engine:
        asked_at, self._asked_at = self._asked_at, None
        watch = self._watching(plan)
        waiting = self._console.waiting(_loading(plan), asked_at, is_continued=asked_at is not None)
        with (
            self._stop.deferred(False),
            waiting as say_phase,
            watch.loading(say_phase) if watch else nullcontext(),
        ):
            return self._load_engine(plan)

    def asked(self, plan: EnginePlan, at: float) -> AbstractContextManager[Any]:
        """Show in the block that an engine was asked for at that time; it is loaded next."""
        self._asked_at = at
        return self._console.waiting(_loading(plan), at)

    def _watching(self, plan: EnginePlan) -> LogWatch | None:
        """Return the watch of the plan's log; another log is watched no longer."""
        if self._watch and self._watch.log_file == plan.log_file:
            return self._watch
        self.close()
        if reader := log_reader(plan):
            self._watch = LogWatch(plan.log_file, reader, self._console)
        return self._watch

    def wait(self, timeout_s: float) -> None:
        time.sleep(timeout_s)

    def is_leaving(self, engine: Engine) -> bool:
        return False

    def close(self) -> None:
        watch, self._watch = self._watch, None
        if watch:
            watch.close()


def _loading(plan: EnginePlan) -> str:
    name = plan.model.model_path if plan.model_path else "the scripted engine"
    return f"loading {name} on {plan.device.name}"


class Fleet:
    """The host of a command's engines, one at a time, and the groups that have engines there.

    The caller closes it, after the groups.
    """

    def __init__(
        self,
        console: Console,
        stop: StopRequest,
        load: Callable[[EnginePlan], Engine] = load_engine,
        serves_many: bool = False,
    ):
        """`serves_many`: engines are named by the number of their plan, too."""
        self.console, self.stop, self._load_engine = console, stop, load
        self._serves_many = serves_many
        self._refusals: dict[str, RolloutError] = {}  # of hosts that could not be opened
        self.host: Host | None = None
        self._scale: ScaleOut | None = None  # that the host was opened for
        self._groups: list[object] = []  # those on the host, in the order they joined
        self._guard = ExitStack()
        self.num_to_serve = 1  # groups that are served or wait for their turn
        self.num_at_once = 1  # groups that can be served at the same time, as far as is known
        self.num_plans = 0  # served so far

    def join(self, group: object, plan: EnginePlan) -> int:
        """Open the host for a group's plan; return the number of plans so far.

        All groups that are on the host must have the same `scale`. Raises UserError if the host
        can't be reached.
        """
        if self._scale != plan.scale:
            self._close_host()
        if not self.num_plans:
            self._guard.enter_context(guard(self.console.note))
        self.num_plans += 1
        self.host = self.host or self._open_host(plan)
        self._scale = plan.scale
        self._groups.append(group)
        return self.num_plans

    def leave(self, group: object) -> None:
        """Free the share of a group; its engines are shut down."""
        if group in self._groups:
            self._groups.remove(group)

    def _open_host(self, plan: EnginePlan) -> Host:
        if plan.scale.mode is Scale.local:
            return LocalHost(self.console, self.stop, self._load_engine)
        from rollout.engines.ray.host import RayHost

        if known := self._refusals.get(repr(plan.scale)):  # tried for another engine of a sweep
            raise known
        quiet, shown = self.console.libraries_write_to(plan.log_file), "connecting to Ray"
        try:
            with quiet, self.console.waiting(shown), self.stop.deferred(False):
                return RayHost(plan.scale)
        except RolloutError as error:
            self._refusals[repr(plan.scale)] = error
            raise

    def name_of(self, plan_number: int, slot: int) -> str:
        """Return what a user calls a slot: `replica 0`, in a sweep `engine 2, replica 0`."""
        return f"engine {plan_number}, replica {slot}" if self._serves_many else f"replica {slot}"

    def log_of(self, plan: EnginePlan, plan_number: int, slot: int | str) -> Path:
        """Return the log of a slot's engines: `plan.log_file` here, one per replica elsewhere."""
        if self.is_local:
            return plan.log_file
        which = f"{plan_number}-{slot}" if self._serves_many else slot
        return plan.log_file.with_name(f"{plan.log_file.stem}-{which}.log")

    @property
    def is_local(self) -> bool:
        """Whether the engine's memory is that of this process and its children."""
        return isinstance(self.host, LocalHost)

    def num_slots(self, plan: EnginePlan, group: object) -> int:
        """Return how many engines of `plan` the group may have.

        The host is divided evenly among the groups to serve, as far as there is one engine for
        each; the others wait. When a group leaves and none waits, the others' shares grow.
        """
        count = self.num_at_once = self.host.num_slots(plan)
        share, left = divmod(count, min(max(self.num_to_serve, 1), count))
        return share + (self._groups.index(group) < left)

    def waiting(
        self, what: str, since: float | None, is_continued: bool = False
    ) -> AbstractContextManager[Any]:
        """Show that something slow is running; several groups can't all have a spinner.

        See Console.waiting.
        """
        if self.num_to_serve == 1:
            return self.console.waiting(what, since, is_continued)
        if not is_continued:
            self.console.note(f"{what} ...")
        return nullcontext()

    def wait(self) -> None:
        """Wait a moment for news from the engines."""
        if self.host:
            self.host.wait(WAIT_S)

    def _close_host(self) -> None:
        host, self.host, self._scale, self.num_at_once = self.host, None, None, 1
        if host:
            host.close()

    def close(self) -> None:
        with self._guard:
            self._close_host()
