"""Throughput arithmetic on hand-made marks."""

from dataclasses import asdict

import numpy as np
import pytest

from rollout.engines.base import EngineStats
from rollout.rows.result import Result
from rollout.runs.metrics import live, summarize
from rollout.runs.tally import Tally
from rollout.runs.timeline import Mark, Timeline
from rollout.store.counts import Totals, percentile


def at(second, output=0, prompt=0, rows=0, **stats):
    return Mark(second, EngineStats(num_output_tokens=output, **stats), rows, prompt)


def timeline(**marks):
    return Timeline(load=(2.0, 10.0), max_num_seqs=4, num_gpus=2, **marks)


def kept(num_tokens, num_prompt_tokens=0, **counts):
    return Tally(num_output_tokens=num_tokens, num_prompt_tokens=num_prompt_tokens, **counts)


def test_rates_are_over_the_generation_and_per_gpu():
    """Loaded for 8 s, then 10 s on 2 GPUs: 1000 tokens of responses, 100 of prompts."""
    totals = Totals(num_rows=1, num_samples=2, num_output_tokens=1000, num_truncated=1)
    line = timeline(begin=at(10), end=at(20, 1000), publish=(20.0, 21.0))
    figures = summarize(totals, kept(1000, 100, num_rows=1), line)
    assert {key: figures[key] for key in ("load_s", "generate_s", "reload_s", "publish_s")} == {
        "load_s": 8, "generate_s": 10, "reload_s": 0, "publish_s": 1,
    }  # fmt: skip
    rates = [figures[f"{kind}_tokens_per_s"] for kind in ("output", "prompt", "total")]
    per_gpu = [figures[f"{kind}_tokens_per_s_per_gpu"] for kind in ("output", "prompt", "total")]
    assert (rates, per_gpu) == ([100, 10, 110], [50, 5, 55])
    assert figures["output_tokens_per_gpu_hour"] == 180_000
    assert figures["gpu_hours"] == 2 * 18 / 3600
    assert figures["requests_per_s"] == 0.1
    assert figures["truncated_fraction"] == 0.5
    assert figures["mean_response_tokens"] == 500


def test_tokens_that_a_death_threw_away_are_sampled_but_not_output():
    """6100 sampled in 17 s, 3 of them without an engine; 5600 kept.

    The rate was 6100 / 17: more than the output file holds, and less than the engine does.
    """
    line = timeline(begin=at(10), full=at(12, 100), drain=at(22, 5100), end=at(27, 6100))
    line.reloads = [(15.0, 18.0)]
    figures = summarize(Totals(), kept(5600), line)
    counts = "num_sampled_tokens", "num_generated_tokens", "num_discarded_tokens"
    assert [figures[key] for key in counts] == [6100, 5600, 500]
    times = "load_s", "generate_s", "reload_s", "fill_s", "steady_s", "tail_s"
    assert [figures[key] for key in times] == [8, 17, 3, 2, 10, 5]
    assert figures["output_tokens_per_s"] == 5600 / 17
    assert figures["engine_output_tokens_per_s"] == 6100 / 14
    rates = [figures[f"{name}_output_tokens_per_s"] for name in ("fill", "steady", "tail")]
    assert rates == [50, 5000 / 7, 200]


def test_a_replica_that_took_its_last_report_with_it_discards_nothing():
    figures = summarize(Totals(), kept(1010), timeline(begin=at(10), end=at(20, 1000)))
    assert (figures["num_sampled_tokens"], figures["num_discarded_tokens"]) == (1000, 0)


def test_copies_of_a_greedy_sample_are_samples_but_were_not_drawn():
    """Rows of 8 samples at temperature 0, 50 tokens each: 50 tokens were sampled for a row."""
    tally = Tally()
    for row in range(4):
        tally.add(Result(row, row, b"", num_new_samples=8, num_new_tokens=50, repeats=True))
    figures = summarize(Totals(), tally, timeline(begin=at(10), end=at(20, 200)))
    assert (figures["num_generated_samples"], figures["samples_per_s"]) == (32, 0.4)
    assert (figures["num_generated_tokens"], figures["num_discarded_tokens"]) == (200, 0)


