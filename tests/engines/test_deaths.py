"""Engines that die: which rows are resubmitted, which are blamed, and when to give up."""

import os
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rollout.config.sections.engine import Device, Engine, Scripted
from rollout.config.sections.model import Model
from rollout.engines import slot as slot_module
from rollout.engines.base import EnginePlan
from rollout.engines.driver import Listener, drive
from rollout.engines.fleet import Fleet
from rollout.engines.replicas import Replicas
from rollout.engines.scripted import ScriptedEngine
from rollout.engines.survival import Survival
from rollout.errors import EngineError
from rollout.rows.owed import OwedRow, Wanted
from rollout.rows.prompt import Prompt
from rollout.system.console import Console
from rollout.system.signals import StopRequest


@contextmanager
def serving(load):
    """Yield replicas, of one slot, whose engines are made by `load`."""
    fleet = Fleet(Console(quiet=True), StopRequest(), lambda plan: load())
    plan = EnginePlan(Model(), "", None, Engine(), Device.cpu, 1.0, Path(os.devnull))
    with closing(fleet), closing(Replicas(fleet)) as replicas, replicas.serving(plan):
        yield replicas


def ticks_of(replicas, rows, max_restarts, **listener):
    return list(drive(replicas, Survival(rows, max_restarts), Listener(**listener)))


class Run:
    """A run of `count` rows over scripted engines, and its results."""

    def __init__(self, count=100, poison=(), max_num_seqs=8, max_restarts=3, **script):
        engine = Engine(max_num_seqs=max_num_seqs, scripted=Scripted(poison="POISON", **script))
        self.texts = []
        rows = (
            OwedRow(Prompt(i, i, f"row {i}" + " POISON" * (i in poison)), Wanted(2, 1, 2048))
            for i in range(count)
        )
        with serving(lambda: ScriptedEngine(engine)) as replicas:
            self.slot = replicas.slots[0]
            ticks = ticks_of(
                replicas, rows, max_restarts, on_death=lambda _, text, slot: self.texts.append(text)
            )
            self.stats = self.slot.stats()
        self.results = [result for tick in ticks for result in tick.finished]
        self.failed = sorted(r.index for r in self.results if r.error)

    def all_once(self, count=100):
        return sorted(r.index for r in self.results) == list(range(count))


@pytest.mark.parametrize("die_after_steps", [20, 25, 30, 40])
@pytest.mark.parametrize("guilty", [0, 3])
def test_an_engine_that_dies_of_age_after_a_trial_blames_no_row(guilty, die_after_steps):
    """The trial's steps were not counted as the engine's: the next trial was too short."""
    run = Run(5, {guilty}, 4, die_after_steps=die_after_steps, vary=False)
    assert run.failed == [guilty] and run.all_once(5), run.texts


def test_rows_in_flight_at_a_death_are_resubmitted_and_no_row_is_blamed():
    run = Run(200, die_after_steps=60)
    assert run.all_once(200)
    assert run.failed == []
    assert run.slot.num_starts > 2


@pytest.mark.parametrize("poison", [[0], [50], [99], [0, 99], [10, 11, 12], [3, 40, 41, 77]])
@pytest.mark.parametrize("max_num_seqs", [2, 8, 64, 256])
def test_a_row_that_kills_the_engine_is_blamed_alone(poison, max_num_seqs):
    """Retrying all rows in flight a few times blamed good rows."""
    run = Run(poison=poison, max_num_seqs=max_num_seqs)
    assert run.all_once()
    assert run.failed == poison
    assert all("kills the engine" in r.error for r in run.results if r.error)


def test_one_poison_row_among_few_costs_three_deaths():
    assert Run(poison=[50], max_num_seqs=4).slot.num_starts == 4


def test_one_poison_row_among_many_costs_a_death_more_for_every_eight_times():
    assert Run(1000, poison=[500], max_num_seqs=256).slot.num_starts <= 6


