"""Prompts: the selected rows in input order, with all columns unchanged, in little memory."""

import decimal
import os
import subprocess
import sys
import tracemalloc
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prompt_files import CHATS, JSON, MESSAGE, TEXTS, make, read, refusal, write

from rollout.config.sections.data import Data
from rollout.errors import RolloutError
from rollout.inputs.prompts import open_prompts
from rollout.system import file_contents
from rollout.system.formats.row_batches import BATCH_BYTES


def test_damaged_rows_end_the_run_with_the_file_name(tmp_path):
    path = Path(write(tmp_path / "in.parquet", [str(i) * 50 for i in range(99)]))
    data = path.read_bytes()
    path.write_bytes(data[:4] + b"\xff" * 200 + data[204:])
    with pytest.raises(RolloutError, match="can't be read"):
        read(path)


def test_a_file_that_changes_during_the_run_ends_it(tmp_path):
    path = write(tmp_path / "in.parquet", TEXTS)
    prompts = open_prompts(Data(input=path))
    write(tmp_path / "in.parquet", [*TEXTS[:2], "other"])
    with pytest.raises(RolloutError, match="was changed during the run"):
        list(prompts)


def test_a_file_that_is_touched_during_the_run_has_not_changed(tmp_path):
    """A changed mtime or inode ended a run although no byte had changed."""
    path = Path(write(tmp_path / "in.parquet", TEXTS))
    for takes_digests in (False, True):
        prompts = open_prompts(Data(input=str(path)))
        assert not takes_digests or not prompts.take_digests()
        os.utime(path, (1, 1))
        assert [p.content for p in prompts] == TEXTS
        (tmp_path / "copy").write_bytes(path.read_bytes())
        (tmp_path / "copy").rename(path)
        assert [p.content for p in prompts] == TEXTS
        assert file_contents.all_unchanged([path], prompts.contents())


def test_a_file_that_changes_but_keeps_its_footer_has_changed(tmp_path):
    path = Path(write(tmp_path / "in.parquet", TEXTS))
    prompts = open_prompts(Data(input=str(path)))
    prompts.take_digests()
    data = path.read_bytes()
    path.write_bytes(data[:20] + bytes([data[20] ^ 1]) + data[21:])
    for read_on in (prompts.contents, lambda: list(prompts)):
        with pytest.raises(RolloutError, match="was changed during the run"):
            read_on()


def test_a_file_that_cannot_be_read_again_ends_the_run_with_the_reason(tmp_path):
    path = Path(write(tmp_path / "in.parquet", TEXTS))
    prompts = open_prompts(Data(input=str(path)))
    path.unlink()
    path.mkdir()
    with pytest.raises(RolloutError, match="was changed during the run"):
        list(prompts)


def test_an_input_without_rows_is_refused(tmp_path):
    path = write(tmp_path / "in.parquet", pa.array([], pa.string()))
    assert refusal(path) == f"data.input={path} has no rows"


def test_an_offset_beyond_the_end_is_refused(tmp_path):
    path = write(tmp_path / "in.parquet", TEXTS)
    assert "data.offset=3 leaves no rows: the input has 3" in refusal(path, offset=3)


def test_the_demo_has_four_texts_and_four_chats():
    demo = Data(input="pkg://rollout/inputs/examples/prompts.parquet", prompt_format=JSON)
    prompts = list(open_prompts(demo))
    assert [type(p.content) for p in prompts] == [str, list] * 4
    assert prompts[1].content[-1] == {"role": "user", "content": "What is the capital of France?"}


def ten_rows(tmp_path) -> Path:
    table = pa.table({"prompt": [str(i) for i in range(10)]})
    pq.write_table(table.slice(0, 7), tmp_path / "a.parquet", row_group_size=3)
    pq.write_table(table.slice(7), tmp_path / "b.parquet", row_group_size=2)
    return tmp_path


