"""Intervals of lengths, truncated and distinct shares: of the figure in summary.json, or none."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scored_sweep import scored_sweep
from sweep_points import answered, point

from rollout.postprocess.export.intervals import interval
from rollout.report.sweep import spread
from rollout.report.sweep.spread import spread_of, spreads_of

NAMES = {"mean_response_tokens", "truncated_fraction", "distinct_fraction"}


@pytest.fixture
def done(tmp_path):
    return scored_sweep(tmp_path, [{"sampling.temperature": "0.5"}])[0]


def test_each_figure_has_the_bootstrap_interval_of_its_prompts(done):
    rows = pq.read_table(done.run_dir / "output.parquet").to_pylist()
    lengths = np.array([np.mean(row["num_response_tokens"]) for row in rows])
    cut = np.array([np.mean([r == "length" for r in row["finish_reason"]]) for row in rows])
    distinct = np.array([len(set(row["responses"])) / len(row["responses"]) for row in rows])
    found = spread_of(done)
    assert found["mean_response_tokens"] == pytest.approx(interval(lengths, 0.95, 1000, 0))
    assert found["truncated_fraction"] == pytest.approx(interval(cut, 0.95, 1000, 0, True))
    assert found["distinct_fraction"] == pytest.approx(interval(distinct, 0.95, 1000, 0, True))


def test_a_sample_a_row_and_files_in_a_directory_give_the_same(done, tmp_path):
    expected, rows = spread_of(done), pq.read_table(done.run_dir / "output.parquet").to_pylist()
    flat = [{"prompt": "p", "row": i, "sample_index": j, "response": row["responses"][j],
             "finish_reason": row["finish_reason"][j],
             "num_response_tokens": row["num_response_tokens"][j]}
            for i, row in enumerate(rows) for j in range(8)]  # fmt: skip
    (tmp_path / "parts").mkdir()
    for part, start in enumerate(range(0, len(flat), 101)):  # rows span files
        table = pa.Table.from_pylist(flat[start : start + 101])
        pq.write_table(table, tmp_path / "parts" / f"{part}.parquet")
    done.figures["output_path"] = str(tmp_path / "parts")
    found = spread_of(done)
    assert found.keys() == expected.keys() == NAMES
    assert all(found[name] == pytest.approx(expected[name]) for name in NAMES)


def test_a_figure_that_is_not_the_mean_over_these_prompts_has_no_interval(done):
    done.figures["mean_response_tokens"] += 1
    assert spread_of(done).keys() == NAMES - {"mean_response_tokens"}


def test_texts_of_large_files_and_of_many_points_are_not_read(done, monkeypatch):
    assert spread_of(done, text_bytes=100).keys() == NAMES - {"distinct_fraction"}
    size = (done.run_dir / "output.parquet").stat().st_size
    monkeypatch.setattr(spread, "ALL_TEXT_BYTES", 2 * size)
    assert "distinct_fraction" in spreads_of([done] * 2)[done.run_dir]
    assert "distinct_fraction" not in spreads_of([done] * 3)[done.run_dir]


def test_many_different_values_have_normal_limits_close_to_the_bootstrap(done, monkeypatch):
    expected = spread_of(done)["mean_response_tokens"]
    monkeypatch.setattr(spread, "MAX_DISTINCT", 5)
    spread._means_by_row.cache_clear()
    found = spread_of(done)["mean_response_tokens"]
    assert found == pytest.approx(expected, rel=0.02) and found != expected


def test_missing_columns_and_files_give_no_interval(tmp_path):
    bare = answered(tmp_path / "a", ["p", "q"], [["1", "1"], ["1", "2"]],
                    figures={"distinct_fraction": 0.75, "mean_response_tokens": 3.0})  # fmt: skip
    assert spread_of(bare).keys() == {"distinct_fraction"}
    (tmp_path / "a").write_bytes(b"PAR1 and no more")
    assert spread_of(bare) == {}
    assert spread_of(point(status="waiting")) == {}
