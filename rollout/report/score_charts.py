"""Charts of scores: pass@k, solved within k, pass rates, groups, and graded scores.

Intervals are those of the scoring: a bootstrap over rows (intervals.py), since samples of one row
are not independent. Must not know about files.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rollout.postprocess.export.estimates import Group, Value
from rollout.postprocess.export.intervals import LARGE, interval, mean
from rollout.postprocess.export.score_texts import percent_text
from rollout.report.charts import Chart, Format, Kind, Series
from rollout.report.recorded import ks_in
from rollout.report.scored_rows import RIGHT, Scores
from rollout.report.values import AT_THE_ENDS
from rollout.system.terminal import counted, share_text

if TYPE_CHECKING:
    import numpy as np

MAX_GROUPS = 8  # lines in a chart
MAX_TICKS = 32  # samples a row, up to which each pass rate has its own bar
AS_DRAWN = "the first k, as drawn"
CHEN = "Chen et al. 2021, arXiv 2107.03374"


def ks_of(group: Group) -> list[int]:
    """Return the k for which the group has pass@k, ascending."""
    return ks_in(name for name, value in group.values.items() if value.value is not None)


def pass_at_k_chart(scores: Scores) -> Chart | None:
    """Return pass@k of all rows and of the largest groups; None if there is only one k."""
    ks = ks_of(scores.everything)
    if len(ks) < 2:
        return None
    groups = scores.groups[1:]
    shown = set(map(id, sorted(groups, key=lambda g: -g.num_rows)[:MAX_GROUPS]))
    lines = [("all rows", scores.everything)]
    lines += [(", ".join(g.name.values()), g) for g in groups if id(g) in shown]
    series = [_estimates(name, _passes(group, ks)) for name, group in lines]
    note = (
        "The chance that at least one of k samples of a row is right, by the unbiased estimate "
        f"from all its samples ({CHEN}). {interval_note(scores, series)}"
    )
    if len(groups) > MAX_GROUPS:
        note += f" The {MAX_GROUPS} largest of {len(groups):,} groups are shown."
    return Chart(
        "pass_at_k",
        "pass@k",
        "k, samples a row",
        "rows solved",
        ks,
        series,
        x_format=_k_format(ks),
        y_format=Format.percent,
        note=note,
    )


def _passes(group: Group, ks: Sequence[int]) -> list[Value | None]:
    return [group.values.get(f"pass@{k}") for k in ks]


def _estimates(name: str, values: Sequence[Value | None], kind: Kind = Kind.line) -> Series:
    """Return the series of estimates with their intervals."""
    return Series(
        name,
        [v and v.value for v in values],
        kind,
        [v and v.low for v in values],
        [v and v.high for v in values],
    )


def _k_format(ks: Sequence[int]) -> Format:
    return Format.log if ks[-1] > 16 else Format.number


def interval_note(scores: Scores, series: Sequence[Series], of: str = "") -> str:
    """Return how the intervals of these series, which are shares, were found."""
    if not scores.estimate.resamples:
        return "No intervals were estimated (postprocess.estimate.resamples=0)."
    percent = percent_text(scores.estimate.confidence)
    note = f"Intervals{of}: {percent}, by a bootstrap over rows."
    ends = (v for one in series if one.low for v, low in _pairs(one) if low is not None)
    return f"{note} {AT_THE_ENDS}" if any(v in (0.0, 1.0) for v in ends) else note


def _pairs(series: Series) -> Iterable[tuple[float | None, float | None]]:
    return zip(series.values, series.low or (), strict=True)


def solved_within(scores: Scores, k: int) -> "np.ndarray":
    """Return 1 or 0 for each row: whether one of its first k samples that count is right.

    The samples are in the order drawn. NaN for a row with fewer than k samples that count.
    """
    import numpy as np

    samples, counts = scores.samples, scores.counts
    row, is_right = samples.row[counts], samples.verdict[counts] == RIGHT
    n = np.bincount(row, minlength=samples.num_rows)
    place = np.arange(len(row)) - (np.cumsum(n) - n)[row]  # among the row's samples that count
    solved = np.bincount(row[is_right & (place < k)], minlength=samples.num_rows) > 0
    return np.where(n >= k, solved.astype(float), np.nan)


def solved_chart(scores: Scores) -> Chart | None:
    """Return the share of rows solved within their first k samples, beside pass@k."""
    import numpy as np

    ks = ks_of(scores.everything)
    if len(ks) < 2:
        return None
    points = []
    for k in ks:
        values = solved_within(scores, k)
        points.append(estimated(values[~np.isnan(values)], scores, is_share=True))
    value, low, high = (list(ends) for ends in zip(*points, strict=True))
    drawn = Series(AS_DRAWN, value, Kind.points, low, high)
    return Chart(
        "solved_within_k",
        "Solved within k samples",
        "k, samples a row",
        "rows solved",
        ks,
        [
            drawn,
            Series("pass@k", [v and v.value for v in _passes(scores.everything, ks)]),
        ],
        x_format=_k_format(ks),
        y_format=Format.percent,
        note=(
            "As drawn, the points: the share of rows with a right one among their first k samples "
            "that count, among rows with at least k. pass@k, the line, is its expectation over all "
            f"orders of the samples ({CHEN}), so the two differ by chance only. "
            f"{interval_note(scores, [drawn], ' of the points')}"
        ),
    )


def estimated(
    values: "np.ndarray", scores: Scores, is_share: bool = False
) -> tuple[float | None, float | None, float | None]:
    """Return the mean over rows with the ends of its interval, by the scoring's rule."""
    if not len(values):
        return None, None, None
    e = scores.estimate
    low, high = interval(values, e.confidence, e.resamples, e.seed, is_share) or (None, None)
    return mean(values.tolist()), low, high


