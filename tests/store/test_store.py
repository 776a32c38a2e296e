"""The run directory: durable appends, the state of rows, the order of the published file."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollout.errors import UserError
from rollout.rows.columns import output_columns
from rollout.rows.owed import OwedRow, Wanted
from rollout.rows.prompt import Prompt
from rollout.rows.request import Sample
from rollout.rows.result import Result
from rollout.store import store as store_module
from rollout.store.counts import RowCounter
from rollout.store.publish import write_output
from rollout.store.run_dir import holds_rows, is_a_run, move_aside, next_attempt, settings_of_rows
from rollout.store.shards import shard_rows
from rollout.store.store import Store
from rollout.system.disk import atomic_write

COLUMNS = output_columns(["finish_reason", "num_response_tokens", "seed"])


def result(index, error=None, n=2, reason="stop"):
    samples = [Sample(f"r{index}.{i}", reason, i + 1, token_ids=[1] * (i + 1)) for i in range(n)]
    samples = [] if error else samples
    return Result(index, index, bytes([index % 251] * 16), samples, seed=10 * index, error=error)


def open_store(run_dir, num_rows, rows_per_shard=4, owed=None):
    run_dir.mkdir(exist_ok=True, parents=True)
    store = Store(run_dir, num_rows, rows_per_shard)
    store.repair(lambda line: None)
    store.expect(np.ones(num_rows, bool) if owed is None else owed)
    return store


def flushed(store, *results):
    store.append(results)
    store.flush()
    return store


def present(store):
    return np.flatnonzero(store.state().present).tolist()


def publish(store, path, **options):
    table = pa.table({"id": list(range(store.num_rows))}).replace_schema_metadata({"who": "me"})
    batches = table.to_batches(max_chunksize=3)
    write_output(path, batches, table.schema, store.parts(), COLUMNS, **options)
    return pq.read_table(path)


def test_the_lengths_of_all_responses_are_counted(tmp_path):
    store = open_store(tmp_path / "run", 6)
    flushed(store, *(result(i, error="no" if i == 4 else None, n=1 + i % 3) for i in range(6)))
    counter = RowCounter()
    for part in store.parts():
        counter.add(part)
    assert counter.num_of_length.tolist() == [0, 5, 3, 2]  # places 0 to 3: none of 0 tokens


def test_rows_finished_in_any_order_are_published_in_input_order(tmp_path):
    store = open_store(tmp_path / "run", 11)
    flushed(store, *(result(i) for i in (10, 3, 7, 0, 1, 2, 9, 4, 8, 5, 6)))
    table = publish(store, tmp_path / "out.parquet")
    assert table["id"].to_pylist() == list(range(11))
    assert table["responses"].to_pylist() == [[f"r{i}.0", f"r{i}.1"] for i in range(11)]
    assert table["seed"][3].as_py() == [30, 31]
    assert table.schema.metadata[b"who"] == b"me"


def test_a_complete_shard_is_sealed_and_its_log_removed(tmp_path):
    flushed(open_store(tmp_path, 8), *(result(i) for i in range(5)))
    names = sorted(p.name for p in (tmp_path / "shards").iterdir())
    assert names == ["00000000.parquet", "00000001.log"]


def test_sixty_four_rows_are_on_disk_without_a_flush(tmp_path):
    store = open_store(tmp_path, 1000, rows_per_shard=1000)
    store.append(result(i) for i in range(70))
    assert len(present(store)) == 70


def test_a_row_is_on_disk_a_second_later_at_most(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(store_module.time, "monotonic", lambda: now[0])
    store = open_store(tmp_path, 1000, rows_per_shard=1000)
    store.append([result(0)])
    now[0] = 1.0
    store.append([])
    assert present(store) == [0]


@pytest.mark.parametrize("cut", [1, 5, 16, 40])
def test_a_torn_tail_loses_only_its_own_frame_and_is_cut_off(tmp_path, cut):
    store = open_store(tmp_path, 1000, rows_per_shard=1000)
    sizes = []
    log = tmp_path / "shards" / "00000000.log"
    for i in range(3):
        flushed(store, result(i))
        sizes.append(log.stat().st_size)
    log.write_bytes(log.read_bytes()[:-cut])
    again = open_store(tmp_path, 1000, rows_per_shard=1000)
    assert log.stat().st_size == sizes[1]
    assert present(again) == [0, 1]
    assert present(flushed(again, result(2))) == [0, 1, 2]


def test_damage_in_the_middle_of_a_log_loses_only_its_own_frame_and_is_reported(tmp_path):
    store = open_store(tmp_path, 1000, rows_per_shard=1000)
    log = tmp_path / "shards" / "00000000.log"
    for i in range(3):
        flushed(store, result(i))
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)
    lines = []
    store.repair(lines.append)
    assert present(store) == [0, 2]
    assert "damaged" in lines[0] and "generated again" in lines[0]


def test_a_damaged_part_is_named_with_the_command_that_helps(tmp_path):
    store = flushed(open_store(tmp_path, 4), *(result(i) for i in range(4)))
    part = tmp_path / "shards" / "00000000.parquet"
    part.write_bytes(part.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"00000000.parquet is damaged .*rm '.*00000000.parquet'"):
        store.state()


def test_a_part_with_a_flipped_bit_is_never_published(tmp_path):
    store = flushed(open_store(tmp_path, 4), *(result(i) for i in range(4)))
    part = tmp_path / "shards" / "00000000.parquet"
    found = 0
    for at in range(8, part.stat().st_size - 8, 97):
        good = part.read_bytes()
        part.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        try:
            table = next(store.parts())
        except UserError:
            found += 1
        else:  # a bit of the footer that does not affect the values
            assert table["responses"].to_pylist() == [[f"r{i}.0", f"r{i}.1"] for i in range(4)]
        part.write_bytes(good)
    assert found > 10


def test_a_kill_between_sealing_and_removing_the_log_changes_nothing(tmp_path):
    store = open_store(tmp_path, 4)
    flushed(store, *(result(i) for i in range(3)))
    log = tmp_path / "shards" / "00000000.log"
    before = log.read_bytes()
    flushed(store, result(3))
    log.write_bytes(before)
    again = open_store(tmp_path, 4, owed=np.zeros(4, bool))
    assert not log.exists()
    assert [r["index"] for part in again.parts() for r in part.to_pylist()] == [0, 1, 2, 3]


def test_a_row_written_again_counts_as_last_written(tmp_path):
    flushed(open_store(tmp_path, 4), *(result(i) for i in range(4)))
    owed = np.array([False, True, False, False])
    store = flushed(open_store(tmp_path, 4, owed=owed), result(1, n=5))
    assert store.state().num_samples.tolist() == [2, 5, 2, 2]
    assert len(publish(store, tmp_path / "o.parquet")["responses"][1]) == 5
    assert not (tmp_path / "shards" / "00000000.log").exists()


def test_a_row_is_read_back_unchanged(tmp_path):
    store = open_store(tmp_path, 8)
    first = result(1, reason="length")
    first.samples[0].stop_reason, first.samples[0].cumulative_logprob = "x", -1.5
    first.num_prompt_tokens = 7
    flushed(store, first, result(2, error="bad"))
    prompts = [Prompt(i, i, "p") for i in range(8)]
    rows = store.owed_rows(prompts, store.state(), Wanted(4, 1, 9))
    by_index = {row.prompt.index: row.before for row in rows}
    assert by_index[1] == first
    assert by_index[2].error == "bad"
    assert by_index[0] is None


def test_the_input_may_grow_within_a_sealed_shard(tmp_path):
    flushed(open_store(tmp_path, 2), result(0), result(1))
    owed = np.array([False, False, True])
    store = flushed(open_store(tmp_path, 3, owed=owed), result(2))
    assert [len(part) for part in store.parts()] == [3]


def test_the_temporary_files_of_a_killed_write_are_removed(tmp_path):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / ".00000000.parquet.77.tmp").write_text("half")
    open_store(tmp_path, 4)
    assert list((tmp_path / "shards").iterdir()) == []


def test_failed_rows_keep_their_place_with_their_error(tmp_path):
    store = flushed(open_store(tmp_path, 3), result(2), result(0), result(1, error="too long"))
    table = publish(store, tmp_path / "out.parquet")
    assert table["error"].to_pylist() == [None, "too long", None]
    assert table["responses"].to_pylist()[1] == []


def test_skipped_rows_are_left_out(tmp_path):
    store = flushed(open_store(tmp_path, 3), result(2), result(0), result(1, error="too long"))
    assert publish(store, tmp_path / "o.parquet", skip_failed=True)["id"].to_pylist() == [0, 2]


def test_a_prefix_is_put_before_every_added_column(tmp_path):
    store = flushed(open_store(tmp_path, 1), result(0))
    table = publish(store, tmp_path / "o.parquet", prefix="new_")
    assert table.column_names[:2] == ["id", "new_responses"]


def test_rows_of_view_types_can_be_skipped(tmp_path):
    """Arrow can't filter them: the run failed after all its work."""
    store = flushed(open_store(tmp_path / "run", 3), result(0), result(1, error="bad"), result(2))
    table = pa.table({"text": pa.array(["a", "b", "c"], pa.string_view())})
    path = tmp_path / "o.parquet"
    write_output(path, table.to_batches(), table.schema, store.parts(), COLUMNS, skip_failed=True)
    assert pq.read_table(path)["text"].to_pylist() == ["a", "c"]


