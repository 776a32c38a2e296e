"""The driving loop against the scripted engine."""

from one_engine import results_of, ticks_through

from rollout.config.sections.engine import Engine, Scripted
from rollout.engines.flight import window_of
from rollout.engines.scripted import ScriptedEngine
from rollout.rows.owed import OwedRow, Wanted
from rollout.rows.prompt import Prompt


def engine_of(max_num_seqs=4, **script):
    engine = Engine(max_num_seqs=max_num_seqs, scripted=Scripted(**script))
    return ScriptedEngine(engine)


def rows(count, n=2, **prompt):
    for i in range(count):
        yield OwedRow(Prompt(i, i, f"prompt {i}", **prompt), Wanted(n, 1, 2048))


def test_every_row_comes_back_once_with_all_its_samples():
    ticks = ticks_through(engine_of(), rows(50, n=3))
    results = [result for tick in ticks for result in tick.finished]
    assert sorted(r.index for r in results) == list(range(50))
    assert {len(r.samples) for r in results} == {3}


def test_the_engine_never_holds_more_than_a_window_and_one_row():
    engine = engine_of(max_num_seqs=4)
    for _ in ticks_through(engine, rows(100, n=3)):
        assert engine.num_unfinished < window_of(4) + 3


def test_a_large_n_does_not_drain_the_engine_between_rows():
    """Counting rows instead of unfinished samples brought a barrier back at n=512."""
    engine = engine_of(max_num_seqs=8, response_tokens=20)
    ticks = ticks_through(engine, rows(12, n=32))
    unfinished = [engine.num_unfinished for tick in ticks if not tick.source_dry]
    assert min(unfinished[1:]) >= 8  # the first tick comes before the first row


def test_the_source_is_read_no_further_than_the_window():
    read = []

    def source():
        for row in rows(1000, n=2):
            read.append(row)
            yield row

    ticks = ticks_through(engine_of(max_num_seqs=4), source())
    next(ticks), next(ticks)  # the engine is up, and its first step
    assert len(read) == 4


def test_a_refused_prompt_fails_its_own_row_only():
    engine = engine_of(refuse="prompt 7")
    results = {r.index: r for tick in ticks_through(engine, rows(10)) for r in tick.finished}
    assert [i for i, r in results.items() if r.error] == [7]
    assert "refuses" in results[7].error


def test_a_row_that_could_not_be_read_is_passed_on_with_its_reason():
    wanted = Wanted(2, 0, 9)
    bad = (OwedRow(Prompt(i, i, None, "the prompt is null"), wanted) for i in range(200))
    results = results_of(engine_of(), bad)
    assert len(results) == 200
    assert {r.error for r in results} == {"the prompt is null"}


def test_no_requests_end_at_once():
    assert results_of(engine_of(), iter(())) == []


def test_equal_seeds_give_equal_text_in_any_order():
    forward = results_of(engine_of(), rows(30))
    backward = results_of(engine_of(), reversed([*rows(30)]))
    texts = [{r.index: [s.text for s in r.samples] for r in rs} for rs in (forward, backward)]
    assert texts[0] == texts[1]


def test_the_engine_tells_the_tokens_of_samples_that_run_from_those_that_ended():
    engine, finished, most_held = engine_of(response_tokens=9), 0, 0
    for tick in ticks_through(engine, rows(30, n=3)):
        finished += sum(s.num_tokens for result in tick.finished for s in result.samples)
        stats = engine.stats()
        held = stats.num_output_tokens - stats.num_running_tokens - finished
        assert held >= stats.num_ended_in_flight
        least, whole = stats.least_running_tokens, stats.num_running_tokens
        assert least * stats.num_running <= whole and bool(least) == bool(whole)
        most_held = max(most_held, held)
    assert most_held > 0 and stats.num_running_tokens == 0