def group_chart(scores: Scores) -> Chart | None:
    """Return pass@1 of each group as bars; None if there are none, or too many."""
    groups = scores.groups[1:]
    if not 2 <= len(groups) <= MAX_TICKS:
        return None
    values = [group.values.get("pass@1") for group in groups]
    if all(v is None or v.value is None for v in values):
        return None
    series = [_estimates("pass@1", values, Kind.bars)]
    return Chart(
        "pass_at_1_by_group",
        "pass@1 by " + ", ".join(groups[0].name),
        ", ".join(groups[0].name),
        "pass@1",
        list(range(len(groups))),
        series,
        ticks=[", ".join(group.name.values()) for group in groups],
        y_format=Format.percent,
        note=interval_note(scores, series),
    )


def rate_chart(scores: Scores) -> Chart | None:
    """Return how many rows have which pass rate; None if no sample counts."""
    import numpy as np

    n, c = scores.by_row()
    if not n.any():
        return None
    n, c = n[n > 0], c[n > 0]
    if n.min() == n.max() <= MAX_TICKS:
        size = int(n[0])
        ticks = [f"{right}/{size}" for right in range(size + 1)]
        place = c
    else:
        ticks = ["0%", *(f"{10 * i}-{10 * i + 10}%" for i in range(10)), "100%"]
        place = np.where(c == 0, 0, np.where(c == n, 11, 1 + np.minimum(9, 10 * c // n)))
    numbers = np.bincount(place, minlength=len(ticks))
    never, always = int((c == 0).sum()), int((c == n).sum())
    note = (
        f"No sample is right in {counted(never, 'row')} ({share_text(never / len(n))}), all are in "
        f"{counted(always, 'row')} ({share_text(always / len(n))}). Rewards of right and wrong do "
        "not differ within such a row, so it has no group-relative advantage (GRPO: Shao et al. "
        "2024, arXiv 2402.03300)."
    )
    if left_out := scores.samples.num_rows - len(n):
        note += f" Left out: {counted(left_out, 'row')} without a sample that counts."
    return Chart(
        "pass_rates",
        "Rows by pass rate",
        "right samples of a row",
        "rows",
        list(range(len(ticks))),
        [Series("rows", numbers.astype(float).tolist(), Kind.bars)],
        ticks=ticks,
        note=note,
    )


def score_chart(scores: Scores) -> Chart | None:
    """Return the histogram of scores that are not just 0 and 1; None if they are, or too large."""
    import numpy as np

    known = scores.samples.score[~np.isnan(scores.samples.score)]
    values = known[np.abs(known) <= LARGE]
    if not scores.is_graded or not len(values):
        return None
    edges = np.unique(np.linspace(values.min(), values.max(), 21))
    if len(edges) < 2:
        edges = np.array([edges[0], max(edges[0] + 1, np.nextafter(edges[0], np.inf))])
    numbers, _ = np.histogram(values, edges)
    name = scores.everything.values.get("mean")
    bins = counted(len(numbers), "bin")
    note = f"{counted(len(values), 'sample')} with a score, in {bins} of equal width."
    if left_out := len(known) - len(values):
        note += f" Not drawn: {counted(left_out, 'score')} above {LARGE:g} in size, or infinite."
    if name is not None and name.value is not None:
        span = "" if name.low is None else f" ({name.low:.4g} to {name.high:.4g})"
        note += f" Mean over {name.num_rows:,} rows: {name.value:.4g}{span}."
        note += f" {interval_note(scores, ())}"
    return Chart(
        "scores",
        "Scores",
        "score",
        "samples",
        ((edges[:-1] + edges[1:]) / 2).tolist(),
        [Series("samples", numbers.astype(float).tolist(), Kind.bars)],
        note=note,
    )
