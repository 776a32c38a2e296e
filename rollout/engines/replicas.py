"""The slots that serve a plan together: one engine on this machine, or replicas on a cluster.

Guarantees that memory is freed before a plan's engines are replaced by another's, and that no
process is left behind on any exit. Engines are kept for later runs with the same plan. Slots join
while the host has room for more. Must not know about runs or rows.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from rollout.config.sections.sampling import Sampling
from rollout.config.sections.scale import Scale, ScaleOut
from rollout.engines import check_sampling, load_engine
from rollout.engines.base import Engine, EnginePlan, EngineStats, Host, Ladder, Rung
from rollout.engines.slot import Descent, Slot, added, free
from rollout.errors import RolloutError
from rollout.system.console import Console
from rollout.system.guard import guard
from rollout.system.signals import StopRequest

REFRESH_S = 2.0  # between two looks at how many slots there is room for
WAIT_S = 0.1


class LocalHost:
    """Runs one engine in this process."""

    def __init__(self, console: Console, stop: StopRequest, load: Callable[[EnginePlan], Engine]):
        self._console, self._stop, self._load_engine = console, stop, load

    def num_slots(self, plan: EnginePlan) -> int:
        return 1

    def load(self, plan: EnginePlan, environment: Mapping[str, str], number: int) -> Engine:
        name = plan.model.model_path if plan.model_path else "the scripted engine"
        loading = self._console.waiting(f"loading {name} on {plan.device.name}")
        with self._stop.deferred(False), loading:
            return self._load_engine(plan)

    def wait(self, timeout_s: float) -> None:
        time.sleep(timeout_s)

    def is_leaving(self, engine: Engine) -> bool:
        return False

    def close(self) -> None:
        pass


class Replicas:
    """The slots of one plan at a time. The caller closes it."""

    def __init__(
        self,
        console: Console,
        stop: StopRequest,
        load: Callable[[EnginePlan], Engine] = load_engine,
    ):
        self._console, self._stop, self._load_engine = console, stop, load
        self._plan: EnginePlan | None = None  # as given, before anything is lowered
        self._environment: dict[str, str] = {}
        self._host: Host | None = None
        self._scale: ScaleOut | None = None  # that the host was opened for
        self._descent: Descent | None = None
        self._retired: list[Slot] = []
        self._refreshed_at = 0.0
        self._guard = ExitStack()
        self.slots: list[Slot] = []
        self.num_plans = 0  # plans served so far, including the current one

    def has(self, plan: EnginePlan, environment: Mapping[str, str]) -> bool:
        """Return whether the engines here can serve `plan`."""
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
        """Serve `plan` in the block, with the engines that are up if they fit, else with new ones.

        The slots' `start` loads the new ones. `environment` is set while they are loaded and used,
        and the terminal output of libraries goes to the engine's log. An exception in the block
        shuts the engines down. If memory runs out, `engine.on_oom` decides whether to step down
        `ladder`.
        """
        environment = dict(environment or {})
        if self.has(plan, environment) and self._descent.is_enough(ladder):
            self._descent.ladder = ladder
        else:
            self._serve(plan, environment, ladder)
        with environment_set(environment), self._console.libraries_write_to(plan.log_file):
            try:
                if self._host is None:
                    self._host = self._open_host(plan)
                self.refresh()
                yield
            except BaseException:
                self._empty()
                raise

    def _serve(self, plan: EnginePlan, environment: dict[str, str], ladder: Ladder | None) -> None:
        self.release()
        if self._scale != plan.scale:
            self._close_host()
        self._scale = plan.scale
        self._plan, self._environment = plan, environment
        self._descent = Descent(plan, ladder)
        self._retired, self._refreshed_at = [], 0.0
        self.num_plans += 1
        if self.num_plans == 1:
            self._guard.enter_context(guard(self._console.note))

    def _open_host(self, plan: EnginePlan) -> Host:
        if plan.scale.mode is Scale.local:
            return LocalHost(self._console, self._stop, self._load_engine)
        from rollout.engines.ray.host import RayHost

        with self._console.waiting("connecting to Ray"), self._stop.deferred(False):
            return RayHost(plan)

    def refresh(self) -> None:
        """Add slots while the host has room for more engines."""
        now = time.monotonic()
        if self._refreshed_at and now - self._refreshed_at < REFRESH_S:
            return
        self._refreshed_at = now
        wanted = self._host.num_slots(self._plan) - len(self._retired)
        while len(self.slots) < wanted:
            number = len(self.slots) + len(self._retired)
            load = partial(self._host.load, environment=self._environment, number=number)
            self.slots.append(Slot(number, self._descent, load, self._console))

    def retire(self, slot: Slot, error: RolloutError) -> None:
        """Do without this slot, whose engine is gone. Raises the error if it was the last one."""
        self.slots.remove(slot)
        self._retired.append(slot)
        if not self.slots:
            raise error
        self._console.note(
            f"replica {slot.number} is given up, {len(self.slots)} are left: {error}"
        )

    def is_leaving(self, slot: Slot) -> bool:
        """Whether the slot's node will soon be taken away."""
        return self._host.is_leaving(slot.current)

    def wait(self) -> None:
        """Wait a moment for news from the engines."""
        self._host.wait(WAIT_S)

    @property
    def is_local(self) -> bool:
        """Whether the engine's memory is that of this process and its children."""
        return isinstance(self._host, LocalHost)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Show in the block that engines are being loaded elsewhere."""
        if self.is_local or self.up:
            yield
            return
        count = len(self.slots)
        what = f"{count} replica{'s' * (count != 1)}"
        with self._console.waiting(f"loading {what}, {self._host}"):
            yield

    def check(self, plan: EnginePlan, sampling: Sampling) -> None:
        """Refuse bad sampling settings before an engine is loaded. Raises UserError."""
        if not self.up:
            check_sampling(plan, sampling)

    @property
    def up(self) -> list[Slot]:
        """The slots that have an engine."""
        return [slot for slot in self.slots if slot.current]

    @property
    def max_num_seqs(self) -> int:
        """Samples that the engines decode at the same time."""
        return sum(slot.current.facts.max_num_seqs for slot in self.up)

    @property
    def num_gpus(self) -> int:
        return sum(slot.current.facts.num_gpus for slot in self.up)

    def stats(self) -> EngineStats:
        """Return counters over all engines of this plan, and gauges of those that are up.

        Gauges are sums, the KV cache usage the mean, the memory that of the fullest replica.
        """
        slots = sorted((*self.slots, *self._retired), key=lambda slot: slot.number)
        if self.is_local:
            return slots[0].stats()
        total = EngineStats()
        for slot in slots:
            total = added(total, slot.stats())
        up = [slot.current.stats() for slot in self.up]
        total.num_running = sum(stats.num_running for stats in up)
        total.num_waiting = sum(stats.num_waiting for stats in up)
        total.kv_cache_usage = sum(stats.kv_cache_usage for stats in up) / max(len(up), 1)
        memory = [stats.memory_gib for stats in up if stats.memory_gib is not None]
        total.memory_gib = max(memory, default=None)
        total.replicas = tuple(slot.replica_stats() for slot in slots)
        return total

    def shutdown(self) -> None:
        """Shut the engines down; their counters are kept."""
        for slot in self.slots:
            slot.shutdown()

    def release(self) -> None:
        """Shut the engines down and free their memory."""
        if self._plan is None:
            return
        with environment_set(self._environment):
            if not any(slot.engine for slot in self.slots):
                self._empty()
                return
            with self._console.libraries_write_to(self._plan.log_file):
                self._empty()

    def _empty(self) -> None:
        plan, self._plan = self._plan, None
        self.shutdown()
        self.slots = []
        free(plan)

    def _close_host(self) -> None:
        host, self._host = self._host, None
        if host:
            host.close()

    def close(self) -> None:
        try:
            self.release()
            self._close_host()
        finally:
            self._guard.close()


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
