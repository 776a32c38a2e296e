"""How far a run is and how long it still takes, with a spread. Pure: no clock, no engine.

Work is counted in tokens, because all rows may run side by side and end together.
"""

from dataclasses import dataclass
from math import log, sqrt

from rollout.engines.base import EngineStats
from rollout.runs.tally import Tally

EULER = 0.5772  # the Euler-Mascheroni constant
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
    max_tokens.

    The spread is that of the tokens left under this model, see `_spread`, and at the lower end
    also allows for samples that are all about as long: they need no more than the mean of the
    finished ones, or than those that run have by now if none is finished. The upper end allows
    for the last sample to end, which decides how long a tail is: the longest of m exponential
    lengths is log m + EULER times the mean, and gets a token a step.
    """
    if tally.num_rows >= num_rows:
        return Outlook(1.0, 0.0, 0.0, 0.0)
    early = stats.num_ended_in_flight  # their rows are not finished
    num_left = max((num_rows - tally.num_rows) * n - early, 1)
    done, num_ended = stats.num_output_tokens, tally.num_samples + early
    mean = done / num_ended if num_ended else max_tokens
    begun = max(done - tally.num_output_tokens, 0) / num_left  # tokens that each has already

    def tokens_left(expected: float) -> float:
        return num_left * max(min(expected, max_tokens - begun), 1)

    left = tokens_left(mean)
    if not done:
        return Outlook(0.0, None)
    least, most = _spread(num_left, max(tally.num_drawn + early, 1))
    alike = done / max(stats.num_running + early, 1)
    if tally.num_samples:
        alike = tally.num_output_tokens / tally.num_samples
    low = min(left, tokens_left(mean * least), tokens_left(alike - begun))
    high = max(left, tokens_left(mean * most))
    pace, step_s = elapsed_s / done, _step_s(stats, elapsed_s)

    def seconds(tokens: float) -> float:  # samples side by side: none gets more than one a step
        return max(tokens * pace, tokens / num_left * step_s)

    last_s = min(mean * (log(max(num_left, 1)) + EULER), max_tokens) * step_s
    high_s = max(seconds(high), last_s)
    return Outlook(done / (done + left), seconds(left), seconds(low), high_s)


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
