"""The input room: whatever wrote the parquet, the same prompts come out, and faults have names."""

import decimal
import json
import os
import subprocess
import sys
import tracemalloc
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollout.config import Data, PromptFormat, Template
from rollout.errors import RolloutError, UserError
from rollout.prompts import BATCH_BYTES, open_prompts

TEXTS = ["Water boils at", "  spaces stay  ", "Zoë 🙂\nline"]
CHATS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": "Zoë"}],
]
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
JSON = PromptFormat.json


def write(path: Path, column=None, **columns) -> str:
    if column is not None:
        columns["prompt"] = column
    pq.write_table(pa.table(columns), path)
    return str(path)


def read(path, **data):
    return list(open_prompts(Data(input=str(path), **data)))


def contents(path, **data):
    return [prompt.content for prompt in read(path, **data)]


def errors(tmp_path, column, **data):
    return [p.error for p in read(write(tmp_path / "in.parquet", column), **data)]


def refusal(path, start_dir=None, **data) -> str:
    with pytest.raises(UserError) as caught:
        open_prompts(Data(input=None if path is None else str(path), **data), start_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def by_pandas(rows, path):
    import pandas

    pandas.DataFrame({"prompt": rows}).to_parquet(path)


def by_pandas_from_numpy(rows, path):
    import numpy
    import pandas

    column = [r if isinstance(r, str) else numpy.array(r, dtype=object) for r in rows]
    pandas.DataFrame({"prompt": column}).to_parquet(path)


def by_pyarrow(rows, path):
    pq.write_table(pa.table({"prompt": rows}), path)


def by_polars(rows, path):
    import polars

    polars.DataFrame({"prompt": rows}, strict=False).write_parquet(path)


def by_duckdb(rows, path):
    import duckdb

    source = pa.table({"prompt": rows})  # noqa: F841, DuckDB finds it by its name
    duckdb.sql("select * from source").write_parquet(str(path))


def by_datasets(rows, path):
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"prompt": rows}).to_parquet(path)


def by_datasets_as_json(rows, path):
    import datasets

    kind = datasets.Value("string") if isinstance(rows[0], str) else [datasets.Json()]
    features = datasets.Features({"prompt": kind})
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"prompt": rows}, features=features).to_parquet(path)


WRITERS = [
    by_pandas,
    by_pandas_from_numpy,
    by_pyarrow,
    by_polars,
    by_duckdb,
    by_datasets,
    by_datasets_as_json,
]
LISTS = [
    pa.list_(MESSAGE),
    pa.large_list(MESSAGE),
    pa.list_(MESSAGE, 1),
    pa.list_view(MESSAGE),
    pa.large_list_view(MESSAGE),
    pa.list_(pa.map_(pa.string(), pa.string())),
]
STRINGS = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.large_string()),
    pa.json_(),
]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("rows", [TEXTS, CHATS], ids=["texts", "ragged chats"])
def test_whatever_wrote_the_file_the_prompts_are_the_same(tmp_path, writer, rows):
    path = tmp_path / "in.parquet"
    writer(rows, path)
    assert contents(path) == rows


@pytest.mark.parametrize("kind", STRINGS, ids=str)
def test_every_string_type_holds_texts(tmp_path, kind):
    assert contents(write(tmp_path / "in.parquet", make(TEXTS, kind))) == TEXTS


@pytest.mark.parametrize("kind", LISTS, ids=str)
def test_every_list_type_holds_chats(tmp_path, kind):
    column = pa.array([list(map(pairs, chat)) for chat in CHATS[:1]] * 3, pa.list_(MAP))
    if not pa.types.is_map(kind.value_type):
        column = pa.array(CHATS[:1] * 3, kind)
    assert contents(write(tmp_path / "in.parquet", column)) == CHATS[:1] * 3


MAP = pa.map_(pa.string(), pa.string())


def pairs(message: dict) -> list[tuple]:
    return list(message.items())


def make(values, kind):
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)


def test_maps_and_nulls_inside_messages_become_plain_dicts_without_absent_keys(tmp_path):
    call = pa.struct([("name", pa.string()), ("id", pa.string()), ("arguments", MAP)])
    kind = pa.struct([*MESSAGE, ("tool_calls", pa.list_(call))])
    calls = [{"name": "add", "arguments": [("a", "1")]}]
    rows = [[{"role": "user", "content": "1+0?"}, {"role": "assistant", "tool_calls": calls}]]
    (chat,) = contents(write(tmp_path / "in.parquet", pa.array(rows, pa.list_(kind))))
    assert chat[0] == {"role": "user", "content": "1+0?"}
    tool_calls = [{"name": "add", "arguments": {"a": "1"}}]
    assert chat[1] == {"role": "assistant", "content": None, "tool_calls": tool_calls}


