"""The devices and the downtime of replicas, over all slots."""

import time
from contextlib import closing, contextmanager
from dataclasses import replace

from one_engine import PLAN

from rollout.config.sections.scale import Scale, ScaleOut
from rollout.engines.fleet import Fleet
from rollout.engines.replicas import Replicas
from rollout.engines.scripted import ScriptedEngine
from rollout.system.console import Console
from rollout.system.signals import StopRequest

ON_RAY = replace(PLAN, scale=ScaleOut(mode=Scale.ray))


class Host:
    """A host of these engines, which are up at once."""

    def __init__(self, engines):
        self.num, self._engines = len(engines), iter(engines)

    def num_slots(self, plan):
        return self.num

    def load(self, plan, environment, group):
        return next(self._engines)

    def close(self):
        pass


@contextmanager
def replicas_of(*engines):
    fleet = Fleet(Console(quiet=True), StopRequest())
    fleet._open_host = lambda plan: Host(engines)
    with closing(fleet), closing(Replicas(fleet)) as replicas, replicas.serving(ON_RAY):
        for slot in replicas.slots:
            list(slot.start())
        yield replicas


def using(power_w, energy_j, utilization):
    """Return an engine whose actor has read this of its GPUs."""
    engine = ScriptedEngine(PLAN.engine)
    engine._stats.power_w, engine._stats.energy_j = power_w, energy_j
    engine._stats.gpu_utilization = utilization
    return engine


def gpus(replicas):
    stats = replicas.stats()
    return stats.power_w, stats.energy_j, stats.gpu_utilization


def test_the_gpus_of_replicas_are_added_up_and_the_energy_of_dead_ones_is_kept():
    with replicas_of(using(100.0, 7.0, 0), using(100.0, 8.0, 1)) as replicas:
        assert gpus(replicas) == (200, 15, 0.5)
        replicas.slots[0].shutdown()
        assert gpus(replicas) == (100, 15, 1)
        replicas.slots[1].shutdown()
        assert gpus(replicas) == (None, 15, None)


def test_a_sum_over_replicas_of_which_one_cannot_tell_is_unknown():
    with replicas_of(using(9.0, 7.0, 1), using(None, None, None)) as replicas:
        assert gpus(replicas) == (None, None, None)


def test_the_time_without_an_engine_begins_when_the_last_one_ends():
    """It began at the launch if the last engine left with its node instead of dying."""
    with replicas_of(using(None, None, None), using(None, None, None)) as replicas:
        assert replicas.down_since == 0
        replicas.slots[1].shutdown()
        before = time.monotonic()
        replicas.slots[0].shutdown()
        replicas.slots[1].shutdown()
        assert before <= replicas.down_since == replicas.slots[0].down_since <= time.monotonic()
