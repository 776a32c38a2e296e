"""Statistics over a run's rows equal a plain count of its output."""

import pandas as pd
import pyarrow as pa
import pytest
from reported import brute_force, launch, questions, write_input

from rollout.report.run.records import read_records
from rollout.report.run.row_sources import COLUMNS, RowSource
from rollout.report.run.rows import RowStatistics, count_empty, known_empty, statistics_of

KINDS = {
    "index": pa.int64(), "row": pa.int64(), "num_samples": pa.int32(), "error": pa.string(),
    "finish_reason": pa.list_(pa.string()), "num_response_tokens": pa.list_(pa.int32()),
    "latency_s": pa.float64(), "num_distinct": pa.int32(),
    "num_repetitive": pa.int32(),
}  # fmt: skip


def table(*rows):
    """Return a table of rows given as (lengths, reasons, latency, error)."""
    columns = {name: [] for name in COLUMNS}
    for i, (lengths, reasons, latency_s, error) in enumerate(rows):
        values = (i, 10 + i, len(lengths), error, reasons, lengths, latency_s, len(lengths), 0)
        for name, value in zip(COLUMNS, values, strict=True):
            columns[name].append(value)
    return pa.table({name: pa.array(columns[name], KINDS[name]) for name in COLUMNS})


def counted(*rows):
    return statistics_of([table(*rows)])


def flat(statistics):
    pairs = [
        (reason, length)
        for reason, counts in statistics.lengths.items()
        for length, count in enumerate(counts.tolist())
        for _ in range(count)
    ]
    return sorted(pairs)


@pytest.mark.parametrize("has_shards", [True, False])
def test_the_statistics_equal_a_plain_count_of_the_output(typed, has_shards):
    write_input(typed.here, questions(50, failing=(0, 20, 49)))
    launch(typed, "sampling.max_tokens=20", "engine.scripted.response_tokens=12")
    if not has_shards:
        for path in (typed.here / "x/shards").iterdir():
            path.unlink()
    source = RowSource(read_records(typed.here / "x"))
    found = statistics_of(source.tables())
    found.num_empty = count_empty(source.texts())
    expected = brute_force(typed.here)
    lengths = expected.pop("lengths")
    assert {name: getattr(found, name) for name in expected} == expected
    assert flat(found) == lengths
    assert found.num_truncated > 0 and not source.faults


def test_the_statistics_of_an_unfinished_run_are_of_the_rows_on_disk(typed):
    write_input(typed.here, questions(60))
    launch(typed, "engine.max_num_seqs=8", "engine.max_restarts=0",
           "engine.scripted.die_after_steps=90")  # fmt: skip
    source = RowSource(read_records(typed.here / "x"))
    found = statistics_of(source.tables())
    assert 0 < found.num_rows < 60
    assert found.num_samples == 3 * found.num_rows == int(found.all_lengths.sum())


def test_lengths_add_up_over_tables_of_different_sizes():
    found = RowStatistics()
    found.add(table(([3, 900], ["stop", "length"], 1.0, None)))
    found.add(table(([3], ["stop"], 1.0, None), ([], [], None, "bad")))
    assert flat(found) == [("length", 900), ("stop", 3), ("stop", 3)]
    assert (found.num_output_tokens, found.length_at(50), found.length_at(95)) == (906, 3, 900)
    assert found.mean_length == 302


def test_without_a_sample_no_length_is_known():
    found = counted(([], [], None, "bad"))
    assert (found.num_failed, found.num_samples) == (1, 0)
    assert found.mean_length is None and found.length_at(95) is None


def test_the_slowest_rows_come_first_with_their_own_lengths():
    rows = [([i, 2 * i], ["stop", "stop"], float(i % 7), None) for i in range(30)]
    rows.append(([], [], None, "bad"))
    found = counted(*rows).slowest
    assert len(found) == 10
    assert [slow.latency_s for slow in found] == sorted((s.latency_s for s in found), reverse=True)
    assert (found[0].row, found[0].num_tokens, found[0].longest) == (16, 18, 12)


def test_errors_that_differ_in_numbers_only_are_one_reason():
    errors = ["too long: 5,001 tokens", "empty", "too long: 9 tokens", "too long: 12 tokens"]
    found = counted(*(([], [], None, error) for error in errors)).failures_by_count
    assert [(f.reason, f.num_rows, f.first_rows) for f in found] == [
        ("too long: 5,001 tokens", 3, [10, 12, 13]), ("empty", 1, [11]),
    ]  # fmt: skip


def test_a_column_that_a_file_lacks_is_unknown_and_not_zero():
    whole = table(([3], ["stop"], 1.0, None))
    for name, unknown in {"finish_reason": "num_truncated", "num_distinct": "num_distinct"}.items():
        column = pa.nulls(1, KINDS[name])
        rows = whole.set_column(whole.column_names.index(name), name, column)
        assert getattr(statistics_of([rows]), unknown) is None


def test_lengths_that_a_file_lacks_are_unknown_and_not_zero():
    whole = table(([3], ["stop"], 1.0, None))
    at = whole.column_names.index("num_response_tokens")
    rows = whole.set_column(at, "num_response_tokens", pa.nulls(1, KINDS["num_response_tokens"]))
    found = statistics_of([rows])
    assert found.mean_length is None and found.length_at(95) is None
    assert found.num_truncated == 0


def test_a_finish_reason_that_is_null_is_called_unknown():
    assert flat(counted(([3, 4], ["stop", None], 1.0, None))) == [("stop", 3), ("unknown", 4)]


def test_empty_responses_of_a_summary_count_only_for_the_same_samples():
    found = counted(([3, 4], ["stop", "stop"], 1.0, None))
    summary = {"num_rows": 1, "num_samples": 2, "num_output_tokens": 7, "num_empty": 1}
    assert known_empty(found, summary) == 1
    assert known_empty(found, summary | {"num_samples": 3}) is None
    assert known_empty(found, {}) is None


def test_a_log_beside_a_sealed_part_counts_each_row_once(typed):
    write_input(typed.here, questions(30))
    launch(typed)
    launch(typed, "sampling.n_samples=5", "engine.max_num_seqs=4", "engine.max_restarts=0",
           "engine.scripted.die_after_steps=30")  # fmt: skip
    assert {path.suffix for path in (typed.here / "x/shards").iterdir()} == {".log", ".parquet"}
    source = RowSource(read_records(typed.here / "x"))
    found = statistics_of(source.tables())
    assert found.num_rows == 30
    assert 90 < found.num_samples < 150


def test_rows_of_a_newer_format_are_not_counted_and_it_is_said(typed):
    write_input(typed.here, questions(3))
    launch(typed)
    run_json = typed.here / "x/run.json"
    run_json.write_text(run_json.read_text().replace('"format": 4', '"format": 9'))
    source = RowSource(read_records(typed.here / "x"))
    assert list(source.tables()) == [] or source.note
    assert "another format" in source.faults[0]


def test_a_published_file_of_one_row_per_sample_is_left_to_its_own_page(typed):
    write_input(typed.here, questions(3))
    launch(typed, "output.layout=per_sample")
    for path in (typed.here / "x/shards").iterdir():
        path.unlink()
    source = RowSource(read_records(typed.here / "x"))
    assert list(source.tables()) == [] and list(source.texts()) == []
    assert "a row for each sample is not counted" in source.faults[0]
    assert len(pd.read_parquet(typed.here / "x/output.parquet")) == 9