@pytest.mark.parametrize("limit", [None, 1, 2, 6, 99])
@pytest.mark.parametrize("offset", range(10))
def test_offset_and_limit_select_a_window_of_the_rows(tmp_path, offset, limit):
    prompts = open_prompts(Data(input=str(ten_rows(tmp_path)), offset=offset, limit=limit))
    wanted = list(range(10))[offset:][:limit]
    assert [(p.index, p.row, p.content) for p in prompts] == [
        (index, row, str(row)) for index, row in enumerate(wanted)
    ]
    rows = pa.Table.from_batches(prompts.batches())["prompt"].to_pylist()
    assert rows == [str(row) for row in wanted] and prompts.num_rows == len(wanted)


def test_a_shuffle_seed_picks_rows_at_random_and_keeps_their_order(tmp_path):
    picks = {}
    for seed in range(20):
        data = Data(input=str(ten_rows(tmp_path)), limit=4, shuffle_seed=seed)
        prompts = open_prompts(data)
        picks[seed] = [p.row for p in prompts]
        assert [p.row for p in prompts] == sorted({int(p.content) for p in prompts})
        assert pa.Table.from_batches(prompts.batches())["prompt"].to_pylist() == [
            str(row) for row in picks[seed]
        ]
    assert len(set(map(tuple, picks.values()))) > 15 and picks[0] == [2, 4, 6, 7]


def test_shuffled_windows_share_no_row(tmp_path):
    windows = [
        {p.row for p in read(ten_rows(tmp_path), offset=offset, limit=5, shuffle_seed=1)}
        for offset in (0, 5)
    ]
    assert windows[0] | windows[1] == set(range(10))


COLUMNS = {
    "string": pa.array(TEXTS * 4),
    "large": pa.array(TEXTS * 4, pa.large_string()),
    "view": pa.array(TEXTS * 4, pa.string_view()),
    "bytes view": pa.array([b"a", None, b"b"] * 4, pa.binary_view()),
    "dictionary": make(TEXTS * 4, pa.dictionary(pa.int8(), pa.string())),
    "dictionaries": pa.array([["a"], None, ["b", "a"]] * 4, pa.list_(pa.dictionary("i1", "str"))),
    "zoned": pa.array([datetime(2020, 1, 1)] * 12, pa.timestamp("ns", "Europe/Berlin")),
    "decimal": pa.array([decimal.Decimal("1.50"), None] * 6, pa.decimal128(7, 2)),
    "null": pa.nulls(12),
    "nested": pa.array([[{"a": None, "b": [1, None]}], None, []] * 4),
    "map": pa.array([[("a", 1)], None, []] * 4, pa.map_(pa.string(), pa.int64())),
    "chat view": pa.array([CHATS[0], None, []] * 4, pa.large_list_view(MESSAGE)),
    "fixed": pa.array([[1, 2], None, [3, 4]] * 4, pa.list_(pa.int16(), 2)),
    "json": make(["{}", None, "[]"] * 4, pa.json_()),
    "half": pa.array([1.5, None, 2] * 4, pa.float16()),
    "duration": pa.array([1, None, 2] * 4, pa.duration("ns")),
}


@pytest.mark.parametrize("data", [{}, {"limit": 5, "offset": 2}, {"limit": 5, "shuffle_seed": 1}])
@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_comes_back_with_its_type_values_and_metadata(tmp_path, name, data):
    table = pa.table({"prompt": TEXTS * 4, "x": COLUMNS[name]}).replace_schema_metadata({"k": "v"})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=5)
    prompts = open_prompts(Data(input=str(tmp_path / "in.parquet"), **data))
    batches = list(prompts.batches(3))
    assert all(batch.schema.equals(prompts.schema, check_metadata=True) for batch in batches)
    assert prompts.schema.remove_metadata().equals(table.schema.remove_metadata())
    assert prompts.schema.metadata[b"k"] == b"v" and max(b.num_rows for b in batches) <= 3
    rows = table["x"].to_pylist()
    found = pa.Table.from_batches(batches)["x"].to_pylist()
    assert found == [rows[prompt.row] for prompt in prompts]


