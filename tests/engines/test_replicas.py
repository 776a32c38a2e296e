"""Several slots in one loop: scripted engines in this process, each of which may behave badly."""

import os
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rollout.config.sections.engine import Device, Engine, Scripted
from rollout.config.sections.model import Model
from rollout.config.sections.scale import Scale, ScaleOut
from rollout.engines.base import EnginePlan
from rollout.engines.driver import Listener, drive
from rollout.engines.fleet import Fleet, LocalHost
from rollout.engines.ray.host import share_of
from rollout.engines.replicas import Replicas
from rollout.engines.scripted import ScriptedEngine
from rollout.engines.survival import Survival
from rollout.errors import EngineError, UserError
from rollout.rows.owed import OwedRow, Wanted
from rollout.rows.prompt import Prompt
from rollout.system.console import Console
from rollout.system.signals import StopRequest

PLAN = EnginePlan(Model(), "", None, Engine(), Device.cpu, 1.0, Path(os.devnull))


class Hosts(LocalHost):
    """Loads an engine for each slot by `make(slot, start)`; `count` slots, which may change."""

    def __init__(self, make, count):
        self._make, self.count, self.starts, self.leaving = make, count, {}, set()

    def num_slots(self, plan):
        return self.count

    def load(self, plan, environment, group):
        number = int(plan.log_file.stem)
        self.starts[number] = self.starts.get(number, 0) + 1
        engine = self._make(number, self.starts[number])
        engine.number = number
        return engine

    def is_leaving(self, engine):
        return engine.number in self.leaving

    def wait(self, timeout_s):
        pass

    def close(self):
        pass


def scripted(max_num_seqs=4, **script):
    engine = Engine(max_num_seqs=max_num_seqs, scripted=Scripted(poison="POISON", **script))
    return ScriptedEngine(engine)


@contextmanager
def replicas_of(make, count):
    hosts = Hosts(make, count)
    fleet = fleet_on(hosts)
    with closing(fleet), closing(Replicas(fleet)) as replicas, replicas.serving(PLAN):
        yield replicas, hosts


def fleet_on(host):
    fleet = Fleet(Console(quiet=True), StopRequest())
    fleet._open_host = lambda plan: host
    fleet.log_of = lambda plan, number, slot: Path(f"{slot}.log")  # tells slots apart
    return fleet


def rows_of(count, poison=()):
    for i in range(count):
        text = f"row {i}" + " POISON" * (i in poison)
        yield OwedRow(Prompt(i, i, text), Wanted(2, 1, 2048))


class Run:
    """A run over some slots, and its results."""

    def __init__(self, make, slots=2, count=100, poison=(), max_restarts=3, at_tick=None):
        with replicas_of(make, slots) as (self.replicas, self.hosts):
            survival = Survival(rows_of(count, poison), max_restarts)
            self.results = []
            for number, tick in enumerate(drive(self.replicas, survival, Listener())):
                self.results += tick.finished
                if at_tick:
                    at_tick(number, self)
            slots = (*self.replicas.slots, *self.replicas._retired)
            self.num_rows = {slot.number: slot.num_rows for slot in slots}
            self.left = [slot.number for slot in self.replicas.slots]
        self.failed = sorted(r.index for r in self.results if r.error)
        self.is_whole = sorted(r.index for r in self.results) == list(range(count))
        self.texts = {r.index: [s.text for s in r.samples] for r in self.results}


def test_rows_go_to_all_slots_and_come_back_once_as_from_one_engine():
    many, one = Run(lambda *_: scripted(), slots=3), Run(lambda *_: scripted(), slots=1)
    assert many.is_whole and many.failed == []
    assert many.texts == one.texts
    assert min(many.num_rows.values()) > 20


def test_a_slow_slot_gets_fewer_rows():
    """A row goes to the slot with room, so that none waits for the slowest."""
    slow = Run(lambda slot, _: scripted(response_tokens=4 if slot else 40), count=200)
    assert slow.is_whole
    assert slow.num_rows[1] > 3 * slow.num_rows[0]