def test_a_file_of_one_poison_row_says_so_and_ends():
    run = Run(1, poison=[0])
    assert run.failed == [0]


def test_an_engine_that_always_dies_is_given_up_after_the_restarts_allowed():
    """It dies for the third time on the harmless request, so no row is blamed."""
    for allowed in (0, 1, 3):
        with pytest.raises(EngineError, match=f"max_restarts={allowed}"):
            Run(max_restarts=allowed, die_after_steps=0)


def test_rows_that_all_kill_the_engine_are_not_blamed_one_by_one():
    with pytest.raises(EngineError, match="settings or the machine are the likely cause"):
        Run(poison=range(100))


def test_an_engine_that_can_not_be_loaded_again_is_retried_and_given_up(monkeypatch):
    monkeypatch.setattr(slot_module, "LOAD_PAUSE_S", 0.0)
    engine = Engine(max_num_seqs=4, scripted=Scripted(die_after_steps=5))
    loads = []

    def load():
        loads.append(1)
        if len(loads) > 1:
            raise EngineError("no memory")
        return ScriptedEngine(engine)

    rows = (OwedRow(Prompt(i, i, "p"), Wanted(2, 1, 2048)) for i in range(50))
    with pytest.raises(EngineError, match="no memory"), serving(load) as replicas:
        ticks_of(replicas, rows, 3)
    assert len(loads) == 4


def test_counters_continue_across_engines():
    run = Run(100, die_after_steps=40, response_tokens=8)
    sampled = sum(s.num_tokens for r in run.results for s in r.samples)
    assert run.stats.num_output_tokens >= sampled
    assert run.stats.num_running == 0


@pytest.mark.parametrize("steps", range(8, 40, 2))
def test_engines_that_do_not_live_long_get_no_row_blamed(steps):
    """Rows that ran alone died of the engine's age: 140 of 200 good rows were blamed."""
    try:
        run = Run(120, max_num_seqs=32, die_after_steps=steps)
    except EngineError as error:
        assert "max_restarts" in str(error)
    else:
        assert run.all_once(120)
        assert run.failed == []


def test_rows_refused_just_before_a_death_are_not_lost():
    """They were neither in the engine nor yielded yet."""

    class DiesAtSubmit(ScriptedEngine):
        num_submitted = 0

        def submit(self, request):
            DiesAtSubmit.num_submitted += 1
            if DiesAtSubmit.num_submitted == 5:
                raise EngineError("gone")
            super().submit(request)

    engine = Engine(max_num_seqs=8, scripted=Scripted())
    rows = (
        OwedRow(Prompt(i, i, None if i % 2 else "p", "null" if i % 2 else None), Wanted(2, 1, 9))
        for i in range(20)
    )
    with serving(lambda: DiesAtSubmit(engine)) as replicas:
        ticks = ticks_of(replicas, rows, 3)
    assert sorted(r.index for t in ticks for r in t.finished) == list(range(20))


def test_a_run_whose_rows_all_kill_the_engine_is_given_up_and_its_neighbor_is_not():
    """Each of its rows was blamed alone while the other run's rows finished in between."""
    engine = Engine(max_num_seqs=8, scripted=Scripted(poison="POISON"))
    texts = ["fine", "POISON"]
    rows = [
        OwedRow(Prompt(i, i, text), Wanted(2, 1, 64, run=run))
        for i in range(60)
        for run, text in enumerate(texts)
    ]
    given_up = []
    with serving(lambda: ScriptedEngine(engine)) as replicas:
        ticks = ticks_of(replicas, rows, 3, give_up=lambda run, error: given_up.append(run))
        num_starts = replicas.slots[0].num_starts
    results = [result for tick in ticks for result in tick.finished]
    assert given_up == [1]
    assert sorted(r.index for r in results if r.run == 0) == list(range(60))
    assert not [r for r in results if r.run == 1 or r.error]
    assert num_starts < 40