def test_a_failed_publication_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "out.parquet"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["out.parquet"]
    assert path.read_text() == "old"


def test_a_file_that_appears_during_the_run_is_never_replaced(tmp_path):
    path = tmp_path / "o.parquet"
    path.write_text("precious")
    with pytest.raises(FileExistsError), atomic_write(path, replace=False) as temporary:
        temporary.write_text("ours")
    assert path.read_text() == "precious"


def test_a_directory_is_free_until_a_row_is_finished(tmp_path):
    store = open_store(tmp_path, 8)
    assert not holds_rows(tmp_path)
    flushed(store, result(0))
    assert holds_rows(tmp_path)


def test_attempts_are_numbered_and_the_last_that_wrote_rows_counts(tmp_path):
    assert [next_attempt(tmp_path).name for _ in range(11)][-2:] == ["10", "11"]
    (tmp_path / "attempts" / "10" / "fingerprint.json").write_text('{"a": 2}')
    (tmp_path / "attempts" / "9" / "fingerprint.json").write_text('{"a": 1}')
    assert settings_of_rows(tmp_path) == {"a": 2}


def test_starting_over_moves_the_old_run_aside_but_no_file_of_the_users(tmp_path):
    run_dir = tmp_path / "run"
    open_store(run_dir, 8)
    (run_dir / "run.json").write_text(
        '{"rollout": "0", "fingerprint": {}, "input": {}, "rows_per_shard": 4}'
    )
    (run_dir / "notes.txt").write_text("mine")
    assert move_aside(run_dir).name == "run.old-1"
    assert (tmp_path / "run.old-1" / "run.json").exists()
    assert (run_dir / "notes.txt").exists()
    assert move_aside(run_dir) is None


def test_a_run_json_that_is_not_ours_is_neither_replaced_nor_moved(tmp_path):
    (tmp_path / "run.json").write_text('{"mine": 1}')
    for touch in (is_a_run, move_aside):
        with pytest.raises(UserError, match="not written by rollout"):
            touch(tmp_path)


@pytest.mark.parametrize(
    ("n", "tokens", "rows"), [(8, 2048, 1024), (8, 32_768, 64), (2, 8, 1024), (512, 131_072, 1)]
)
def test_a_shard_holds_a_bounded_number_of_bytes(n, tokens, rows):
    assert shard_rows(n, tokens) == rows


def test_token_ids_are_kept_only_for_truncated_samples():
    row = OwedRow(Prompt(0, 0, "p"), Wanted(2, 1, 9), result(0))
    assert [s.token_ids for s in row.result([]).samples] == [None, None]
    row = OwedRow(Prompt(0, 0, "p"), Wanted(2, 1, 9), result(0, reason="length"))
    assert [s.token_ids for s in row.result([]).samples] == [[1], [1, 1]]