def test_few_rows_are_spread_over_the_slots():
    run = Run(lambda *_: scripted(max_num_seqs=64), slots=4, count=16)
    assert run.num_rows == {0: 4, 1: 4, 2: 4, 3: 4}


def test_a_slot_that_is_up_first_leaves_some_rows_to_those_still_loading():
    """It took a window of 2 x max_num_seqs samples, and the others had nothing to do."""

    class Loading:
        def __init__(self):
            self._engine, self._asked = scripted(max_num_seqs=16), 0

        def __getattr__(self, name):
            return getattr(self._engine, name)

        @property
        def is_up(self):
            self._asked += 1
            return self._asked > 4

    run = Run(lambda slot, _: Loading() if slot else scripted(max_num_seqs=16), count=16)
    assert run.is_whole and run.num_rows[1] >= 4


@pytest.mark.parametrize("seed", range(20))
def test_exactly_the_rows_that_kill_engines_are_blamed(seed):
    poison = [(7 * seed) % 100] if seed % 2 else [seed, seed + 1, 99 - seed]
    run = Run(lambda *_: scripted(max_num_seqs=2 + 3 * (seed % 5)), poison=poison)
    assert run.failed == sorted(poison)
    assert run.is_whole and run.left == [0, 1]


@pytest.mark.parametrize("slots", [2, 3])
@pytest.mark.parametrize("count", [8, 12, 20, 100])
def test_many_rows_that_kill_engines_are_blamed_or_end_the_run(slots, count):
    """Each slot left its rows to the others, and none was trusted to run them: it never ended."""
    poison = list(range(100 - count, 100))
    try:
        run = Run(lambda *_: scripted(max_num_seqs=2), slots=slots, poison=poison)
    except EngineError as error:
        assert "max_restarts=3" in str(error) or "the likely cause" in str(error)
    else:
        assert run.failed == poison and run.is_whole


def test_a_poison_row_is_blamed_after_the_other_slots_node_was_taken_away():
    """The slot that had left was still waited for, to run the row a second time."""

    def at_tick(number, run):
        if run.hosts.starts.get(0, 0) > 2:  # row 99 is being tried
            run.hosts.leaving = {1}

    class Gone(ScriptedEngine):
        is_up = False

    def make(slot, start):
        return Gone(Engine()) if slot and start > 1 else scripted()

    run = Run(make, poison=[99], at_tick=at_tick)
    assert run.failed == [99] and run.is_whole


def test_a_slot_whose_engines_always_die_is_given_up_and_blames_no_row():
    run = Run(lambda slot, _: scripted(die_after_steps=None if slot else 3))
    assert run.is_whole and run.failed == []
    assert run.left == [1]


def test_a_machine_that_fails_under_work_only_blames_no_row():
    """It survived the harmless requests of the trial, so its rows were blamed one by one."""

    class FailsAtWork(ScriptedEngine):
        def submit(self, request):
            if request.prompt.index >= 0:
                raise EngineError("broken memory")
            super().submit(request)

    def make(slot, start):
        return scripted() if slot else FailsAtWork(Engine(max_num_seqs=4))

    run = Run(make)
    assert run.is_whole and run.failed == []
    assert run.hosts.starts[0] < 20


def test_a_poison_row_is_blamed_although_its_second_slot_is_gone():
    def make(slot, start):
        return scripted(die_after_steps=1 if slot and start > 1 else None)

    run = Run(make, poison=[50])
    assert run.failed == [50] and run.is_whole


def test_a_slot_that_can_not_be_loaded_leaves_the_work_to_the_others():
    def make(slot, start):
        if not slot:
            raise EngineError("no memory on this node")
        return scripted()

    run = Run(make, max_restarts=0)
    assert run.is_whole and run.left == [1]


def test_the_first_error_is_raised_if_no_slot_can_be_loaded():
    def make(slot, start):
        raise UserError(f"slot {slot} has no such model")

    with pytest.raises(UserError, match="slot 0 has no such model"):
        Run(make)


def test_slots_that_join_share_the_rest():
    def at_tick(number, run):
        run.hosts.count = 2 if number > 20 else 1
        run.replicas._refreshed_at = 0.0

    run = Run(lambda *_: scripted(), slots=1, count=300, at_tick=at_tick)
    assert run.is_whole
    assert run.num_rows[1] > 50


