"""Length against pass rate: points of rows, tenths of rows by length, and right against wrong.

Must not know about files.
"""

from typing import TYPE_CHECKING

from rollout.postprocess.export.intervals import difference
from rollout.postprocess.export.score_texts import percent_text
from rollout.report.charts import Chart, Format, Kind, Series
from rollout.report.score_charts import estimated, interval_note
from rollout.report.scored_rows import NAMES, RIGHT, Scores
from rollout.system.terminal import counted, share_text

if TYPE_CHECKING:
    import numpy as np

MAX_POINTS, SEED = 2_000, 42
NUM_BINS, MIN_BIN_ROWS = 10, 10
MUCH_CUT = 0.1  # share of samples from which cut-off lengths get a warning
NOT_RIGHT = [NAMES.index(name) for name in ("wrong", "no_answer", "cut_off")]


def lengths_and_rates(scores: Scores) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
    """Return rows, the mean tokens of each row's samples that count, and its pass rate.

    By ascending length; rows without such a sample, or whose lengths are null, are left out.
    """
    import numpy as np

    s, counts = scores.samples, scores.counts
    total = np.bincount(s.row[counts], weights=s.tokens[counts], minlength=s.num_rows)
    n, c = scores.by_row()
    rows = np.flatnonzero((n > 0) & ~np.isnan(total))
    lengths, rates = total[rows] / n[rows], c[rows] / n[rows]
    order = np.argsort(lengths, kind="stable")
    return rows[order], lengths[order], rates[order]


def points_chart(scores: Scores) -> Chart:
    """Return a point per row: mean tokens against pass rate."""
    import numpy as np

    rows, lengths, rates = lengths_and_rates(scores)
    num_rows = len(rows)
    note = f"Each point is a row; {counted(num_rows, 'row')} with scored samples."
    if num_rows > MAX_POINTS:
        chosen = np.random.default_rng(SEED).choice(num_rows, MAX_POINTS, replace=False)
        rows, lengths, rates = (values[np.sort(chosen)] for values in (rows, lengths, rates))
        note = f"Each point is a row; {MAX_POINTS:,} of {num_rows:,} rows, drawn at random."
    numbers = np.asarray(scores.numbers)[rows]
    return Chart(
        "length_pass_rate",
        "Length against pass rate",
        "mean tokens of a row's responses",
        "pass rate",
        lengths.tolist(),
        [Series("rows", rates.tolist(), Kind.points, labels=[f"row {i}" for i in numbers])],
        y_format=Format.percent,
        note=note,
    )


def bins_chart(scores: Scores) -> Chart | None:
    """Return the mean pass rate of tenths of the rows by length; None for too few rows."""
    import numpy as np

    _, lengths, rates = lengths_and_rates(scores)
    num_bins = min(NUM_BINS, len(lengths) // MIN_BIN_ROWS)
    if num_bins < 2:
        return None
    inner = np.quantile(lengths, np.linspace(0, 1, num_bins + 1)[1:-1])
    place = np.searchsorted(np.unique(inner), lengths, side="right")
    found = [place == number for number in np.unique(place)]
    if len(found) < 2:
        return None
    points = [estimated(rates[here], scores, is_share=True) for here in found]
    value, low, high = (list(ends) for ends in zip(*points, strict=True))
    series = [Series("rows", value, Kind.points, low, high)]
    return Chart(
        "pass_rate_by_length",
        "Pass rate by length",
        "mean tokens of a row's responses",
        "mean pass rate",
        list(range(len(found))),
        series,
        ticks=[_range(lengths[here]) for here in found],
        y_format=Format.percent,
        note=(
            f"Rows in {len(found)} bins of about {round(len(lengths) / len(found)):,} rows by "
            f"length. {interval_note(scores, series)}"
        ),
    )


def _range(lengths: "np.ndarray") -> str:
    low, high = f"{lengths[0]:,.0f}", f"{lengths[-1]:,.0f}"
    return low if low == high else f"{low}-{high}"


def right_and_wrong(scores: Scores) -> str | None:
    """Say how the lengths of right and other samples differ within rows that have both."""
    import numpy as np

    s = scores.samples
    is_right, is_other = s.verdict == RIGHT, np.isin(s.verdict, NOT_RIGHT)
    means = []
    for chosen in (is_other, is_right):
        with np.errstate(invalid="ignore", divide="ignore"):
            total = np.bincount(s.row[chosen], weights=s.tokens[chosen], minlength=s.num_rows)
            means.append(total / np.bincount(s.row[chosen], minlength=s.num_rows))
    both = ~np.isnan(means[0]) & ~np.isnan(means[1])
    e = scores.estimate
    found = difference(means[0][both], means[1][both], e.confidence, e.resamples, e.seed)
    if found is None:
        return None
    percent = percent_text(found.confidence)
    word = "longer" if found.value >= 0 else "shorter"
    ends = sorted((abs(found.low), abs(found.high)))
    if found.is_told_apart:
        return (
            f"In the {found.num_rows:,} rows that have right samples and others, those that are "
            f"not right are {abs(found.value):,.1f} tokens {word} on average ({percent} interval "
            f"{ends[0]:,.1f} to {ends[1]:,.1f})."
        )
    return (
        f"In the {found.num_rows:,} rows that have right samples and others, their lengths do not "
        f"differ for certain: those that are not right are {abs(found.value):,.1f} tokens {word} "
        f"on average ({percent} interval of the difference {found.low:,.1f} to {found.high:,.1f})."
    )


def cut_note(scores: Scores) -> str | None:
    """Warn if so many samples were cut off that their lengths and scores say little."""
    import numpy as np

    s = scores.samples
    if s.is_cut is None or not len(s.is_cut) or s.is_cut.mean() <= MUCH_CUT:
        return None
    others = np.isin(s.verdict, NOT_RIGHT)
    of_others = (
        f", {share_text(s.is_cut[others].mean())} of those that are not right"
        if others.any()
        else ""
    )
    return (
        f"{share_text(s.is_cut.mean())} of the samples were cut off (finish_reason=length)"
        f"{of_others}: their lengths are only lower bounds, and a larger sampling.max_tokens may "
        "raise the pass rate (continue_truncated=true continues them)."
    )
