"""The time left and its spread, on hand-made counts."""

import random
from dataclasses import replace

import pytest

from rollout.engines.base import EngineStats, ReplicaStats
from rollout.rows.result import Result
from rollout.runs.outlook import UNSTEADY, Outlook
from rollout.runs.outlook import outlook_of as outlook_at
from rollout.runs.pace import Pace
from rollout.runs.tally import Tally, joined


def outlook_of(tally, stats, elapsed_s, num_rows, n, max_tokens):
    """The outlook of an engine that was as fast from the beginning."""
    done, steps = max(stats.num_output_tokens, 1), stats.num_steps
    pace = Pace(elapsed_s / steps, 0.0) if steps else Pace(0.0, elapsed_s / done)
    return outlook_at(tally, stats, pace, num_rows, n, max_tokens)


def sampled(num_tokens, num_running=0, num_ended_tokens=0):
    num_running_tokens = num_tokens - num_ended_tokens
    return EngineStats(num_tokens, num_running=num_running, num_running_tokens=num_running_tokens)


def ended(num_samples, num_tokens, num_rows=None):
    num_rows = num_samples if num_rows is None else num_rows
    return Tally(num_rows, num_samples, num_samples, num_tokens)


def test_the_time_left_is_estimated_from_tokens_before_any_row_is_finished():
    """Estimated from rows it grew until the end: all rows of a small job run side by side."""
    found = outlook_of(Tally(), sampled(400), 10.0, num_rows=10, n=2, max_tokens=40)
    assert (found.fraction, found.left_s) == (0.5, 10.0)


def test_the_time_left_follows_the_length_of_finished_samples():
    tally = ended(1000, 10_000, num_rows=500)
    found = outlook_of(tally, sampled(10_000, 0, 10_000), 10.0, num_rows=1000, n=2, max_tokens=20)
    assert found.fraction == pytest.approx(0.5, abs=0.01)
    assert found.left_s == pytest.approx(10.0, abs=0.2)


def test_the_first_samples_to_end_are_short_and_not_typical():
    """With 3 of 32 rows done, the bar showed 96% and ETA 0:00 for half a minute."""
    tally = ended(12, 120, num_rows=3)
    found = outlook_of(tally, sampled(2500, 0, 120), 10.0, num_rows=32, n=4, max_tokens=64)
    assert 0.25 < found.fraction < 0.4 and 15 < found.left_s < 25


def test_while_no_replica_is_up_no_time_left_is_claimed():
    """It grew from 2 to 12 minutes, with a range, while nothing moved."""
    down = replace(sampled(400), replicas=(ReplicaStats(0, "node"), ReplicaStats(1, "node")))
    found = outlook_of(Tally(), down, 10.0, num_rows=10, n=2, max_tokens=40)
    assert (found.fraction, found.left_s) == (0.5, None)


def test_a_finished_run_has_nothing_left():
    found = outlook_of(Tally(num_rows=3), sampled(0), 1.0, num_rows=3, n=2, max_tokens=9)
    assert found == Outlook(1.0, 0.0, 0.0, 0.0)


def test_without_a_token_no_time_is_known():
    found = outlook_of(Tally(), sampled(0), 1.0, num_rows=3, n=2, max_tokens=9)
    assert found == Outlook(0.0, None, None, None)


def test_the_spread_narrows_with_the_number_of_samples_that_ended():
    """1000 left: the quantiles of F(2000, 2 k) at 10 % and 90 %, k of them ended."""
    for k, low, high in ((10, 0.702, 1.609), (100, 0.878, 1.146), (1000, 0.944, 1.059)):
        tally, stats = ended(k, 50 * k), sampled(50 * k, 0, 50 * k)
        found = outlook_of(tally, stats, 1.0 * k, k + 1000, 1, max_tokens=10**6)
        spread = found.low_s / (1 - UNSTEADY), found.left_s, found.high_s / (1 + UNSTEADY)
        assert spread == pytest.approx((1000 * low, 1000, 1000 * high), rel=0.01)
        assert outlook_of(
            tally, stats, 1.0 * k, k + 1000, 1, max_tokens=50
        ).high_s == pytest.approx(1100)


def test_before_a_sample_ends_it_may_be_over_soon_or_last_to_max_tokens():
    """20 samples at token 20 of at most 40: one more token each, or 20."""
    found = outlook_of(Tally(), sampled(400, num_running=20), 10.0, 20, 1, max_tokens=40)
    assert (found.low_s, found.left_s, found.high_s) == pytest.approx((0.45, 10.0, 11.0))


def test_samples_that_wait_need_at_least_as_much_as_those_that_run_have():
    """10 run at token 20, with one more at least; 90 wait, with 20; at 40 tokens a second."""
    found = outlook_of(Tally(), sampled(200, num_running=10), 5.0, 100, 1, max_tokens=400)
    assert found.low_s == pytest.approx((90 * 20 + 10) / 40 * (1 - UNSTEADY))


def test_copies_of_a_greedy_sample_say_nothing_new_about_lengths():
    tally = Tally()
    for index in range(4):
        copies = Result(index, index, b"", num_new_samples=8, num_new_tokens=50, repeats=True)
        tally.add(copies)
    assert (tally.num_samples, tally.num_drawn) == (32, 4)
    own = outlook_of(tally, sampled(200, 0, 200), 1.0, num_rows=1000, n=8, max_tokens=600)
    tally.num_drawn = 32
    assert own.high_s > outlook_of(tally, sampled(200, 0, 200), 1.0, 1000, 8, 600).high_s