def test_pandas_reads_its_own_index_and_types_back(tmp_path):
    import pandas

    frame = pandas.DataFrame({"prompt": TEXTS, "c": pandas.Categorical(["x", "y", "x"])})
    frame.index = pandas.Index([7, 8, 9], name="key")
    frame.to_parquet(tmp_path / "in.parquet")
    prompts = open_prompts(Data(input=str(tmp_path / "in.parquet"), offset=1))
    back = pa.Table.from_batches(prompts.batches(), prompts.schema).to_pandas()
    pandas.testing.assert_frame_equal(back, frame[1:])


def test_rows_of_a_megabyte_come_a_few_at_a_time(tmp_path):
    path = write(tmp_path / "in.parquet", [f"{i}" * (1 << 20) for i in range(40, 64)])
    sizes = [b.nbytes for b in open_prompts(Data(input=path)).batches()]
    assert len(sizes) > 1 and max(sizes) <= 1.1 * BATCH_BYTES


def test_long_repeated_texts_come_a_few_at_a_time(tmp_path):
    """Parquet stores them once: 1,024 texts of half a megabyte came at once and took 1.7 GiB."""
    cells = ["short"] * 100 + ["x" * (1 << 19)] * 150 + ["y" * (1 << 20)] * 40
    table = pa.table({"prompt": [str(i) for i in range(len(cells))], "context": cells})
    pq.write_table(table, tmp_path / "in.parquet")
    assert (tmp_path / "in.parquet").stat().st_size < BATCH_BYTES / 16
    found, sizes = [], []
    for batch in open_prompts(Data(input=str(tmp_path / "in.parquet"))).batches():
        sizes.append(batch.nbytes)
        found += batch.column("prompt").to_pylist()
        assert batch.column("context").to_pylist() == cells[len(found) - len(batch) : len(found)]
    assert found == table["prompt"].to_pylist()
    assert max(sizes) <= 2.1 * BATCH_BYTES and sum(size > BATCH_BYTES for size in sizes) <= 2


def test_the_digest_changes_with_the_input_but_not_with_its_location(tmp_path):
    digests = []
    for number, rows in enumerate([TEXTS, TEXTS, [*TEXTS, "x"], ["Water boils", *TEXTS[1:]]]):
        (tmp_path / f"{number}").mkdir()
        path = write(tmp_path / f"{number}" / "in.parquet", rows)
        digests.append(open_prompts(Data(input=path)).digest())
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_iterating_twice_gives_the_same_prompts_and_leaving_early_is_fine(tmp_path):
    prompts = open_prompts(Data(input=str(ten_rows(tmp_path))))
    next(iter(prompts))
    assert list(prompts) == list(prompts) and len(list(prompts)) == 10


def test_memory_does_not_grow_with_the_file(tmp_path):
    with pq.ParquetWriter(tmp_path / "in.parquet", pa.schema({"prompt": "str"})) as writer:
        texts = pa.table({"prompt": [f"{i} {i * i}" * 8 for i in range(200_000)]})
        writer.write_table(texts, row_group_size=200_000)
    prompts, peak = open_prompts(Data(input=str(tmp_path / "in.parquet"))), 0
    tracemalloc.start()
    for prompt in prompts:
        peak = max(peak, pa.total_allocated_bytes()) if prompt.index % 5000 == 0 else peak
    python_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - texts.nbytes < 10 << 20 and python_peak < 4 << 20


def test_importing_the_module_does_not_import_pyarrow():
    code = "import rollout.inputs.prompts, sys; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("wanted", [[], [0], [5], [1, 2, 3], [0, 2047, 2048, 2999], range(3000)])
def test_the_prompts_of_a_mask_are_those_rows_and_no_others(tmp_path, wanted):
    import numpy as np

    pq.write_table(
        pa.table({"prompt": [f"p{i}" for i in range(3000)]}), tmp_path / "in.parquet",
        row_group_size=700,
    )  # fmt: skip
    prompts = open_prompts(Data(input=str(tmp_path / "in.parquet")))
    mask = np.zeros(3000, bool)
    mask[list(wanted)] = True
    found = [(p.index, p.row, p.content) for p in prompts.where(mask)]
    assert found == [(i, i, f"p{i}") for i in wanted]