def test_lists_of_text_parts_are_content(tmp_path):
    rows = [[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]]
    assert contents(write(tmp_path / "in.parquet", pa.array(rows))) == rows


def test_json_text_is_read_as_a_chat_only_when_asked_for(tmp_path):
    text = "\n " + json.dumps(CHATS[1])
    path = write(tmp_path / "in.parquet", [text, json.dumps(CHATS[0][0]), "plain"])
    assert contents(path)[0] == text
    assert contents(path, prompt_format=JSON) == [CHATS[1], CHATS[0], "plain"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2", "does not parse"),
        ("[INST] Hi", "does not parse"),
        ("[" * 100_000, "does not parse"),
        ("[]", "empty list of messages"),
        ('["Hi"]', 'message 1 of 1 is "Hi"'),
        ('{"question": "Hi"}', "has no role"),
        ('[{"role": "user", "content": 3}]', "content 3, which is not text"),
        ('[{"role": "user", "content": []}]', "content [], which is not text"),
        ('[{"role": "user", "content": [{"type": "image"}]}]', "not a text part"),
        ('[{"role": "user", "content": [{"type": "text"}]}]', "text part without text"),
        ('[{"role": "user", "content": "\\ud800"}]', "half a surrogate pair"),
    ],
)
def test_json_that_is_no_chat_is_an_error_of_its_row(tmp_path, text, reason):
    error, good = errors(tmp_path, [text, "plain"], prompt_format=JSON)
    assert reason in error and good is None


def test_null_and_empty_texts_are_errors_and_blank_ones_are_not(tmp_path):
    found = errors(tmp_path, [None, "", " "])
    assert found == ["the prompt is null", "the prompt is empty text", None]
    assert set(errors(tmp_path, pa.nulls(2))) == {"the prompt is null"}


def test_a_chat_that_cannot_be_asked_says_which_message_is_wrong(tmp_path):
    good = CHATS[0][0]
    rows = [None, [], [good, {"content": "x"}], [{"role": "user"}], [good, None], [good]]
    null, empty, *wrong, last = errors(tmp_path, pa.array(rows, pa.list_(MESSAGE)))
    assert (null, empty) == ("the prompt is null", "the prompt is an empty list of messages")
    assert wrong == [
        "message 2 of 2 has no role",
        "message 1 of 1 has no content",
        "message 2 of 2 is null, not a role and content",
    ]
    assert last is None


def test_a_role_that_is_not_text_is_an_error(tmp_path):
    (error,) = errors(tmp_path, [[{"role": 1, "content": "Hi"}]])
    assert error == "message 1 of 1 has role 1, not text"


def test_always_makes_a_user_message_of_a_text(tmp_path):
    path = write(tmp_path / "in.parquet", ["Hi"])
    assert contents(path, apply_chat_template=Template.always) == [CHATS[0]]


def test_never_takes_texts_and_refuses_chats(tmp_path):
    never = {"apply_chat_template": Template.never}
    assert "apply_chat_template=auto" in refusal(write(tmp_path / "c.parquet", CHATS), **never)
    texts = ["Hi", json.dumps(CHATS[0])]
    assert errors(tmp_path, texts, **never, prompt_format=JSON)[0] is None
    assert "template=never" in errors(tmp_path, texts, **never, prompt_format=JSON)[1]


@pytest.mark.parametrize(
    "column",
    [
        [1],
        [b"x"],
        [["x"]],
        [{"role": "user", "content": "Hi"}],
        pa.array([1]).dictionary_encode(),
        [[[("role", "user")]]],
    ],
    ids=["int", "binary", "list of text", "struct", "dictionary", "list of list"],
)
def test_a_column_that_holds_no_prompts_is_refused_with_its_type_and_what_fits(tmp_path, column):
    path = write(tmp_path / "in.parquet", column, question=["Hi"])
    message = refusal(path)
    assert str(pq.read_schema(path).field("prompt").type) in message
    assert message.endswith("fitting columns: question. Type data.prompt_key=question")


def test_messages_with_other_keys_are_refused_by_name(tmp_path):
    path = write(tmp_path / "in.parquet", [[{"from": "human", "value": "Hi"}]])
    assert "messages of from, value, but role and content are needed" in refusal(path)