def test_a_resumed_attempt_that_generates_nothing_has_no_rate_and_no_time():
    line = Timeline(publish=(1.0, 3.0))
    figures = summarize(Totals(num_rows=5, num_samples=5, num_output_tokens=50), Tally(), line)
    zero = "load_s", "generate_s", "reload_s", "num_sampled_tokens", "num_discarded_tokens"
    assert [figures[key] for key in zero] == [0, 0, 0, 0, 0]
    unknown = [key for key in figures if "_per_" in key] + ["energy_j", "gpu_hours"]
    assert {figures[key] for key in unknown} == {None}
    assert (figures["num_output_tokens"], figures["publish_s"]) == (50, 2)
    assert list(line.spans()) == [{"phase": "publish", "start_s": 1.0, "end_s": 3.0}]


def test_energy_is_what_the_gpus_used_during_the_generation():
    """1000 J before, 9500 J after: 8500 J for 1700 tokens."""
    line = timeline(begin=at(10, energy_j=1000.0), end=at(27, 2000, energy_j=9500.0))
    figures = summarize(Totals(), kept(1700), line)
    assert (figures["energy_j"], figures["output_tokens_per_j"]) == (8500, 0.2)


@pytest.mark.parametrize(("before", "after"), [(None, 5.0), (5.0, None), (None, None)])
def test_energy_that_the_gpus_cannot_tell_is_unknown(before, after):
    line = timeline(begin=at(10, energy_j=before), end=at(27, 2000, energy_j=after))
    figures = summarize(Totals(), kept(1700), line)
    assert (figures["energy_j"], figures["output_tokens_per_j"]) == (None, None)


def test_without_a_gpu_nothing_is_per_gpu():
    line = Timeline(begin=at(0, energy_j=0.0), end=at(10, 100, energy_j=0.0))
    figures = summarize(Totals(), kept(100), line)
    assert figures["output_tokens_per_s"] == 10
    unknown = [key for key in figures if "gpu" in key and key != "num_gpus"]
    assert {figures[key] for key in [*unknown, "energy_j", "output_tokens_per_j"]} == {None}


def test_tokens_and_energy_of_a_shared_engine_are_not_split():
    line = timeline(begin=at(10, energy_j=0.0), end=at(20, 700, energy_j=50.0), is_shared=True)
    figures = summarize(Totals(), kept(700), line)
    keys = "num_sampled_tokens", "num_discarded_tokens", "engine_output_tokens_per_s", "energy_j"
    assert [figures[key] for key in keys] == [None] * 4
    assert figures["output_tokens_per_s"] == 70


@pytest.mark.parametrize("tokens", [0, 700])
def test_points_on_a_shared_engine_have_no_rate_over_a_window(tokens):
    """It was 0 until a row finished, then more than the engine can do."""
    line = timeline(begin=at(10), full=at(11), end=at(20, tokens), is_shared=True)
    tally = kept(tokens, 9, num_rows=1)
    found = live(line, 20.0, tally, EngineStats(num_output_tokens=tokens), line.begin)
    unknown = "num_output_tokens", "output_tokens_per_s", "total_tokens_per_s"
    assert [found[key] for key in unknown] == [None] * 3
    assert (found["num_generated_tokens"], found["prompt_tokens_per_s"]) == (tokens, 0.9)
    figures = summarize(Totals(), tally, line)
    assert figures["fill_output_tokens_per_s"] is figures["tail_output_tokens_per_s"] is None


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
    assert (tally.num_rows, tally.signs.num_failed, figures["requests_per_s"]) == (1, 1, 0)


def test_live_rates_are_since_the_last_line():
    tally = Tally(num_rows=30, num_prompt_tokens=300, num_output_tokens=700)
    stats = EngineStats(num_output_tokens=900)
    line = live(Timeline(), 12.0, tally, stats, at(10, 500, 100, 10))
    assert line["output_tokens_per_s"] == 200
    assert line["prompt_tokens_per_s"] == 100
    assert line["rows_per_s"] == 10
    assert (line["num_output_tokens"], line["num_generated_tokens"]) == (900, 700)
    assert (line["elapsed_s"], line["phase"]) == (12.0, "fill")
    assert not [key for key in line if "gpu" in key or "power" in key]


def test_a_live_line_has_what_the_gpus_tell_and_no_more():
    stats = EngineStats(memory_gib=70.0, gpu_utilization=0.5, power_w=None)
    line = live(timeline(full=at(11)), 12.0, Tally(), stats, at(10))
    assert (line["gpu_memory_gib"], line["gpu_utilization"]) == (70, 0.5)
    assert (line["phase"], "power_w" in line) == ("steady", False)
