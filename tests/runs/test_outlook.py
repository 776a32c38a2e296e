"""The time left and its spread, on hand-made counts."""

import random

import pytest

from rollout.engines.base import EngineStats
from rollout.rows.result import Result
from rollout.runs.outlook import Outlook, outlook_of
from rollout.runs.tally import Tally


def sampled(num_tokens, num_running=0):
    return EngineStats(num_output_tokens=num_tokens, num_running=num_running)


def ended(num_samples, num_tokens, num_rows=None):
    num_rows = num_samples if num_rows is None else num_rows
    return Tally(num_rows, 0, num_samples, num_samples, num_tokens)


def test_the_time_left_is_estimated_from_tokens_before_any_row_is_finished():
    """Estimated from rows it grew until the end: all rows of a small job run side by side."""
    found = outlook_of(Tally(), sampled(400), 10.0, num_rows=10, n=2, max_tokens=40)
    assert (found.fraction, found.left_s) == (0.5, 10.0)


def test_the_time_left_follows_the_length_of_finished_samples():
    tally = ended(1000, 10_000, num_rows=500)
    found = outlook_of(tally, sampled(10_000), 10.0, num_rows=1000, n=2, max_tokens=20)
    assert found.fraction == pytest.approx(0.5, abs=0.01)
    assert found.left_s == pytest.approx(10.0, abs=0.2)


def test_the_first_samples_to_end_are_short_and_not_typical():
    """With 3 of 32 rows done, the bar showed 96% and ETA 0:00 for half a minute."""
    tally = ended(12, 120, num_rows=3)
    found = outlook_of(tally, sampled(2500), 10.0, num_rows=32, n=4, max_tokens=64)
    assert 0.25 < found.fraction < 0.4 and 15 < found.left_s < 25


def test_a_finished_run_has_nothing_left():
    found = outlook_of(Tally(num_rows=3), sampled(0), 1.0, num_rows=3, n=2, max_tokens=9)
    assert found == Outlook(1.0, 0.0, 0.0, 0.0)


def test_without_a_token_no_time_is_known():
    found = outlook_of(Tally(), sampled(0), 1.0, num_rows=3, n=2, max_tokens=9)
    assert found == Outlook(0.0, None, None, None)


def test_the_spread_narrows_with_the_number_of_samples_that_ended():
    """1000 left: the quantiles of F(2000, 2 k) at 10 % and 90 %, k of them ended."""
    for k, low, high in ((10, 0.702, 1.609), (100, 0.878, 1.146), (1000, 0.944, 1.059)):
        tally, stats = ended(k, 50 * k), sampled(50 * k)
        found = outlook_of(tally, stats, 1.0 * k, k + 1000, 1, max_tokens=10**6)
        spread = found.low_s, found.left_s, found.high_s
        assert spread == pytest.approx((1000 * low, 1000, 1000 * high), rel=0.01)
        assert outlook_of(tally, stats, 1.0 * k, k + 1000, 1, max_tokens=50).high_s == 1000


def test_before_a_sample_ends_it_may_be_over_soon_or_last_to_max_tokens():
    """20 samples at token 20 of at most 40: one more token each, or 20."""
    found = outlook_of(Tally(), sampled(400, num_running=20), 10.0, 20, 1, max_tokens=40)
    assert (found.low_s, found.left_s, found.high_s) == (0.5, 10.0, 10.0)


def test_samples_that_wait_need_at_least_as_much_as_those_that_run_have():
    """10 run at token 20; 90 wait: at least 90 x 20 tokens are left, at 40 tokens a second."""
    found = outlook_of(Tally(), sampled(200, num_running=10), 5.0, 100, 1, max_tokens=400)
    assert found.low_s == pytest.approx(90 * 20 / 40)


def test_copies_of_a_greedy_sample_say_nothing_new_about_lengths():
    tally = Tally()
    for index in range(4):
        copies = Result(index, index, b"", num_new_samples=8, num_new_tokens=50, repeats=True)
        tally.add(copies)
    assert (tally.num_samples, tally.num_drawn) == (32, 4)
    own = outlook_of(tally, sampled(200), 1.0, num_rows=1000, n=8, max_tokens=600)
    tally.num_drawn = 32
    assert own.high_s > outlook_of(tally, sampled(200), 1.0, 1000, 8, 600).high_s


def test_the_last_samples_take_a_step_a_token_however_many_ran_before():
    """100 finished at 10 tokens a step; one is left: the average pace said 5 s instead of 50."""
    stats = EngineStats(num_output_tokens=5000, num_running=1, num_steps=500)
    found = outlook_of(ended(100, 5000), stats, 500.0, 101, 1, max_tokens=1000)
    assert found.left_s == pytest.approx(50, rel=0.01)
    assert found.low_s < 10 and 100 < found.high_s < 150


def test_the_upper_end_allows_for_the_longest_of_the_samples_left():
    """100 side by side, 50 tokens each on average: the longest has about 50 (log 100 + 0.58)."""
    stats = EngineStats(num_output_tokens=50_000, num_running=100, num_steps=500)
    tally = ended(1000, 50_000)
    assert outlook_of(tally, stats, 50.0, 1100, 1, 10_000).high_s == pytest.approx(25.9, abs=0.1)
    assert outlook_of(tally, stats, 50.0, 1100, 1, 80).high_s == pytest.approx(8.0)  # max_tokens


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
                tally.join(ended(1, length))
            running = [each for each in running if each[1]]
        found = outlook_of(tally, sampled(done, len(running)), float(done), 60, 1, 10_000)
        inside += found.low_s <= sum(lengths) - done <= found.high_s
    assert inside > 760


def test_samples_that_ended_count_before_their_row_does():
    """Of rows with many samples none may end for minutes; the estimate was max_tokens till then."""
    stats = EngineStats(num_output_tokens=1000, num_running=10, num_ended_in_flight=100)
    found = outlook_of(Tally(), stats, 10.0, 20, 10, 4096)
    assert found.fraction == pytest.approx(0.5) and found.left_s == pytest.approx(10.0)
