"""Which pairs of a sweep's points differ in a score by more than chance, as a table.

The ranking compares the first point with each other one; two others may differ where the first,
which is the highest by chance too, is not distinguishable from either.
"""

import itertools
from collections.abc import Sequence

from rollout.postprocess.export.intervals import Difference
from rollout.postprocess.export.score_texts import percent_text
from rollout.report.page import Table, TableColumn, TableRow
from rollout.report.sweep.points import SCORES, Point, is_share
from rollout.report.sweep.rows import Unreadable, compared
from rollout.system.safe_text import printable

MAX_POINTS = 8  # the highest ones; 28 pairs


def pairs_table(ranked: Sequence[Point], objective: str) -> Table | None:
    """Return a row per pair of the first points of a ranking, the largest difference first.

    None for fewer than three points (the ranking's note has it), and for a figure that is no score
    or has no value per row. A pair that can't be compared is left out.
    """
    figure = objective.removeprefix(f"{SCORES}.")
    if figure == objective or len(ranked) < 3:
        return None
    rows, made = [], []
    for one, other in itertools.combinations(ranked[:MAX_POINTS], 2):
        try:
            found = compared(one, other, figure)
        except Unreadable:  # the ranking names it
            continue
        if found is not None:
            made.append(found)
            rows.append(_row(one, other, found, figure))
    if not made:
        return None
    rows.sort(key=lambda row: -abs(row.sort_keys[2]))
    return Table(
        [
            TableColumn("point"),
            TableColumn("compared with"),
            TableColumn(f"difference of {figure}", True),
            TableColumn("interval", True),
            TableColumn("differ"),
        ],
        rows,
        _note(made, len(ranked)),
    )


def _row(one: Point, other: Point, found: Difference, figure: str) -> TableRow:
    low, high = _signed(found.low, figure), _signed(found.high, figure)
    verdict = "yes" if found.is_told_apart else "not known"
    cells = [one.name, other.name, _signed(found.value, figure), f"{low} to {high}", verdict]
    return TableRow(
        [printable(cell) for cell in cells],
        [one.name, other.name, found.value, found.low, verdict],
    )


def _signed(value: float, figure: str) -> str:
    """Return `+9.4` percentage points of a share, or `-0.31` of another score; never -0.0."""
    text = f"{100 * value:+.1f}" if is_share(figure) else f"{value:+.3g}"
    return text.lstrip("+-") if float(text) == 0 else text


def _note(made: Sequence[Difference], num_points: int) -> str:
    numbers = sorted({found.num_rows for found in made})
    rows = f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,} to {numbers[-1]:,}"
    level = made[0].confidence
    note = (
        f"Percentage points for shares. Paired bootstrap over the same {rows} rows, "
        f"{percent_text(level)} for each pair by itself: of many pairs that are equal, about "
        f"{percent_text(1 - level)} would be said to differ."
    )
    if num_points > MAX_POINTS:
        note += f" The first {MAX_POINTS} of {num_points:,} points are compared."
    return note