def test_a_missing_column_is_refused_with_those_that_exist(tmp_path):
    path = write(tmp_path / "in.parquet", id=[1], Prompt=["Hi"])
    message = refusal(path)
    assert "has columns id, Prompt." in message
    assert message.endswith("Did you mean 'Prompt'? Type data.prompt_key=Prompt")


def test_a_column_named_twice_is_refused(tmp_path):
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, ["x", "x"]), tmp_path / "in.parquet")
    assert "in.parquet has two columns 'x'" in refusal(tmp_path / "in.parquet", prompt_key="x")
    write(tmp_path / "a.parquet", x=["a"])
    assert "in.parquet has two columns 'x'" in refusal(tmp_path, prompt_key="x")


def test_a_column_name_may_hold_dots(tmp_path):
    path = write(tmp_path / "in.parquet", **{"a.b": ["Hi"], "a": [{"b": 1}], "a.b.c": [2]})
    assert contents(path, prompt_key="a.b") == ["Hi"]
    assert next(open_prompts(Data(input=path, prompt_key="a.b")).batches()).num_columns == 3


BAD_FILES = {
    b"": "it is empty",
    b"a,b\n1,2\n": "looks like CSV; convert it: pandas.read_csv('bad.x').to_parquet('bad.parquet')",
    b"a\tb\n1\t2\n": "CSV",
    b'{"prompt": "Hi"}\n': "looks like JSON lines; convert it: pandas.read_json",
    b'\n [{"prompt": "Hi"}]\n': "looks like JSON;",
    b"\x1f\x8b\x08aaaaaaaaaaa": "gzip",
    b"PK\3\4aaaaaaaaaaa": "zip",
    b"version https://git-lfs.github.com/spec/v1\n": "git lfs pull",
    b"<html></html>": "web page",
    b"PAR1" + b"x" * 99: "cut off",
    b"\0\1\2\3": "it starts with",
}


@pytest.mark.parametrize("data", BAD_FILES)
def test_a_file_that_is_no_parquet_is_refused_with_what_it_looks_like(tmp_path, data):
    path = tmp_path / "bad.x"
    path.write_bytes(data)
    assert f"{path} is not a parquet file" in refusal(path)
    assert BAD_FILES[data] in refusal(path)


@pytest.mark.parametrize("keep", [0.3, 0.99])
def test_a_parquet_file_cut_short_is_refused(tmp_path, keep):
    path = Path(write(tmp_path / "in.parquet", TEXTS))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    assert "is cut off (no footer)" in refusal(path)


def test_a_damaged_footer_is_refused(tmp_path):
    path = Path(write(tmp_path / "in.parquet", TEXTS))
    data = path.read_bytes()
    path.write_bytes(data[:-60] + b"\xff" * 52 + data[-8:])
    assert f"{path} cannot be read: it is damaged" in refusal(path)


def test_damaged_rows_end_the_run_with_the_name_of_the_file(tmp_path):
    path = Path(write(tmp_path / "in.parquet", [str(i) * 50 for i in range(99)]))
    data = path.read_bytes()
    path.write_bytes(data[:4] + b"\xff" * 200 + data[204:])
    with pytest.raises(RolloutError, match="cannot be read"):
        read(path)


def test_a_file_that_changes_during_the_run_ends_it(tmp_path):
    path = write(tmp_path / "in.parquet", TEXTS)
    prompts = open_prompts(Data(input=path))
    write(tmp_path / "in.parquet", [*TEXTS[:2], "other"])
    with pytest.raises(RolloutError, match="was changed during the run"):
        list(prompts)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_refused_with_the_reason(tmp_path):
    path = Path(write(tmp_path / "in.parquet", TEXTS))
    path.chmod(0)
    assert refusal(path) == f"{path} cannot be read: Permission denied"
    tmp_path.chmod(0)
    assert refusal(tmp_path) == f"data.input={tmp_path}: Permission denied"
    tmp_path.chmod(0o700)


def test_an_input_that_is_not_set_says_what_to_type():
    assert "type data.input=FILE.parquet" in refusal(None)


def test_a_missing_file_is_refused_with_the_one_that_was_meant(tmp_path):
    write(tmp_path / "prompts.parquet", TEXTS)
    assert "Did you mean 'prompts.parquet'?" in refusal(tmp_path / "promts.parquet")
    assert "Beside it: prompts.parquet" in refusal(tmp_path / "zzz")
    assert f"the directory {tmp_path / 'no'}" in refusal(tmp_path / "no" / "x.parquet")


