"""Throughput arithmetic on hand-made marks."""

from dataclasses import asdict

import numpy as np
import pytest

from rollout.engines.base import EngineStats
from rollout.rows.result import Result
from rollout.runs.metrics import Mark, Tally, Timeline, live, phases, summarize
from rollout.store.counts import Totals, percentile


def at(second, output=0, prompt=0, rows=0):
    return Mark(second, EngineStats(num_output_tokens=output), rows, prompt)


def timeline(**marks):
    return Timeline(load_s=10.0, max_num_seqs=4, num_gpus=2, **marks)


def test_a_run_is_split_into_fill_steady_and_tail():
    line = timeline(begin=at(10), full=at(12, 100), drain=at(22, 5100), end=at(27, 6100))
    split = phases(line)
    assert [split[name]["s"] for name in ("fill", "steady", "tail")] == [2, 10, 5]
    assert [split[name]["output_tokens_per_s"] for name in split] == [50, 500, 200]


def test_a_run_too_small_to_fill_the_engine_has_no_steady_phase():
    split = phases(timeline(begin=at(10), drain=at(11, 10), end=at(13, 30)))
    assert split["steady"] == {
        "s": 0,
        "output_tokens_per_s": None,
        "prompt_tokens_per_s": None,
        "total_tokens_per_s": None,
    }


def test_the_phases_add_up_to_the_generation():
    line = timeline(begin=at(10), full=at(15, 10), drain=at(14, 8), end=at(20, 30))
    assert sum(phase["s"] for phase in phases(line).values()) == 10


def test_rates_are_over_the_generation_and_per_gpu():
    totals = Totals(num_rows=1, num_samples=2, num_output_tokens=1000, num_truncated=1)
    line = timeline(begin=at(10), end=at(20, 1000, prompt=100), publish_s=1.0)
    figures = summarize(totals, Tally(num_rows=1), line)
    assert figures["output_tokens_per_s"] == 100
    assert figures["total_tokens_per_s"] == 110
    assert figures["output_tokens_per_s_per_gpu"] == 50
    assert figures["requests_per_s"] == 0.1
    assert figures["truncated_fraction"] == 0.5
    assert figures["mean_response_tokens"] == 500


def test_counts_are_of_the_run_and_rates_of_the_attempt():
    totals = Totals(num_rows=10, num_samples=80)
    tally = Tally()
    tally.add(Result(0, 0, b"", num_prompt_tokens=5, num_new_samples=3, num_new_tokens=30))
    figures = summarize(totals, tally, timeline(begin=at(0), end=at(2)))
    assert (figures["num_rows"], figures["num_samples"]) == (10, 80)
    assert (figures["num_generated_rows"], figures["num_generated_samples"]) == (1, 3)
    assert figures["samples_per_s"] == 1.5


def test_no_time_and_no_samples_give_no_rate_instead_of_an_error():
    for line in (Timeline(begin=at(0), end=at(0)), Timeline()):
        figures = summarize(Totals(), Tally(), line)
        assert figures["output_tokens_per_s"] is None
        assert figures["truncated_fraction"] is None


def test_a_share_of_the_samples_is_distinct():
    totals = Totals(num_samples=8, num_distinct=6, p95_response_tokens=40)
    figures = summarize(totals, Tally(), Timeline(peak_memory_gib=71.5))
    assert (figures["num_distinct"], figures["distinct_fraction"]) == (6, 0.75)
    assert (figures["p95_response_tokens"], figures["peak_memory_gib"]) == (40, 71.5)


@pytest.mark.parametrize("totals", [Totals(num_samples=8), Totals(num_distinct=0)])
def test_a_share_that_was_not_counted_or_has_no_samples_is_null(totals):
    figures = summarize(totals, Tally(), Timeline())
    names = ("distinct_fraction", "p95_response_tokens", "peak_memory_gib")
    assert [figures[name] for name in names] == [None, None, None]


def test_totals_are_read_back_from_a_summary_unchanged():
    totals = Totals(num_rows=2, num_samples=4, num_distinct=3, p95_response_tokens=9)
    assert Totals.known(summarize(totals, Tally(), Timeline())) == totals


def test_totals_that_an_older_version_did_not_count_are_none():
    totals = Totals(num_rows=2, num_samples=4, max_response_tokens=9)
    older = {name: value for name, value in asdict(totals).items() if value is not None}
    assert Totals.known(older) == totals
    assert (totals.num_distinct, totals.p95_response_tokens) == (None, None)


@pytest.mark.parametrize(
    ("num_of_length", "percent", "length"),
    [
        ([], 95, None),
        ([0, 0], 95, None),
        ([0, 0, 1], 95, 2),
        ([10, 10], 50, 0),  # rank 10 of 20
        ([9, 11], 50, 1),
        ([7, 93], 7, 0),  # rank 7 of 100; 0.07 * 100 is a little more in floats
        ([0, 4, 0, 1], 100, 3),
    ],
)
def test_a_percentile_is_the_shortest_length_that_so_many_do_not_exceed(
    num_of_length, percent, length
):
    assert percentile(np.array(num_of_length, np.int64), percent) == length


def test_a_failed_row_counts_as_a_row_but_not_as_a_request():
    tally = Tally()
    tally.add(Result(0, 0, b"", error="too long"))
    figures = summarize(Totals(), tally, timeline(begin=at(0), end=at(2)))
    assert (tally.num_rows, tally.num_failed, figures["requests_per_s"]) == (1, 1, 0)


def test_live_rates_are_since_the_last_line():
    tally = Tally(num_rows=30, num_prompt_tokens=300)
    line = live(12.0, tally, EngineStats(num_output_tokens=900), at(10, 500, 100, 10))
    assert line["output_tokens_per_s"] == 200
    assert line["prompt_tokens_per_s"] == 100
    assert line["rows_per_s"] == 10


@pytest.mark.parametrize(
    ("running", "waiting", "dry", "full", "drained"),
    [(4, 3, False, True, False), (1, 0, False, False, False), (2, 0, True, False, True)],
)
def test_marks_are_set_when_the_engine_fills_and_drains(running, waiting, dry, full, drained):
    line = timeline()
    line.observe(1.0, EngineStats(num_running=running, num_waiting=waiting), Tally(), dry)
    assert (line.full is not None, line.drain is not None) == (full, drained)


def test_an_engine_whose_cache_admits_no_more_counts_as_full():
    line = timeline()
    for _ in range(2):
        line.observe(1.0, EngineStats(num_running=2, num_waiting=5), Tally(), False)
    assert line.full is not None
