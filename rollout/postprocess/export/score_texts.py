"""Scores and intervals as text: in percent, or as plain numbers if they are large."""

import math
from collections.abc import Iterable, Mapping

from rollout.system.terminal import half_up, share_text

PERCENT_BELOW = 10.0  # a mean of points from 0 to 100, or of 1e308, is not a share


def is_percent(*values: float) -> bool:
    """Return whether these values are shown in percent."""
    return all(abs(value) < PERCENT_BELOW for value in values)


def score_text(value: float | None, percent: bool | None = None) -> str:
    """Return a score as text: 62.5%, 1.5e+308, or - for None; `percent` None: by its size."""
    if value is None:
        return "-"
    percent = is_percent(value) if percent is None else percent
    return share_text(value) if percent else f"{value:.4g}"


def column_texts(values: Iterable[float | None]) -> list[str]:
    """Return the values of one figure as text, all in the same unit."""
    values = list(values)
    percent = is_percent(*(value for value in values if value is not None))
    return [score_text(value, percent) for value in values]


def telling(values: Mapping[str, float | None]) -> list[str]:
    """Return the names of the figures that repeat no other.

    Of scores that are 0 or 1, the mean is pass@1, and the mean of the best of n is pass@n.
    """
    ks = [name for name in values if name.startswith("pass@")]
    twins = {"mean": ks[0], "best@n": ks[-1]} if ks else {}
    return [n for n in values if n not in twins or not _is_same(values[n], values[twins[n]])]


def _is_same(one: float | None, two: float | None) -> bool:
    return one == two or (None not in (one, two) and math.isclose(one, two, abs_tol=1e-9))


def between(low: float, high: float, percent: bool) -> str:
    """Return an interval as text, such as 54-71 in percent; with a negative end, `-5 to 3`."""
    ends = [half_up(100 * end) if percent else f"{end:.3g}" for end in (low, high)]
    return (" to " if ends[0].startswith("-") else "-").join(ends)


def percent_text(share: float) -> str:
    """Return a share from the settings as 95%, 99.9% or 0.01%."""
    return f"{100 * share:.6g}%"
