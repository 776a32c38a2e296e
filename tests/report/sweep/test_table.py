"""A sweep's table: the rows and columns of its parquet and CSV files."""

import time

import pyarrow as pa
import pytest
from sweep_points import FIGURES, SPEED, answered, cells, point, table

from rollout.report.sweep.ranking import rank
from rollout.sweeps.lines import MAX_LINES, table_lines

COLUMNS = [
    "status", "error", "is_best", "differs_from_best", "objective", "engine", "num_rows",
    "num_failed", "num_samples", "num_sharing",
    "output_tokens_per_s", "mean_response_tokens", "p95_response_tokens", "truncated_fraction",
    "distinct_fraction", "generate_s", "load_s", "wall_s", "peak_memory_gib", "run_dir",
    "responses",
]  # fmt: skip


# The parquet file.


def test_the_table_has_a_row_a_point_in_the_order_given(tmp_path):
    points = [point("0.9", speed=1.0), point("0.2", status="failed", error="died"), point("0.5")]
    points.append(point("0.7", speed=0.5))
    written = table(tmp_path, points)
    assert written.column_names == ["point", "sampling.temperature", *COLUMNS]
    assert written["sampling.temperature"].to_pylist() == [0.9, 0.2, 0.5, 0.7]
    assert written["status"].to_pylist() == ["done", "failed", "done", "done"]
    assert written["error"].to_pylist() == [None, "died", None, None]
    assert written["is_best"].to_pylist() == [True, False, False, False]
    assert written["objective"].to_pylist() == [1.0, None, None, 0.5]


def test_the_types_are_the_same_before_anything_is_done_and_after(tmp_path):
    waiting = table(tmp_path, [point(status="waiting")]).schema
    done = answered(tmp_path / "a", ["hi"], [["yo"]], figures=FIGURES, speed=5, engine=1)
    assert table(tmp_path, [done]).schema == waiting
    assert str(waiting.field("num_rows").type) == "int64"
    assert str(waiting.field("p95_response_tokens").type) == "double"
    assert waiting.field("responses").type == pa.list_(
        pa.struct({"row": pa.int64(), "prompt": pa.string(), "responses": pa.list_(pa.string())})
    )


@pytest.mark.parametrize(
    ("typed", "kind"),
    [(["1", "-2"], "int64"), (["1", "0.5"], "double"), (["1e-3", "1"], "double"),
     (["1", "null"], "string"), (["nan", "1"], "string"), (["a", "b"], "string"),
     ([str(2**70), "1"], "double"), (["true", "false"], "string")],
)  # fmt: skip
def test_a_swept_column_is_numeric_where_every_value_is_a_number(tmp_path, typed, kind):
    written = table(tmp_path, [point(text) for text in typed])
    assert str(written.schema.field("sampling.temperature").type) == kind


def test_a_key_that_only_some_points_have_is_null_for_the_others(tmp_path):
    points = [point(values={"sampling.seed": "1"}), point(values={"model": "qwen3_4b"}), point()]
    written = table(tmp_path, points)
    assert written["sampling.seed"].to_pylist() == [1, None, None]
    assert written["model"].to_pylist() == [None, "qwen3_4b", None]
    assert written["sampling.temperature"].to_pylist() == [None, None, 0.7]


def test_a_swept_key_named_like_another_column_is_kept_beside_it(tmp_path):
    written = table(tmp_path, [point(values={"engine": "low_mem"}, engine=2)])
    assert written["swept.engine"].to_pylist() == ["low_mem"]
    assert written["engine"].to_pylist() == [2]


def test_odd_figures_and_no_points_stop_nothing(tmp_path):
    odd = {"num_rows": float("nan"), "num_failed": "three", "load_s": True, "output_path": 7}
    written = table(tmp_path, [point(figures=odd | {"num_samples": 10**30, "wall_s": {}})])
    for name in ("num_rows", "num_failed", "num_samples", "load_s", "wall_s", "responses"):
        assert written[name].to_pylist() == [None]
    assert table(tmp_path, []).num_rows == 0


def test_nothing_is_left_beside_the_three_files_and_old_ones_are_replaced(tmp_path):
    for points in ([point(speed=1.0)], [point(speed=1.0), point(speed=2.0)]):
        written = table(tmp_path, points)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["sweep.csv", "sweep.html", "sweep.parquet", "written.json"]
    assert written.num_rows == 2


# The CSV file.


def test_the_csv_has_the_same_columns_but_the_responses(tmp_path):
    points = [point(speed=2.5, figures=FIGURES), point("0.8", status="waiting"), point(speed=1)]
    rows = cells(tmp_path, *points)
    assert list(rows[0]) == ["point", "sampling.temperature", *COLUMNS[:-1]]
    assert (rows[0]["is_best"], rows[0][SPEED], rows[0]["num_rows"]) == ("true", "2.5", "2")
    assert (rows[1]["is_best"], rows[1][SPEED], rows[1]["status"]) == ("false", "", "waiting")


@pytest.mark.parametrize(
    ("error", "cell"),
    [("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"), ("@SUM(A1)", "'@SUM(A1)"), ("-1.5", "-1.5"),
     ("\t+1+2", "'\t+1+2"), ("-1+cmd", "'-1+cmd"), ("a=b", "a=b"),
     ('two\nlines,"x"', 'two\nlines,"x"')],
)  # fmt: skip
def test_text_in_the_csv_is_never_a_formula(tmp_path, error, cell):
    assert cells(tmp_path, point(status="failed", error=error))[0]["error"] == cell


# Many points.


def test_five_hundred_points_are_written_in_seconds_and_listed_shortly(tmp_path):
    texts, replies = [f"p {i}" for i in range(100)], [["word " * 20] * 4] * 100
    published = answered(tmp_path / "a", texts, replies).figures
    statuses = ["failed" if i % 9 == 0 else "done" for i in range(500)]
    points = [
        point(str(i), status, float(i), figures=FIGURES | published)
        for i, status in enumerate(statuses)
    ]
    began = time.process_time()  # of this process, whatever else the machine does
    written = table(tmp_path, points)
    lines = table_lines(points, rank(points, SPEED))
    assert time.process_time() - began < 3
    assert (written.num_rows, written["responses"].null_count) == (500, statuses.count("failed"))
    assert len(lines) == 1 + MAX_LINES + 1 and lines[1].split()[:2] == ["*", "499"]
    assert lines[-1] == "  and 460 more (404 done, 56 failed), see sweep.csv"
    assert (tmp_path / "sweep.html").stat().st_size < 2_000_000
