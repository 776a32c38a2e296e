"""Faults on a Ray cluster, on demand: runs of scripted engines, and how their rows came out."""

import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from ray_cluster import add_node

from rollout.config.sections.engine import Backend, Device, Engine, Scripted
from rollout.config.sections.model import Model
from rollout.config.sections.scale import Scale, ScaleOut
from rollout.engines.base import EnginePlan
from rollout.engines.driver import Listener, drive
from rollout.engines.fleet import Fleet
from rollout.engines.replicas import Replicas
from rollout.engines.survival import Survival
from rollout.rows.owed import OwedRow, Wanted
from rollout.rows.prompt import Prompt
from rollout.system.console import Console
from rollout.system.signals import StopRequest


class Run:
    """A run of `count` rows on replicas at `address`, and what came of each row.

    `fault(run)` is called once, when `at` rows are finished and all replicas are up.
    """

    def __init__(
        self,
        address,
        directory: Path,
        count=300,
        num_replicas=2,
        poison=(),
        fault=None,
        at=60,
        max_restarts=3,
        wait_s=60.0,
        cpus=1.0,
        **script,
    ):
        scripted = Scripted(poison="POISON", step_s=0.002, **script)
        engine = Engine(backend=Backend.scripted, max_num_seqs=8, scripted=scripted)
        scale = ScaleOut(
            mode=Scale.ray,
            num_replicas=num_replicas,
            address=address,
            cpus_per_replica=cpus,
            wait_s=wait_s,
        )
        log_file = directory / "engine.log"
        plan = EnginePlan(Model(), "", None, engine, Device.cpu, 1.0, log_file, scale=scale)
        rows = (
            OwedRow(Prompt(i, i, f"row {i}" + " POISON" * (i in poison)), Wanted(2, 1, 2048))
            for i in range(count)
        )
        self.count, self.notes, self.deaths, self.results = count, [], [], []
        console = Console(quiet=True)
        console.note = self.notes.append
        listener = Listener(on_death=lambda death, what, slot: self.deaths.append(str(death)))
        fleet = Fleet(console, StopRequest())
        self.replicas = Replicas(fleet)
        with closing(fleet), closing(self.replicas), self.replicas.serving(plan):
            for tick in drive(self.replicas, Survival(rows, max_restarts), listener):
                self.results += tick.finished
                if tick.is_idle:
                    fleet.wait()
                is_ready = len(self.results) >= at and len(self.replicas.up) == num_replicas
                if fault and (is_ready or num_replicas == "auto"):
                    fault = fault(self)
            self.num_rows = [slot.num_rows for slot in self.replicas.slots]
            self.num_up = len(self.replicas.up)

    @property
    def lost(self):
        return sorted(set(range(self.count)) - {r.index for r in self.results})

    @property
    def doubled(self):
        return [i for i, number in Counter(r.index for r in self.results).items() if number > 1]

    @property
    def failed(self):
        return sorted(r.index for r in self.results if r.error)

    @property
    def is_whole(self):
        return not self.lost and not self.doubled

    @property
    def texts(self):
        return {r.index: [s.text for s in r.samples] for r in self.results if not r.error}


def place_of(run, number=0):
    return run.replicas.slots[number].current._place


def kill_actor(run):
    import ray

    ray.kill(place_of(run).actor)


def remove_a_node(cluster, then_add=True):
    """Return a fault that takes the node of replica 0 away at once, and adds another."""

    def fault(run):
        node = place_of(run).node
        lost = next(n for n in cluster.others if n.node_id == node)
        cluster.others.remove(lost)
        cluster.remove_node(lost)
        if then_add:
            cluster.others.append(add_node(cluster))

    return fault


def drain_a_node(cluster, seconds=30):
    """Return a fault that gives notice of the end of replica 0's node, as for spot instances."""

    def fault(run):
        from ray._raylet import GcsClient
        from ray.core.generated import autoscaler_pb2

        reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        deadline_ms = int(1000 * (time.time() + seconds))
        client = GcsClient(address=cluster.address)
        run.drained = place_of(run).node
        client.drain_node(run.drained, reason, "spot", deadline_ms)
        run.rows_then = run.replicas.slots[0].num_rows

    return fault
