"""The run directory: durability of the append, order of the published file."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollout import store as store_module
from rollout.errors import UserError
from rollout.records import Result, Sample, output_columns
from rollout.store import Store, move_aside, next_attempt, refuse_used, shard_rows, written_whole

COLUMNS = output_columns(["finish_reason", "num_response_tokens", "seed"])


def result(index, error=None):
    samples = [] if error else [Sample(f"r{index}.{i}", "stop", i + 1) for i in range(2)]
    return Result(index, index, bytes(16), samples, seed=10 * index, error=error)


def open_store(run_dir, num_rows, rows_per_shard=4):
    record = {"rollout": "0", "fingerprint": {}}
    return Store.create(run_dir, record, COLUMNS, num_rows, rows_per_shard)


def publish(store, path, **options):
    table = pa.table({"id": list(range(store.num_rows))}).replace_schema_metadata({"who": "me"})
    store.publish(table.to_batches(max_chunksize=3), table.schema, path, **options)
    return pq.read_table(path)


def test_rows_finished_in_any_order_are_published_in_input_order(tmp_path):
    store = open_store(tmp_path / "run", 11)
    store.append(result(i) for i in (10, 3, 7, 0, 1, 2, 9, 4, 8, 5, 6))
    store.flush()
    table = publish(store, tmp_path / "out.parquet")
    assert table["id"].to_pylist() == list(range(11))
    assert table["responses"].to_pylist() == [[f"r{i}.0", f"r{i}.1"] for i in range(11)]
    assert table["seed"][3].as_py() == [30, 31]
    assert table.schema.metadata[b"who"] == b"me"


def test_a_complete_shard_is_sealed_and_its_log_removed(tmp_path):
    store = open_store(tmp_path, 8)
    store.append(result(i) for i in range(5))
    store.flush()
    names = sorted(p.name for p in (tmp_path / "shards").iterdir())
    assert names == ["00000000.parquet", "00000001.log"]


def test_sixty_four_rows_are_on_disk_without_being_asked(tmp_path):
    store = open_store(tmp_path, 1000, rows_per_shard=1000)
    store.append(result(i) for i in range(70))
    assert sum(b.num_rows for b in store._frames(0)) == 70


def test_a_row_is_on_disk_a_second_later_at_most(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(store_module.time, "monotonic", lambda: now[0])
    store = open_store(tmp_path, 1000, rows_per_shard=1000)
    store.append([result(0)])
    now[0] = 1.0
    store.append([])
    assert sum(b.num_rows for b in store._frames(0)) == 1


@pytest.mark.parametrize("cut", [1, 5, 16, 40])
def test_a_torn_tail_loses_its_own_frame_only(tmp_path, cut):
    store = open_store(tmp_path, 1000, rows_per_shard=1000)
    for i in range(3):
        store.append([result(i)])
        store.flush()
    log = tmp_path / "shards" / "00000000.log"
    log.write_bytes(log.read_bytes()[:-cut])
    assert [b.column("index")[0].as_py() for b in store._frames(0)] == [0, 1]


def test_failed_rows_keep_their_place_with_their_error(tmp_path):
    store = open_store(tmp_path, 3)
    store.append([result(2), result(0), result(1, error="too long")])
    store.flush()
    table = publish(store, tmp_path / "out.parquet")
    assert table["error"].to_pylist() == [None, "too long", None]
    assert table["responses"].to_pylist()[1] == []


def test_skipped_rows_are_left_out(tmp_path):
    store = open_store(tmp_path, 3)
    store.append([result(2), result(0), result(1, error="too long")])
    store.flush()
    assert publish(store, tmp_path / "o.parquet", skip_failed=True)["id"].to_pylist() == [0, 2]


def test_a_prefix_is_put_before_every_added_column(tmp_path):
    store = open_store(tmp_path, 1)
    store.append([result(0)])
    store.flush()
    table = publish(store, tmp_path / "o.parquet", prefix="new_")
    assert table.column_names[:2] == ["id", "new_responses"]


def test_a_failed_publication_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "out.parquet"
    path.write_text("old")
    with pytest.raises(RuntimeError), written_whole(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["out.parquet"]
    assert path.read_text() == "old"


def test_a_directory_with_finished_rows_is_refused_and_named(tmp_path):
    store = open_store(tmp_path, 8)
    store.append([result(0)])
    store.flush()
    with pytest.raises(UserError, match=r"holds a run already \(unfinished\).*resume=fresh"):
        refuse_used(tmp_path)


def test_a_launch_that_finished_no_row_leaves_its_directory_free(tmp_path):
    open_store(tmp_path, 8).close()
    assert next_attempt(tmp_path).name == "1"
    open_store(tmp_path, 8).close()
    assert next_attempt(tmp_path).name == "2"


def test_starting_over_moves_the_old_run_aside_and_nothing_of_the_users(tmp_path):
    open_store(tmp_path / "run", 8).close()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert move_aside(tmp_path / "run").name == "run.old-1"
    assert (tmp_path / "run.old-1" / "run.json").exists()
    assert (tmp_path / "run" / "notes.txt").exists()
    assert move_aside(tmp_path / "run") is None


def test_a_run_json_that_is_not_ours_is_neither_replaced_nor_moved(tmp_path):
    (tmp_path / "run.json").write_text('{"mine": 1}')
    for touch in (refuse_used, move_aside):
        with pytest.raises(UserError, match="not written by rollout"):
            touch(tmp_path)


def test_a_directory_in_use_is_refused_until_it_is_let_go(tmp_path):
    """Two launches into one directory published a mixture of both."""
    first = open_store(tmp_path, 8)
    with pytest.raises(UserError, match="in use by another launch"):
        open_store(tmp_path, 8)
    first.close()
    open_store(tmp_path, 8).close()


def test_a_file_that_appears_during_the_run_is_never_replaced(tmp_path):
    store = open_store(tmp_path / "run", 1)
    store.append([result(0)])
    store.flush()
    (tmp_path / "o.parquet").write_text("precious")
    with pytest.raises(FileExistsError):
        publish(store, tmp_path / "o.parquet")
    assert (tmp_path / "o.parquet").read_text() == "precious"
    assert publish(store, tmp_path / "o.parquet", replace=True).num_rows == 1


def test_rows_of_view_types_can_be_skipped(tmp_path):
    """Arrow has no filter for them: the run failed after all its work."""
    store = open_store(tmp_path / "run", 3)
    store.append([result(0), result(1, error="bad"), result(2)])
    store.flush()
    table = pa.table({"text": pa.array(["a", "b", "c"], pa.string_view())})
    store.publish(table.to_batches(), table.schema, tmp_path / "o.parquet", skip_failed=True)
    assert pq.read_table(tmp_path / "o.parquet")["text"].to_pylist() == ["a", "c"]


@pytest.mark.parametrize(
    ("n", "tokens", "rows"), [(8, 2048, 1024), (8, 32_768, 64), (2, 8, 1024), (512, 131_072, 1)]
)
def test_a_shard_holds_a_bounded_number_of_bytes(n, tokens, rows):
    assert shard_rows(n, tokens) == rows
