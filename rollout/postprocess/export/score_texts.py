"""Scores and intervals as text: in percent, or as plain numbers if they are large."""

PERCENT_BELOW = 10.0  # a mean of points from 0 to 100, or of 1e308, is not a share


def is_percent(*values: float) -> bool:
    """Return whether these values are shown in percent."""
    return all(abs(value) < PERCENT_BELOW for value in values)


def score_text(value: float | None) -> str:
    """Return a score as text: 62.5%, 1.5e+308, or - for None."""
    if value is None:
        return "-"
    return f"{value:.1%}" if is_percent(value) else f"{value:.4g}"


def between(low: float, high: float, percent: bool) -> str:
    """Return an interval as text, such as 54-71 in percent; with a negative end, `-5 to 3`."""
    ends = [f"{100 * end:.0f}" if percent else f"{end:.3g}" for end in (low, high)]
    return (" to " if low < 0 else "-").join(ends)


def percent_text(share: float) -> str:
    """Return a share from the settings as 95%, 99.9% or 0.01%."""
    return f"{100 * share:.6g}%"