def test_a_slot_whose_node_is_leaving_finishes_its_rows_and_gets_no_more():
    def at_tick(number, run):
        if number == 20:
            run.hosts.leaving = {0}
            run.at_notice = sum(r.index >= 0 for r in run.results)
            run.rows_then = run.replicas.slots[0].num_rows

    run = Run(lambda *_: scripted(), count=300, at_tick=at_tick)
    assert run.is_whole and run.failed == []
    assert run.num_rows[0] <= run.rows_then + 8  # a window of 8 samples


def test_a_death_with_an_excuse_blames_no_row_and_costs_no_restart():
    def make(slot, start):
        engine = scripted(die_after_steps=60)
        step = engine.step

        def excused():
            try:
                return step()
            except EngineError as death:
                death.excuse = "the node was lost"
                raise

        engine.step = excused
        return engine

    run = Run(make, max_restarts=0, count=300)
    assert run.is_whole and run.failed == [] and run.left == [0, 1]


def test_a_host_is_not_kept_for_another_scale_after_a_failure(monkeypatch):
    """The next points of a sweep ran on the replicas of the one that failed."""
    opened = []

    def open_host(self, plan):
        opened.append(plan.scale.num_replicas)
        return Hosts(lambda *_: scripted(), 1)

    monkeypatch.setattr(Fleet, "_open_host", open_host)
    plans = [replace(PLAN, scale=ScaleOut(mode=Scale.ray, num_replicas=n)) for n in (1, 2)]
    replicas = Replicas(Fleet(Console(quiet=True), StopRequest()))
    with pytest.raises(EngineError), replicas.serving(plans[0]):
        raise EngineError("gone")
    with replicas.serving(plans[1]):
        pass
    replicas.close()
    assert opened == [1, 2]


def test_engines_that_stayed_up_make_room_for_another_group():
    """One kept from an earlier batch of a sweep had all replicas, and the next engine none."""
    with replicas_of(lambda *_: scripted(), 3) as (replicas, _):
        list(drive(replicas, Survival(rows_of(20), 3), Listener()))
        assert len(replicas.up) == 3
        replicas._fleet.num_to_serve = 2
        with replicas.serving(PLAN):
            assert [slot.number for slot in replicas.slots] == [0, 1]
            ticks = list(drive(replicas, Survival(rows_of(20), 3), Listener()))
    assert sum(len(tick.finished) for tick in ticks) == 20


@pytest.mark.parametrize(
    ("cores", "count", "each"),
    [([1, 1], 1, 1), ([16, 16], 3, 8), ([2], 9, 0.22), ([2, 4], 3, 2), ([8, 4], "auto", 4)],
)
def test_the_cores_of_a_replica_are_those_of_one_node(cores, count, each):
    """The sum of all nodes' cores was divided, and no node could hold a replica."""
    assert share_of(cores, count) == each


def test_settings_lowered_by_one_slot_hold_for_all(tmp_path):
    from rollout.config.sections.engine import OnOom
    from rollout.engines.base import Rung

    class Halves:
        longest = None

        def next(self, engine, fault):
            return Rung(replace(engine, max_num_seqs=engine.max_num_seqs // 2), {"max_num_seqs": 0})

    engine = Engine(max_num_seqs=16, on_oom=OnOom.step_down, scripted=Scripted(oom_above=8))
    hosts = Hosts(None, 2)
    replicas = Replicas(fleet_on(hosts))
    hosts.load = lambda plan, environment, group: ScriptedEngine(plan.engine)
    hosts.is_leaving = lambda engine: False
    with replicas.serving(replace(PLAN, engine=engine), ladder=Halves()):
        ticks = list(drive(replicas, Survival(rows_of(20), 3), Listener()))
        assert [slot.current.facts.max_num_seqs for slot in replicas.slots] == [8, 8]
        assert len(replicas.steps) == 1
    assert sum(len(tick.finished) for tick in ticks) == 20
    replicas.close()