def test_other_places_without_parquet_are_refused(tmp_path):
    assert "holds no *.parquet file" in refusal(tmp_path)
    assert "matches no file" in refusal(tmp_path / "*.parquet")
    assert "only local files are read" in refusal("hf://datasets/x/y.parquet")
    assert "no Python package 'nowhere'" in refusal("pkg://nowhere/x.parquet")
    assert "not a regular file" in refusal("/dev/null")
    assert "File name too long" in refusal("x" * 5000)


def test_an_input_without_rows_is_refused(tmp_path):
    path = write(tmp_path / "in.parquet", pa.array([], pa.string()))
    assert refusal(path) == f"data.input={path} has no rows"


def test_an_offset_beyond_the_end_is_refused(tmp_path):
    path = write(tmp_path / "in.parquet", TEXTS)
    assert "data.offset=3 leaves nothing: the input has 3 rows" in refusal(path, offset=3)


def test_a_directory_is_read_in_the_order_of_names_without_leftovers(tmp_path):
    for name in ["b.parquet", "a.parquet", "_old.parquet", ".part.parquet", "c/d.parquet", "x.csv"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, [name])
    (tmp_path / "_temporary").mkdir()
    write(tmp_path / "_temporary" / "e.parquet", ["e"])
    assert contents(tmp_path) == ["a.parquet", "b.parquet", "c/d.parquet"]
    assert contents(tmp_path / "**" / "*d.parquet") == ["_old.parquet", "c/d.parquet"]
    assert contents(tmp_path / "[c]") == ["c/d.parquet"]


def test_a_path_hangs_on_the_start_directory_and_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    tmp_path = tmp_path / "a [b]"
    tmp_path.mkdir()
    path = Path(write(tmp_path / "in[1].parquet", TEXTS))
    for text, start in [("in[1].parquet", tmp_path), ("*.parquet", tmp_path), ("~/a*/in*", None)]:
        assert open_prompts(Data(input=text), start).files == [path]


def test_the_demo_has_four_texts_and_four_chats():
    demo = Data(input="pkg://rollout/examples/prompts.parquet", prompt_format=JSON)
    prompts = list(open_prompts(demo))
    assert [type(p.content) for p in prompts] == [str, list] * 4
    assert [{"role": "user", "content": "What is the capital of France?"}] in [
        p.content for p in prompts
    ]


def test_files_are_one_input_whatever_the_order_of_their_columns(tmp_path):
    write(tmp_path / "a.parquet", ["a", "b"], id=pa.nulls(2), extra=[[{"x": None}], []])
    tail = {"prompt": ["c"], "extra": [[{"x": 1}]], "id": [3]}
    pq.write_table(pa.table(tail), tmp_path / "b.parquet")
    prompts = open_prompts(Data(input=str(tmp_path)))
    assert [(p.index, p.row, p.content) for p in prompts] == [(0, 0, "a"), (1, 1, "b"), (2, 2, "c")]
    table = pa.Table.from_batches(prompts.batches(), prompts.schema)
    assert table["id"].to_pylist() == [None, None, 3]
    assert table["extra"].to_pylist() == [[{"x": None}], [], [{"x": 1}]]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"id": ["3"]}, "column 'id' is int64 in one, string in the other"),
        ({"id": [3], "more": [1]}, "only b.parquet has column 'more'"),
        ({}, "only a.parquet has column 'id'"),
    ],
)
def test_files_that_disagree_are_refused_by_name(tmp_path, columns, reason):
    first = write(tmp_path / "a.parquet", ["a"], id=[1])
    second = write(tmp_path / "b.parquet", ["b"], **columns)
    message = refusal(tmp_path)
    assert first in message and second in message and reason in message


def ten_rows(tmp_path) -> Path:
    table = pa.table({"prompt": [str(i) for i in range(10)]})
    pq.write_table(table.slice(0, 7), tmp_path / "a.parquet", row_group_size=3)
    pq.write_table(table.slice(7), tmp_path / "b.parquet", row_group_size=2)
    return tmp_path


@pytest.mark.parametrize("limit", [None, 1, 2, 6, 99])
@pytest.mark.parametrize("offset", range(10))
def test_offset_and_limit_take_a_window_of_the_rows(tmp_path, offset, limit):
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


def test_the_digest_changes_with_the_input_and_not_with_its_place(tmp_path):
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


def test_importing_the_room_imports_no_pyarrow():
    code = "import rollout.prompts, sys; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
