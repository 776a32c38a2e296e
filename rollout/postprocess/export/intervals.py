"""Confidence intervals of means over prompts, and of differences of two such means.

Takes one number per row; the same numbers give the same intervals. Must not know about files or
texts.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, nan, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

HELD_DRAWS = 1 << 21  # numbers drawn at once
MAX_DISTINCT = 20_000
EXACT = 12  # decimals; smaller differences are rounding errors
LARGE = 1e100  # larger values are scaled, so that arithmetic can't overflow
MAX = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Difference:
    """One mean minus another over the same rows, with its interval."""

    value: float
    low: float
    high: float
    num_rows: int
    confidence: float
    is_told_apart: bool


def mean(values: "Sequence[float]") -> float:
    """Return the mean of at least one value; it can't overflow. NaN of opposite infinities."""
    try:
        return fsum(values) / len(values)
    except ValueError:  # inf - inf, in a file that another program wrote
        return nan
    except OverflowError:
        return fsum(value / len(values) for value in values)


def _scale(*arrays: "np.ndarray") -> float:
    """Return the divisor with which arithmetic with the values can't overflow; mostly 1."""
    import numpy as np

    largest = max((float(np.abs(values).max()) for values in arrays if len(values)), default=0.0)
    return largest if largest > LARGE else 1.0


def _unscaled(value: float, scale: float) -> float:
    """Return a scaled value times `scale`, limited to finite numbers."""
    return value if scale == 1.0 else max(-MAX, min(MAX, value * scale))


def interval(
    values: "np.ndarray", confidence: float, resamples: int, seed: int, is_share: bool = False
) -> tuple[float, float] | None:
    """Return the bootstrap interval of the mean, resampling prompts; values without NaN.

    Return None without resamples, if a value is infinite (another program wrote it), and if all
    rows are equal, since a bootstrap then sees no spread.
    But with `is_share` (all values from 0 to 1), rows that are all 0 or all 1 get the exact limits
    of Clopper and Pearson (1934): the mean of such values is at most the chance that one is not 0.
    The quantiles are those of the expanded percentile bootstrap, since the plain one is too narrow
    for few rows (Hesterberg 2015, The American Statistician 69(4)).

    The counts of the distinct values are drawn (a multinomial): the same bootstrap in less memory.
    Above 20,000 distinct values the mean of a resample is practically normal, and the normal
    interval is returned.
    """
    import numpy as np

    if not resamples or not len(values) or not np.isfinite(values).all():
        return None
    if (scale := _scale(values)) != 1.0:
        found = interval(values / scale, confidence, resamples, seed, is_share)
        return found and (_unscaled(found[0], scale), _unscaled(found[1], scale))
    distinct, counts = np.unique(np.round(values, EXACT), return_counts=True)
    if len(distinct) == 1:
        if not is_share or distinct[0] not in (0, 1):
            return None
        room = 1 - ((1 - confidence) / 2) ** (1 / len(values))
        return (0.0, room) if distinct[0] == 0 else (1 - room, 1.0)
    if len(distinct) > MAX_DISTINCT:
        half = NormalDist().inv_cdf((1 + confidence) / 2) * values.std() / np.sqrt(len(values))
        return float(values.mean() - half), float(values.mean() + half)
    draw = np.random.default_rng(seed)
    at_once = max(1, HELD_DRAWS // len(distinct))
    means = [
        draw.multinomial(len(values), counts / len(values), size=min(at_once, resamples - done))
        @ distinct
        / len(values)
        for done in range(0, resamples, at_once)
    ]
    tail = _tail(len(values), confidence)
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def _tail(num_rows: int, confidence: float) -> float:
    """Return the share of resamples to cut at each end: less than (1 - confidence) / 2."""
    z, free = NormalDist().inv_cdf((1 + confidence) / 2), num_rows - 1
    t = (  # Student's quantile by its expansion (Abramowitz and Stegun 26.7.5)
        z
        + (z**3 + z) / (4 * free)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    )
    return NormalDist().cdf(-t * sqrt(num_rows / free))


def difference(
    one: "np.ndarray", other: "np.ndarray", confidence: float, resamples: int, seed: int
) -> Difference | None:
    """Compare two figures row by row with a paired bootstrap; None without resamples or rows.

    The arrays are aligned and without NaN. The figures are told apart if the interval of the mean
    difference excludes 0 (Koehn 2004, EMNLP; Miller 2024, arXiv 2411.00640) and enough rows differ
    for any test: all of d differing rows favor one side by chance with 2^(1-d), so 6 for 95 %.
    """
    import numpy as np

    if not resamples or not len(one):
        return None
    scale = _scale(one, other)
    by_row = np.round(one / scale - other / scale, EXACT)
    value = float(by_row.mean())
    low, high = interval(by_row, confidence, resamples, seed) or (value, value)
    enough = 2.0 ** (1 - int(np.count_nonzero(by_row))) <= 1 - confidence
    is_told_apart = enough and not low <= 0 <= high
    ends = (_unscaled(number, scale) for number in (value, low, high))
    return Difference(*ends, len(by_row), confidence, is_told_apart)
