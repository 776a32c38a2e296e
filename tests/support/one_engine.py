"""Drive rows through one engine that stays loaded."""

import os
from contextlib import closing
from pathlib import Path

from rollout.config.sections.engine import Device, Engine
from rollout.config.sections.model import Model
from rollout.engines.base import EnginePlan
from rollout.engines.driver import Listener, drive
from rollout.engines.fleet import Fleet
from rollout.engines.replicas import Replicas
from rollout.engines.survival import Survival
from rollout.system.console import Console
from rollout.system.signals import StopRequest

PLAN = EnginePlan(Model(), "", None, Engine(), Device.cpu, 1.0, Path(os.devnull))


class Kept:
    """An engine that its user can't shut down."""

    def __init__(self, engine):
        self._engine = engine

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def shutdown(self):
        pass


def ticks_through(engine, rows):
    """Yield the ticks of the driving loop over this engine."""
    fleet = Fleet(Console(quiet=True), StopRequest(), lambda plan: Kept(engine))
    with closing(fleet), closing(Replicas(fleet)) as replicas, replicas.serving(PLAN):
        yield from drive(replicas, Survival(rows, 0), Listener())


def results_of(engine, rows):
    """Return the results of all rows, in the order they finish."""
    return [result for tick in ticks_through(engine, rows) for result in tick.finished]
