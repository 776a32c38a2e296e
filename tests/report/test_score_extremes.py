"""Scores of any size: what a page draws and writes of them."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scored_files import verdict_file

from rollout.postprocess.export.estimates import Value
from rollout.report.samples import rows_of_file
from rollout.report.score_charts import score_chart
from rollout.report.score_tables import span
from rollout.report.scored_rows import read_scores

INF, NAN, MOST = float("inf"), float("nan"), 1.7e308


def scores_of(path):
    return read_scores(rows_of_file(path), path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("scores", "drawn", "said"),
    [
        ([0.0, 0.5, MOST, -MOST], 2, "2 scores above 1e+100 in size, or infinite"),
        ([0.0, INF, 0.5, NAN], 2, "1 score above"),
        ([1e16, 1e16, 1e16, 1e16 + 2], 4, "in 1 bin "),
        ([0.5, 0.5, 0.5, 0.5], 4, "4 samples with a score, in 1 bin "),
    ],
)
def test_the_histogram_draws_what_an_axis_can_hold_and_counts_the_rest(
    tmp_path, scores, drawn, said
):
    """The range of scores of 1.7e308 and -1.7e308 overflowed: an unexpected error."""
    path = verdict_file(tmp_path / "s.parquet", [["right", "wrong"]] * 2, [scores[:2], scores[2:]])
    chart = score_chart(scores_of(path))
    assert sum(chart.series[0].values) == drawn and said in chart.note


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scores", [[INF, -INF], [MOST, -MOST]])
def test_scores_of_which_none_can_be_drawn_have_no_histogram(tmp_path, scores):
    path = verdict_file(tmp_path / "s.parquet", [["right", "wrong"]] * 2, [scores] * 2)
    assert score_chart(scores_of(path)) is None


def test_scores_that_are_large_whole_numbers_are_read(tmp_path):
    path = verdict_file(tmp_path / "s.parquet", [["right", "wrong"]])
    table, scores = pq.read_table(path), pa.array([[2**62 + 1, 3]], pa.list_(pa.int64()))
    at = table.schema.names.index("scores")
    pq.write_table(table.set_column(at, "scores", scores), path)
    assert scores_of(path).samples.score.tolist() == [2.0**62, 3.0]


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-0.3034, -0.3031, "-30.3% to -30.3%"),
        (-0.0001, -0.00005, "0.0-0.0%"),
        (-0.0001, 0.011, "0.0-1.1%"),
        (-0.01, 0.005, "-1.0% to 0.5%"),
        (-0.5, 0.25, "-50% to 25%"),
        (-0.001, 0.25, "0-25%"),
        (-50.0, -20.0, "-50 to -20"),
        (0.4, 0.47, "40-47%"),
    ],
)
def test_an_interval_with_a_negative_end_is_not_written_with_two_dashes(low, high, text):
    """Narrow ones were `-30.3--30.3%`, and `-0.0--0.0%`."""
    assert span(Value(low, low, high, 9)) == text
