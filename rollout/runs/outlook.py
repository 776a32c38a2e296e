"""How far a run is and how long it still takes, with a spread. Pure: no clock, no engine.

Work is counted in tokens, because all rows may run side by side and end together.
"""

from dataclasses import dataclass
from math import log, sqrt

from rollout.engines.base import EngineStats
from rollout.runs.tally import Tally

EULER = 0.5772  # the Euler-Mascheroni constant, the mean of Gumbel's distribution
GUMBEL_90 = 2.2504  # its 90 % quantile
QUANTILE = 1.2816  # of the standard normal at 90 %: eight in ten lie between -QUANTILE and it


@dataclass(frozen=True, slots=True)
class Outlook:
    """The fraction done (0 to 1), and the seconds left; None: no rate is known yet.

    The time left is between `low_s` and `high_s` in about eight of ten runs or more, if tokens
    come as fast as so far.
    """

    fraction: float
    left_s: float | None
    low_s: float | None = None
    high_s: float | None = None


def outlook_of(
    tally: Tally, stats: EngineStats, elapsed_s: float, num_rows: int, n: float, max_tokens: int
) -> Outlook:
    """Return the outlook on `num_rows` rows of `n` samples after `elapsed_s` of generation.

    A sample is assumed to end at each token with the chance seen so far: ends / tokens of all
    samples, the maximum-likelihood rate while some still run (the mean length of the finished
    ones is biased: short samples finish first). Before any sample ends, its expected length is
    max_tokens. It gets no longer than max_tokens: those that run have a part of that already, those
    that wait have nothing.

    The spread is that of the tokens left under this model, see `_spread`, and at the lower end
    also allows for samples that are all about as long: they need no more than the mean of the
    finished ones, or than those that run have by now if none is finished.

    The last sample to end decides how long a tail is, and gets a token a step. It starts when the
    queue is empty, as places become free at the mean length. The longest of m exponential lengths
    is the mean times log m and a value of Gumbel's distribution.
    """
    if tally.num_rows >= num_rows:
        return Outlook(1.0, 0.0, 0.0, 0.0)
    early = stats.num_ended_in_flight  # their rows are not finished
    num_left = max((num_rows - tally.num_rows) * n - early, 1)
    done, num_ended = stats.num_output_tokens, tally.num_samples + early
    mean = done / num_ended if num_ended else max_tokens
    in_flight = stats.num_running_tokens
    running = max(stats.num_running or num_left, in_flight / max_tokens)  # preempted ones count too
    running = min(running, num_left)
    begun = in_flight / running  # tokens that each of those has already

    def tokens_left(expected: float, expected_running: float | None = None) -> float:
        further = expected if expected_running is None else expected_running
        of_running = running * max(min(further, max_tokens - begun), 1)
        return of_running + (num_left - running) * max(min(expected, max_tokens), 1)

    left = tokens_left(mean)
    if not done:
        return Outlook(0.0, None)
    if stats.replicas and not any(replica.is_up for replica in stats.replicas):
        return Outlook(done / (done + left), None)  # until an engine is up again
    least, most = _spread(num_left, max(tally.num_drawn + early, 1))
    alike = done / max(stats.num_running + early, 1)
    if tally.num_samples:
        alike = tally.num_output_tokens / tally.num_samples
    low = min(left, tokens_left(mean * least), tokens_left(alike, alike - begun))
    high = max(left, tokens_left(mean * most))
    pace, step_s = elapsed_s / done, _step_s(stats, elapsed_s)

    def seconds(tokens: float) -> float:  # samples side by side: none gets more than one a step
        return max(tokens * pace, tokens / num_left * step_s)

    num_waiting = num_left - running

    def last_end_s(quantile: float, gumbel: float, longest: float) -> float:
        queued = num_waiting + quantile * sqrt(num_waiting)
        queue_steps = queued * min(mean, max_tokens) / running
        return (queue_steps + min(mean * (log(max(running, 1)) + gumbel), longest)) * step_s

    left_s = max(seconds(left), last_end_s(0, EULER, max(max_tokens - begun, 1)))
    high_s = max(seconds(high), last_end_s(QUANTILE, GUMBEL_90, max_tokens), left_s)
    return Outlook(done / (done + left), left_s, seconds(low), high_s)


def _step_s(stats: EngineStats, elapsed_s: float) -> float:
    """Return the mean seconds of an engine's step; 0 if no step was counted."""
    num_engines = sum(replica.num_output_tokens > 0 for replica in stats.replicas) or 1
    return elapsed_s * num_engines / stats.num_steps if stats.num_steps else 0.0


def _spread(num_left: float, num_ended: float) -> tuple[float, float]:
    """Return the 10 % and 90 % quantiles of the tokens left, as multiples of the estimate.

    The rate of ends is uncertain, as a Gamma of shape `num_ended` (a relative error of about
    1 / sqrt(num_ended)), and so is the sum of `num_left` exponential lengths, a Gamma too. Their
    ratio has an F distribution with 2 num_left and 2 num_ended degrees of freedom; its quantiles
    are Paulson's (An Approximate Normalization of the Analysis of Variance Distribution, Annals of
    Mathematical Statistics 13 (1942), 233-235), after Wilson and Hilferty's cube root.
    """
    a, b = 1 / (9 * max(num_left, 1)), 1 / (9 * num_ended)
    middle, square = (1 - a) * (1 - b), QUANTILE**2
    half = QUANTILE * sqrt(a * (1 - b) ** 2 + b * (1 - a) ** 2 - a * b * square)
    below = (1 - b) ** 2 - b * square
    return max((middle - half) / below, 0.0) ** 3, ((middle + half) / below) ** 3