def test_the_last_samples_take_a_step_a_token_however_many_ran_before():
    """100 finished at 10 tokens a step; one is left: the average pace said 5 s instead of 50."""
    stats = EngineStats(num_output_tokens=5000, num_running=1, num_steps=500)
    found = outlook_of(ended(100, 5000), stats, 500.0, 101, 1, max_tokens=1000)
    assert found.left_s == pytest.approx(50, rel=0.01)
    assert found.low_s < 10 and 100 < found.high_s < 150


def test_the_upper_end_allows_for_the_longest_of_the_samples_left():
    """100 side by side, 50 tokens each on average: in 9 of 10 cases the longest has less than
    50 (log 100 + 2.25), in half of them 50 (log 100 + 0.37); 1000 lengths tell 50 to 4 %.
    """
    stats = EngineStats(num_output_tokens=50_000, num_running=100, num_steps=500)
    tally = ended(1000, 50_000)
    found = outlook_of(tally, stats, 50.0, 1100, 1, 10_000)
    assert (found.left_s, found.high_s) == pytest.approx((24.9, 34.3 * 1.04 * 1.1), abs=0.1)
    assert outlook_of(tally, stats, 50.0, 1100, 1, 80).high_s == pytest.approx(
        8.0 * 1.1
    )  # max_tokens


@pytest.mark.parametrize("num_seqs", [1, 8, 60])
def test_the_time_left_is_within_the_spread_in_about_eight_of_ten_runs_or_more(num_seqs):
    """1,000 simulated runs of 60 samples with exponential lengths, after about 2,000 tokens."""
    rng, inside = random.Random(1), 0
    for _ in range(1000):
        lengths = [int(rng.expovariate(1 / 100)) + 1 for _ in range(60)]
        waiting, running, tally, done = [*lengths], [], ended(0, 0), 0
        while done < 2000:
            while waiting and len(running) < num_seqs:
                running.append([waiting.pop()] * 2)  # its length, and the tokens left
            running = [[length, left - 1] for length, left in running]
            done += len(running)
            for length, _ in (each for each in running if not each[1]):
                tally = joined((tally, ended(1, length)))
            running = [each for each in running if each[1]]
        stats = sampled(done, len(running), tally.num_output_tokens)
        found = outlook_of(tally, stats, float(done), 60, 1, 10_000)
        inside += found.low_s <= sum(lengths) - done <= found.high_s
    assert inside > 760


def test_samples_that_ended_count_before_their_row_does():
    """Of rows with many samples none may end for minutes; the estimate was max_tokens till then."""
    stats = EngineStats(num_output_tokens=1000, num_running=10, num_ended_in_flight=100)
    found = outlook_of(Tally(), stats, 10.0, 20, 10, 4096)
    assert found.fraction == pytest.approx(0.5) and found.left_s == pytest.approx(10.0)


def capped_runs(num_runs=60, num_rows=16, n=8, num_seqs=64, max_tokens=200):
    """Yield outlooks on simulated runs at each quarter: the true share, the true steps left.

    Lengths are geometric with a mean of 300 tokens, so half of the samples reach max_tokens.
    A row ends with its last sample.
    """
    rng = random.Random(1)
    for _ in range(num_runs):
        lengths = [min(int(rng.expovariate(1 / 300)) + 1, max_tokens) for _ in range(num_rows * n)]
        starts, ends, free = [], [], [0] * num_seqs  # steps; samples start in order
        for length in lengths:
            start = free.pop(free.index(min(free)))
            starts.append(start)
            ends.append(start + length)
            free.append(start + length)
        for quarter in (0.25, 0.5, 0.75, 0.9):
            now = int(quarter * max(ends))
            tokens = [
                min(max(now - start, 0), size) for start, size in zip(starts, lengths, strict=True)
            ]
            is_over = [end <= now for end in ends]
            rows = [slice(n * i, n * i + n) for i in range(num_rows)]
            done = [row for row in rows if all(is_over[row])]
            tally = ended(n * len(done), sum(sum(tokens[row]) for row in done), len(done))
            stats = EngineStats(
                num_output_tokens=sum(tokens),
                num_steps=now,
                num_running=sum(s <= now < e for s, e in zip(starts, ends, strict=True)),
                num_running_tokens=sum(
                    t for t, over in zip(tokens, is_over, strict=True) if not over
                ),
                num_ended_in_flight=sum(is_over) - n * len(done),
            )
            found = outlook_of(tally, stats, float(now), num_rows, n, max_tokens)
            yield found, sum(tokens) / sum(lengths), max(ends) - now


def test_the_percent_is_close_to_the_true_share_where_max_tokens_binds():
    """Tokens of samples that ended before their row did were credited to those that run: 99 %."""
    for found, share, _ in capped_runs():
        assert abs(found.fraction - share) < 0.12


def test_the_time_left_is_within_the_spread_where_max_tokens_binds():
    inside = [found.low_s <= left <= found.high_s for found, _, left in capped_runs()]
    assert sum(inside) >= 0.8 * len(inside)
