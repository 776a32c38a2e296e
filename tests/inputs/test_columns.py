"""Column types: every parquet writer gives the same prompts, and wrong types are named."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prompt_files import CHATS, MESSAGE, TEXTS, contents, make, refusal, write

from rollout.config.sections.data import Data
from rollout.inputs.prompts import open_prompts


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

    source = pa.table({"prompt": rows})  # noqa: F841, DuckDB finds it by name
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
MAP = pa.map_(pa.string(), pa.string())
LISTS = [
    pa.list_(MESSAGE),
    pa.large_list(MESSAGE),
    pa.list_(MESSAGE, 1),
    pa.list_view(MESSAGE),
    pa.large_list_view(MESSAGE),
    pa.list_(MAP),
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
def test_every_writer_gives_the_same_prompts(tmp_path, writer, rows):
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


def pairs(message: dict) -> list[tuple]:
    return list(message.items())


def test_maps_and_nulls_inside_messages_become_plain_dicts_without_absent_keys(tmp_path):
    function = pa.struct([("name", pa.string()), ("strict", pa.bool_()), ("arguments", MAP)])
    call = pa.struct([("id", pa.string()), ("function", function)])
    kind = pa.struct([*MESSAGE, ("tool_calls", pa.list_(call))])
    calls = [{"function": {"name": "add", "arguments": [("a", "1")]}}]
    rows = [[{"role": "user", "content": "1+0?"}, {"role": "assistant", "tool_calls": calls}]]
    (chat,) = contents(write(tmp_path / "in.parquet", pa.array(rows, pa.list_(kind))))
    assert chat[0] == {"role": "user", "content": "1+0?"}
    tool_calls = [{"function": {"name": "add", "arguments": {"a": "1"}}}]
    assert chat[1] == {"role": "assistant", "content": None, "tool_calls": tool_calls}


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
def test_a_column_without_prompts_is_refused_with_its_type_and_the_suitable_one(tmp_path, column):
    path = write(tmp_path / "in.parquet", column, question=["Hi"])
    message = refusal(path)
    assert str(pq.read_schema(path).field("prompt").type) in message
    assert message.endswith("suitable columns: question. Type data.prompt_key=question")


def test_messages_with_other_keys_are_refused_by_name(tmp_path):
    path = write(tmp_path / "in.parquet", [[{"speaker": "human", "said": "Hi"}]])
    assert "messages with speaker, said, but role and content are needed" in refusal(path)


def test_a_missing_column_is_refused_with_the_existing_ones(tmp_path):
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
