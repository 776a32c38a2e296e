"""Columns of every type are published, scored and exported unchanged."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typed_in_process import POSTPROCESS, ROLLOUT, typed

from rollout.inputs.columns import values_of
from rollout.system.formats.parquet_writer import Writer

VIEWS = pa.struct([("a", pa.string_view()), ("b", pa.list_(pa.binary_view()))])
BELOW = {
    "struct": (VIEWS, [{"a": "x", "b": [b"1", None]}, None, {"a": None, "b": None}]),
    "list": (pa.list_(VIEWS), [[{"a": "x", "b": []}, None], None, []]),
    "large list view": (pa.large_list_view(VIEWS), [[{"a": "x", "b": []}], None, [None]]),
    "fixed size": (pa.list_(VIEWS, 1), [[{"a": "x", "b": None}], None, [None]]),
    "map": (pa.map_(pa.string(), VIEWS), [[("k", {"a": "x", "b": []})], None, []]),
}


NAMED = pa.struct([("role", pa.string_view()), ("content", pa.string()), ("name", pa.string())])
CHATS_IN = {
    "list": pa.list_(NAMED), "large list": pa.large_list(NAMED), "list view": pa.list_view(NAMED),
    "large list view": pa.large_list_view(NAMED), "fixed size list": pa.list_(NAMED, 1),
}  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(**columns):
    table = pa.table(columns)
    with Writer("in.parquet", table.schema) as writer:
        writer.write_table(table)
    return table


@pytest.mark.parametrize("name", BELOW)
def test_views_below_structs_are_published_with_their_type(here, name):
    """Arrow's writer can't slice them, so the run failed after everything was generated."""
    kind, values = BELOW[name]
    given = write(prompt=["p", "q", "r"], x=pa.array(values, kind))
    run = ["engine=scripted", "tracking=none", "data.input=in.parquet", "run_dir=run",
           "data.offset=1", "sampling.max_tokens=4"]  # fmt: skip
    done = typed(ROLLOUT, *run)
    assert done.code == 0, done.err
    found = pq.read_table("run/output.parquet")["x"]
    assert found.type == kind and found.to_pylist() == given["x"].to_pylist()[1:]


@pytest.mark.parametrize("name", CHATS_IN)
def test_chats_in_any_list_are_exported_with_their_further_members(here, name):
    """In large lists, which polars writes, and list views, a `name` made all rows be dropped."""
    chats = [[{"role": "user", "content": "hi", "name": "z"}]] * 2
    write(prompt=pa.array(chats, CHATS_IN[name]), answer=["4", "5"], responses=[["4"], ["6"]])
    done = typed(
        POSTPROCESS, "input=in.parquet", "output.path=s.parquet", "scorer=exact",
        "export.format=prompt_completion", "export.path=t.parquet",
    )  # fmt: skip
    assert done.code == 0, done.err
    (row,) = pq.read_table("t.parquet").to_pylist()
    assert row["prompt"] == chats[0]


def test_an_ability_that_is_not_text_is_exported_to_verl_as_text(here):
    """It ended in a traceback from Arrow."""
    write(prompt=["p"], answer=["4"], ability=[7], responses=[["4"]])
    done = typed(
        POSTPROCESS, "input=in.parquet", "output.path=s.parquet", "scorer=exact",
        "export.format=verl", "export.path=t.parquet",
    )  # fmt: skip
    assert done.code == 0 and pq.read_table("t.parquet")["ability"].to_pylist() == ["7"]


@pytest.mark.parametrize("key", [pa.struct([("k", pa.int8())]), pa.binary(), pa.date32()])
def test_a_map_with_keys_of_any_type_is_read_and_exported(here, key):
    """A struct as key ended scoring with a function, bytes ended an export to verl."""
    keys = {"struct": {"k": 1}}.get(str(key)[:6], 0 if key == pa.date32() else b"k")
    column = pa.array([[(keys, 1)], None], pa.map_(key, pa.int8()))
    list(values_of(column))
    write(prompt=["p", "q"], answer=["4", "5"], m=column, responses=[["4"], ["6"]])
    done = typed(
        POSTPROCESS, "input=in.parquet", "output.path=s.parquet", "scorer=exact",
        "export.format=verl", "export.path=t.parquet", "export.answer_key=m",
    )  # fmt: skip
    assert done.code == 0, done.err
    (row,) = pq.read_table("t.parquet").to_pylist()
    json.loads(row["reward_model"]["ground_truth"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["estimate.group_by=[answer,answer]"], "estimate.group_by names 'answer' twice"),
        (["export.keep=[answer,answer]"], "export.keep names 'answer' twice"),
        (["select.min_chars=5", "select.max_chars=2"], "select.min_chars=5 is above"),
        (["answer_key=responses"], "answer_key=responses is the column with the responses"),
        (["export.keep=[nope]"], "has no column 'nope'. Choose from: prompt, answer"),
    ],
)
def test_unusable_settings_are_refused_before_any_work(here, words, message):
    write(prompt=["p"], answer=["4"], responses=[["4"]])
    done = typed(
        POSTPROCESS, "input=in.parquet", "output.path=s.parquet", "scorer=exact",
        "export.format=sft", "export.path=t.parquet", *words,
    )  # fmt: skip
    assert done.code == 2 and message in done.err and done.err.count("\n") == 1
    assert [path.name for path in here.iterdir()] == ["in.parquet"]
