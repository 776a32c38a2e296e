"""Which pairs of points differ by more than chance."""

import numpy as np
from scored_points import rows

from rollout.report.sweep.pairs import MAX_POINTS, pairs_table
from rollout.report.sweep.ranking import rank

SCORE = "scores.pass@1"


def cells(table, one, other):
    return next(list(row.cells[2:]) for row in table.rows if list(row.cells[:2]) == [one, other])


def test_two_points_that_differ_are_told_apart_where_the_first_is_not(scored):
    """The page said only that the highest point is not distinguishable from any other."""
    noisy = np.array([8] * 14 + [0] * 26)  # as greedy sampling: a row is all right or all wrong
    high, low = np.array([3, 2] * 20), np.array([1, 2] * 20)
    points = [scored("noisy", noisy), scored("high", high), scored("low", low)]
    found = rank(points, SCORE)
    assert found.star is None and found.ranked[1].name == "high"
    table = pairs_table(found.ranked, SCORE)
    assert cells(table, "high", "low")[::2] == ["+12.5", "yes"]
    assert cells(table, "noisy", "high")[2] == "not known"
    assert abs(table.rows[0].sort_keys[2]) >= abs(table.rows[-1].sort_keys[2])
    assert "over the same 40 rows, 95% for each pair" in table.note


def test_equal_points_have_no_signed_zero_and_only_the_first_points_are_compared(scored):
    points = [scored(f"p{i}", rows(0.5)) for i in range(MAX_POINTS + 1)]
    table = pairs_table(points, SCORE)
    assert len(table.rows) == MAX_POINTS * (MAX_POINTS - 1) // 2
    assert set(table.rows[0].cells[2:]) == {"0.0", "0.0 to 0.0", "not known"}
    assert f"The first {MAX_POINTS} of {MAX_POINTS + 1} points" in table.note


def test_there_is_no_table_for_two_points_or_other_figures(scored):
    points = [scored(name, rows(0.5)) for name in "abc"]
    assert pairs_table(points[:2], SCORE) is None
    assert pairs_table(points, "mean_response_tokens") is None
    for point in points:
        (point.run_dir / "scored.parquet").unlink()
    assert pairs_table(points, SCORE) is None
