"""The pace of an engine from readings of its counters, and the time left on simulated engines."""

import random

import pytest

from rollout.engines.base import EngineStats
from rollout.runs.outlook import outlook_of
from rollout.runs.pace import Paces
from rollout.runs.tally import Tally

LENGTHS = {
    "exponential": lambda rng: rng.expovariate(1 / 100),
    "equal": lambda rng: 100,
    "uniform": lambda rng: rng.uniform(1, 200),
    "normal": lambda rng: rng.gauss(100, 15),
    "log-normal": lambda rng: rng.lognormvariate(4.2, 0.8),
    "at the cap": lambda rng: 10**6,
}
ENGINES = {"steps": (0.05, 0.0), "tokens": (0.0, 0.002), "both": (0.03, 0.0005)}


def moments(rng, lengths, max_num_seqs, per_step_s, per_token_s, n=8, first_s=10.0):
    """Simulate a run; yield its time, counters, tally and pace at every step."""
    waiting, running, left = list(enumerate(lengths)), {}, [n] * (len(lengths) // n)
    at_s, steps, tokens, tally, early, paces = 0.0, 0, 0, Tally(), 0, Paces()
    while waiting or running:
        while waiting and len(running) < max_num_seqs:
            running[waiting.pop(0)] = 0
        at_s += per_step_s * rng.uniform(0.9, 1.1) + per_token_s * len(running)
        at_s += 0 if steps else first_s
        steps, tokens = steps + 1, tokens + len(running)
        running = {key: had + 1 for key, had in running.items()}
        for index, length in [key for key, had in running.items() if had >= key[1]]:
            del running[index, length]
            row, early = index // n, early + 1
            left[row] -= 1
            if not left[row]:
                done, early = tally.num_rows + 1, early - n
                new = sum(lengths[n * row : n * row + n])
                tally = Tally(done, n * done, n * done, tally.num_output_tokens + new)
        stats = EngineStats(
            num_output_tokens=tokens,
            num_steps=steps,
            num_running=len(running),
            num_running_tokens=sum(running.values()),
            least_running_tokens=min(running.values(), default=0),
            num_ended_in_flight=early,
        )
        paces.add(at_s, stats)
        yield at_s, stats, tally, paces.now


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", LENGTHS)
def test_the_time_left_is_within_the_spread_in_eight_of_ten_moments_or_more(kind, engine):
    """It was three times too long, and its upper end ten times, after a first step of 10 s."""
    rng, inside, looks = random.Random(1), 0, 0
    for max_num_seqs, max_tokens in ((256, 200), (32, 200), (256, 10_000), (32, 10_000)):
        cap = 200 if kind == "at the cap" else max_tokens
        lengths = [min(max(int(LENGTHS[kind](rng)), 1), cap) for _ in range(320)]
        run = list(moments(rng, lengths, max_num_seqs, *ENGINES[engine]))
        for at_s, stats, tally, pace in run[10:-5:3]:
            found = outlook_of(tally, stats, pace, 40, 8, cap)
            if found.left_s is not None and tally.num_rows < 40:
                inside += found.low_s <= run[-1][0] - at_s <= found.high_s
                looks += 1
    assert inside >= 0.8 * looks > 100


def test_the_last_samples_need_no_more_than_max_tokens_leaves_them():
    """29 of 320 ran, all but done: the upper end was 58 s, for half a second."""
    rng = random.Random(1)
    lengths = [rng.choice((10, 25, 48)) for _ in range(320)]
    run = list(moments(rng, lengths, 256, *ENGINES["tokens"]))
    _, stats, tally, pace = next(each for each in run if each[1].num_running < 100)
    found = outlook_of(tally, stats, pace, 40, 8, 48)
    most = 48 - stats.least_running_tokens
    assert found.high_s <= 1.1 * pace.seconds(most, 48 * stats.num_running)


def test_the_pace_tells_steps_that_cost_the_same_from_tokens_that_do():
    for engine, (per_step_s, per_token_s) in ENGINES.items():
        rng = random.Random(1)
        lengths = [rng.randint(1, 200) for _ in range(320)]
        *_, pace = list(moments(rng, lengths, 256, per_step_s, per_token_s))[-1]
        assert pace.per_step_s == pytest.approx(per_step_s, rel=0.1, abs=0.002), engine
        assert pace.per_token_s == pytest.approx(per_token_s, rel=0.2, abs=0.0001), engine


def test_the_first_step_does_not_count():
    paces = Paces()
    for at_s, steps in ((10.0, 1), (10.6, 2), (11.2, 3)):
        paces.add(at_s, EngineStats(num_output_tokens=4 * steps, num_steps=steps))
    assert paces.now.seconds(1, 4) == pytest.approx(0.6)


def test_old_times_do_not_count():
    paces = Paces()
    for second in range(100):
        tokens = second if second < 40 else 40 + 10 * (second - 40)
        paces.add(float(second), EngineStats(num_output_tokens=tokens))
    assert paces.now.per_token_s == pytest.approx(0.1)


def test_no_pace_is_known_before_a_second_step():
    paces = Paces()
    paces.add(10.0, EngineStats(num_output_tokens=4, num_steps=1))
    paces.add(15.0, EngineStats(num_output_tokens=4, num_steps=1))
    assert paces.now is None
