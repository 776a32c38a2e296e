"""Phases on hand-made marks."""

import pytest

from rollout.engines.base import EngineStats
from rollout.runs.metrics import phases
from rollout.runs.tally import Tally
from rollout.runs.timeline import Mark, Timeline, overlap


def at(second, output=0, prompt=0, rows=0, **stats):
    return Mark(second, EngineStats(num_output_tokens=output, **stats), rows, prompt)


def timeline(**marks):
    return Timeline(load=(2.0, 10.0), max_num_seqs=4, num_gpus=2, **marks)


def seen(line, *looks):
    """Let the timeline observe (running, waiting, is the source dry) once a second; its phases."""
    found = []
    for second, (running, waiting, is_dry) in enumerate(looks, 1):
        stats = EngineStats(num_running=running, num_waiting=waiting)
        line.observe(10.0 + second, stats, Tally(), is_dry)
        found.append(line.phase)
    return found


def test_a_run_is_split_into_fill_steady_and_tail():
    line = timeline(begin=at(10), full=at(12, 100), drain=at(22, 5100), end=at(27, 6100))
    split = phases(line)
    assert [split[name]["s"] for name in ("fill", "steady", "tail")] == [2, 10, 5]
    assert [split[name]["output_tokens_per_s"] for name in split] == [50, 500, 200]


def test_a_run_too_small_to_fill_the_engine_has_no_steady_phase():
    line = timeline(begin=at(10), drain=at(11, 10), end=at(13, 30))
    assert phases(line)["steady"] == {
        "s": 0,
        "output_tokens_per_s": None,
        "prompt_tokens_per_s": None,
        "total_tokens_per_s": None,
    }
    assert [span["phase"] for span in line.spans()] == ["load", "fill", "tail"]


def test_the_phases_add_up_to_the_generation():
    line = timeline(begin=at(10), full=at(15, 10), drain=at(14, 8), end=at(20, 30))
    assert sum(phase["s"] for phase in phases(line).values()) == 10


def test_the_spans_are_the_phases_in_seconds_since_the_launch():
    line = timeline(begin=at(10.5), full=at(12), drain=at(22), end=at(27), publish=(28, 29))
    line.score = (29, 33)
    assert [tuple(span.values()) for span in line.spans()] == [
        ("load", 2, 10),
        ("fill", 10.5, 12),
        ("steady", 12, 22),
        ("tail", 22, 27),
        ("publish", 28, 29),
        ("score", 29, 33),
    ]
    assert line.score_s == 4


def test_two_deaths_leave_the_rates_of_the_phases_to_the_engine_and_the_time_to_the_run():
    """Reloads at 14-17 and 21-24: 4 of the 10 steady seconds had no engine, 2 of the tail's.

    3000 tokens in the other 6, 600 in the other 3.
    """
    line = timeline(begin=at(10), full=at(12, 100), drain=at(22, 3100), end=at(27, 3700))
    line.reloads = [(14, 17), (21, 24)]
    assert (line.generate_s, line.reload_s) == (17, 6)
    split = phases(line)
    assert [split[name]["s"] for name in split] == [2, 10, 5]
    assert [split[name]["output_tokens_per_s"] for name in split] == [50, 500, 200]


def test_only_reloads_during_the_generation_count():
    line = timeline(begin=at(10), end=at(20), reloads=[(7, 11), (19, 30)])
    assert line.reload_s == 2


@pytest.mark.parametrize(
    ("spans", "within", "seconds"),
    [([], (0, 9), 0), ([(1, 3)], (2, 9), 1), ([(1, 3), (5, 6)], (0, 9), 3), ([(1, 3)], (4, 9), 0)],
)
def test_the_overlap_of_spans_is_measured_within_another(spans, within, seconds):
    assert overlap(spans, within) == seconds


@pytest.mark.parametrize(
    ("running", "waiting", "dry", "full", "drained"),
    [(4, 3, False, True, False), (1, 0, False, False, False), (2, 0, True, False, True)],
)
def test_marks_are_set_when_the_engine_fills_and_drains(running, waiting, dry, full, drained):
    line = timeline()
    seen(line, (running, waiting, dry))
    assert (line.full is not None, line.drain is not None) == (full, drained)


def test_an_engine_whose_cache_admits_no_more_counts_as_full():
    line = timeline()
    seen(line, (2, 5, False), (2, 5, False))
    assert line.full is not None


def test_the_phase_now_is_that_of_the_spans_later():
    line = timeline(begin=at(10))
    assert seen(line, (1, 0, False), (4, 2, False), (4, 0, True), (3, 0, True), (0, 0, True)) == [
        "fill", "steady", "steady", "tail", "tail",
    ]  # fmt: skip
    line.end = at(15)
    spans = {span["phase"]: span["start_s"] for span in line.spans()}
    assert spans == {"load": 2, "fill": 10, "steady": 12, "tail": 14}


def test_an_engine_that_seems_full_while_it_drains_is_not_steady():
    """The samples of the last prompt were not admitted yet: full was set after drain."""
    line = timeline(begin=at(10), end=at(20))
    assert seen(line, (1, 1, True), (1, 1, True)) == ["tail", "tail"]
    assert (line.full, phases(line)["fill"]["s"], phases(line)["tail"]["s"]) == (None, 1, 9)
