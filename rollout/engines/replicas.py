"""The slots that serve a plan together: one engine on this machine, or replicas on a cluster.

Guarantees that memory is freed before a plan's engines are replaced by another's, and that no
process is left behind on any exit. Engines are kept for later runs with the same plan. Slots join
while the host has room for more. Must not know about runs or rows.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rollout.config.sections.sampling import Sampling
from rollout.engines import check_sampling
from rollout.engines.base import EnginePlan, EngineStats, Ladder, Rung
from rollout.engines.fleet import Fleet
from rollout.engines.slot import Descent, Slot, free, together
from rollout.errors import RolloutError

MOST_NAMED = 4  # replicas in a line
REFRESH_S = 2.0  # between two looks at how many slots there is room for


class Replicas:
    """The slots of one plan at a time. The caller closes it."""

    def __init__(self, fleet: Fleet):
        self._fleet = fleet
        self._plan: EnginePlan | None = None  # as given, before anything is lowered
        self._environment: dict[str, str] = {}
        self._descent: Descent | None = None
        self._retired: list[Slot] = []
        self._refreshed_at = 0.0
        self._asked_at: float | None = None  # for engines elsewhere that are loaded next
        self.slots: list[Slot] = []
        self.number = 0  # of the plan among those that the fleet served

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
            self._shrink()
        else:
            self._serve(plan, environment, ladder)
        with self._at_work(plan):
            try:
                self.refresh()
                yield
            except BaseException:
                self._empty()
                raise

    def _serve(self, plan: EnginePlan, environment: dict[str, str], ladder: Ladder | None) -> None:
        self.release()
        self._plan, self._environment = plan, environment
        self._descent = Descent(plan, ladder)
        self._retired, self._refreshed_at = [], 0.0
        try:
            self.number = self._fleet.join(self, plan)
        except BaseException:
            self._empty()
            raise

    @contextmanager
    def _at_work(self, plan: EnginePlan) -> Iterator[None]:
        """Let libraries write to the log, and an engine in this process have its environment."""
        here = environment_set(self._environment) if self.is_local else nullcontext()
        with here, self._fleet.console.libraries_write_to(plan.log_file):
            yield

    def refresh(self, grows: bool = True) -> None:
        """Look, now and then, how many engines the host has room for; add slots if it `grows`."""
        now = time.monotonic()
        if self._refreshed_at and now - self._refreshed_at < REFRESH_S:
            return
        self._refreshed_at = now
        wanted = self._fleet.num_slots(self._plan, self) - len(self._retired)
        while grows and len(self.slots) < wanted:
            self._add_slot()

    def _add_slot(self) -> None:
        number, fleet = len(self.slots) + len(self._retired), self._fleet
        group = f"{self._plan.identity} {self._environment}"
        load = partial(fleet.host.load, environment=self._environment, group=group)
        log = fleet.log_of(self._plan, self.number, number)
        self.slots.append(Slot(number, self._descent, load, fleet.console, log))

    def _shrink(self) -> None:
        """Shut down the engines beyond our share of the host, before a run begins."""
        share = self._fleet.num_slots(self._plan, self)
        while len(self.slots) > max(1, share):
            self.slots.pop().shutdown()

    def retire(self, slot: Slot, error: RolloutError) -> None:
        """Do without this slot, whose engine is gone. Raises the error if it was the last one."""
        self.slots.remove(slot)
        self._retired.append(slot)
        if not self.slots:
            raise error
        left = f"{len(self.slots)} of {len(self.slots) + len(self._retired)} left"
        self._fleet.console.note(f"{self.name_of(slot)} is given up ({left}): {error}")

    def name_of(self, slot: Slot) -> str:
        return self._fleet.name_of(self.number, slot.number)

    @property
    def log_files(self) -> Path:
        """The log of the engine, or a pattern for those of the replicas."""
        return self._fleet.log_of(self._plan, self.number, "*")

    def is_leaving(self, slot: Slot) -> bool:
        """Whether the slot's node will soon be taken away."""
        return self._fleet.host.is_leaving(slot.current)

    def wait(self) -> None:
        """Wait a moment for news from the engines."""
        self._fleet.wait()

    @property
    def num_beside(self) -> int:
        """Other groups that the host is divided among."""
        return min(self._fleet.num_to_serve, self._fleet.num_at_once) - 1

    @property
    def is_local(self) -> bool:
        """Whether the engine's memory is that of this process and its children."""
        return self._fleet.is_local

    @contextmanager
    def asked(self, at: float) -> Iterator[None]:
        """Show in the block that engines were asked for at that time, by time.monotonic().

        What has to be done before they are loaded is part of what the user waits for.
        """
        if self.up:
            yield
            return
        if self.is_local:
            shown = self._fleet.host.asked(self._descent.plan, at)
        else:
            self._asked_at, shown = at, self._fleet.waiting(self._loading(), at)
        with shown:
            yield

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Show in the block that engines are being loaded elsewhere."""
        at, self._asked_at = self._asked_at, None
        if self.is_local or self.up:
            yield
            return
        with self._fleet.waiting(self._loading(), at, is_continued=at is not None):
            yield

    def _loading(self) -> str:
        names = ", ".join(self.name_of(slot) for slot in self.slots[:MOST_NAMED])
        more = len(self.slots) - MOST_NAMED
        names += f" and {more} more" if more > 0 else ""
        return f"loading {names} ({self._fleet.host})"

    def check(self, plan: EnginePlan, sampling: Sampling) -> None:
        """Refuse bad sampling settings before an engine is loaded. Raises UserError."""
        if not self.up:
            with environment_set(self._environment):
                check_sampling(plan, sampling)

    @property
    def up(self) -> list[Slot]:
        """The slots that have an engine."""
        return [slot for slot in self.slots if slot.current]

    @property
    def down_since(self) -> float:
        """When the last engine ended, by time.monotonic(); 0 if none ever has."""
        return max((slot.down_since for slot in (*self.slots, *self._retired)), default=0.0)

    @property
    def max_num_seqs(self) -> int:
        """Samples that the engines decode at the same time."""
        return sum(slot.current.facts.max_num_seqs for slot in self.up)

    @property
    def num_gpus(self) -> int:
        return sum(slot.current.facts.num_gpus for slot in self.up)

    def stats(self) -> EngineStats:
        """Return counters over all engines of this plan, and gauges of those that are up."""
        slots = sorted((*self.slots, *self._retired), key=lambda slot: slot.number)
        if self.is_local:
            return slots[0].stats()
        up = [slot.current.stats() for slot in self.up]
        total = together((slot.stats() for slot in slots), up)
        return replace(total, replicas=tuple(slot.replica_stats() for slot in slots))

    def shutdown(self) -> None:
        """Shut the engines down; their counters are kept."""
        for slot in self.slots:
            slot.shutdown()

    def release(self) -> None:
        """Shut the engines down and free their memory."""
        if self._plan is None:
            return
        if not any(slot.engine for slot in self.slots):
            self._empty()
            return
        with self._at_work(self._plan):
            self._empty()

    def _empty(self) -> None:
        plan, self._plan = self._plan, None
        self.shutdown()
        self.slots = []
        self._fleet.leave(self)
        free(plan)

    def close(self) -> None:
        self.release()


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
