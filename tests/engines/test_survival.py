"""Engines that die: what is asked again, who is blamed, and when it is enough."""

import pytest

from rollout.config.sections.engine import Engine, Scripted
from rollout.engines import survival
from rollout.engines.scripted import ScriptedEngine
from rollout.engines.survival import Engines, drive_on
from rollout.errors import EngineError
from rollout.rows.owed import OwedRow, Wanted
from rollout.rows.prompt import Prompt


class Run:
    """A run of `count` rows over scripted engines, and what came of it."""

    def __init__(self, count=100, poison=(), max_num_seqs=8, max_restarts=3, **script):
        engine = Engine(max_num_seqs=max_num_seqs, scripted=Scripted(poison="POISON", **script))
        self.engines = Engines(lambda: ScriptedEngine(engine))
        self.engines.start()
        self.said = []
        rows = (
            OwedRow(Prompt(i, i, f"row {i}" + " POISON" * (i in poison)), Wanted(2, 1, 2048))
            for i in range(count)
        )
        ticks = drive_on(
            self.engines, rows, max_restarts, lambda death, what: self.said.append(what)
        )
        self.results = [result for tick in ticks for result in tick.finished]
        self.failed = sorted(r.index for r in self.results if r.error)

    def all_once(self, count=100):
        return sorted(r.index for r in self.results) == list(range(count))


def test_rows_in_flight_at_a_death_are_asked_again_and_nobody_is_blamed():
    run = Run(200, die_after_steps=60)
    assert run.all_once(200)
    assert run.failed == []
    assert run.engines.num_starts > 2


@pytest.mark.parametrize("poison", [[0], [50], [99], [0, 99], [10, 11, 12], [3, 40, 41, 77]])
@pytest.mark.parametrize("max_num_seqs", [2, 8, 64, 256])
def test_a_row_that_kills_the_engine_is_blamed_alone(poison, max_num_seqs):
    """Retrying all rows in flight a few times convicted innocents."""
    run = Run(poison=poison, max_num_seqs=max_num_seqs)
    assert run.all_once()
    assert run.failed == poison
    assert all("kills the engine" in r.error for r in run.results if r.error)


def test_one_poison_row_among_few_costs_three_deaths():
    assert Run(poison=[50], max_num_seqs=4).engines.num_starts == 4


def test_one_poison_row_among_many_costs_a_death_more_for_every_eight_times():
    assert Run(1000, poison=[500], max_num_seqs=256).engines.num_starts <= 6


def test_a_file_of_one_poison_row_says_so_and_ends():
    run = Run(1, poison=[0])
    assert run.failed == [0]


def test_an_engine_that_always_dies_is_given_up_after_the_restarts_allowed():
    """Its third death comes at the harmless request, so no row is blamed for it."""
    for allowed in (0, 1, 3):
        with pytest.raises(EngineError, match=f"max_restarts={allowed}"):
            Run(max_restarts=allowed, die_after_steps=0)


def test_rows_that_all_kill_the_engine_are_not_blamed_one_by_one():
    with pytest.raises(EngineError, match="rather the settings or the machine"):
        Run(poison=range(100))


def test_an_engine_that_can_not_be_loaded_again_is_tried_and_given_up(monkeypatch):
    monkeypatch.setattr(survival, "LOAD_PAUSE_S", 0.0)
    engine = Engine(max_num_seqs=4, scripted=Scripted(die_after_steps=5))
    loads = []

    def load():
        loads.append(1)
        if len(loads) > 1:
            raise EngineError("no memory")
        return ScriptedEngine(engine)

    engines = Engines(load)
    engines.start()
    rows = (OwedRow(Prompt(i, i, "p"), Wanted(2, 1, 2048)) for i in range(50))
    with pytest.raises(EngineError, match="no memory"):
        list(drive_on(engines, rows, 3, lambda *_: None))
    assert len(loads) == 4


def test_counters_go_on_over_engines():
    run = Run(100, die_after_steps=40, response_tokens=8)
    sampled = sum(s.num_tokens for r in run.results for s in r.samples)
    assert run.engines.stats().num_output_tokens >= sampled
    assert run.engines.stats().num_running == 0


@pytest.mark.parametrize("steps", range(8, 40, 2))
def test_engines_that_do_not_live_long_get_nobody_blamed(steps):
    """Alone too, a row died of the engine's age: 140 of 200 good ones were blamed."""
    try:
        run = Run(120, max_num_seqs=32, die_after_steps=steps)
    except EngineError as error:
        assert "max_restarts" in str(error)
    else:
        assert run.all_once(120)
        assert run.failed == []


def test_rows_refused_just_before_a_death_are_not_lost():
    """They were neither in the engine nor handed out yet."""

    class DiesAtSubmit(ScriptedEngine):
        num_submitted = 0

        def submit(self, request):
            DiesAtSubmit.num_submitted += 1
            if DiesAtSubmit.num_submitted == 5:
                raise EngineError("gone")
            super().submit(request)

    engine = Engine(max_num_seqs=8, scripted=Scripted())
    engines = Engines(lambda: DiesAtSubmit(engine))
    engines.start()
    rows = (
        OwedRow(Prompt(i, i, None if i % 2 else "p", "null" if i % 2 else None), Wanted(2, 1, 9))
        for i in range(20)
    )
    ticks = drive_on(engines, rows, 3, lambda *_: None)
    assert sorted(r.index for t in ticks for r in t.finished) == list(range(20))


def test_a_run_whose_rows_all_kill_the_engine_is_given_up_and_its_neighbour_is_not():
    """Each of its rows was blamed alone while the neighbour's rows finished in between."""
    engine = Engine(max_num_seqs=8, scripted=Scripted(poison="POISON"))
    engines = Engines(lambda: ScriptedEngine(engine))
    texts = ["fine", "POISON"]
    rows = [
        OwedRow(Prompt(i, i, text), Wanted(2, 1, 64, run=run))
        for i in range(60)
        for run, text in enumerate(texts)
    ]
    given_up = []
    ticks = drive_on(
        engines, rows, 3, lambda *_: None, give_up=lambda run, error: given_up.append(run)
    )
    results = [result for tick in ticks for result in tick.finished]
    assert given_up == [1]
    assert sorted(r.index for r in results if r.run == 0) == list(range(60))
    assert not [r for r in results if r.run == 1 or r.error]
    assert engines.num_starts < 40
