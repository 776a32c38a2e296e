"""Preparing chats that other tools write: ShareGPT, OpenAI batch lines, mixed shapes."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollout.config.sections.data import Data
from rollout.config.sections.prepare import LastAnswer, OnBadRow, Prepare
from rollout.errors import UserError
from rollout.inputs.prompts import open_prompts
from rollout.prepare.prepare import prepare
from rollout.system.console import Console

HI = {"role": "user", "content": "Hi"}
YES = {"role": "assistant", "content": "Yes."}
DROP = LastAnswer.drop
CALL = {"type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TOOL = {"type": "function", "function": {"name": "add"}}


@pytest.fixture
def made(tmp_path):
    """`made(rows)` prepares JSON lines; returns the printed result and the prompts a run reads."""

    def make(rows, run=(), **more):
        source = tmp_path / "in.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        out = tmp_path / "out.parquet"
        out.unlink(missing_ok=True)
        settings = Prepare(source=str(source), **more)
        done = prepare(settings, out, Console(quiet=True), tmp_path)
        return str(done), list(open_prompts(Data(input=str(out), **dict(run))))

    return make


def turns(*pairs):
    return {"conversations": [{"from": speaker, "value": value} for speaker, value in pairs]}


def line(number, **body):
    url = {"method": "POST", "url": "/v1/chat/completions"}
    return {"custom_id": f"r{number}", **url, "body": {"model": "m", **body}}


def test_sharegpt_is_read_as_chats_whose_calls_a_run_can_ask(made):
    call = json.dumps({"name": "add", "arguments": {"a": 1}})
    rows = [
        turns(("system", "s"), ("human", "Hi"), ("gpt", "Yes."), ("human", "Hi")),
        turns(("human", "Hi"), ("function_call", call), ("observation", "1")),
    ]
    _, (first, second) = made(rows, prompt_column="conversations")
    assert first.content == [{"role": "system", "content": "s"}, HI, YES, HI]
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    assert second.content == [HI, called, {"role": "tool", "content": "1"}]


def test_the_answer_at_the_end_of_sharegpt_is_dropped_only_when_asked_for(made):
    rows = [turns(("human", "Hi"), ("gpt", "Yes."))]
    with pytest.raises(UserError, match="type last_answer=drop to generate it anew"):
        made(rows, prompt_column="conversations")
    _, (dropped,) = made(rows, prompt_column="conversations", last_answer=DROP)
    assert dropped.content == [HI]
    _, (chat,) = made([{"messages": [HI, YES]}], prompt_column="messages", last_answer=DROP)
    assert chat.content == [HI]


def test_batch_lines_become_prompts_with_their_tools_and_sampling(made):
    rows = [
        line(1, messages=[HI], temperature=0.2, max_completion_tokens=5, n=3, stream=False),
        line(2, messages=[HI, YES, HI], tools=[TOOL]),
    ]
    text, (first, second) = made(
        rows, run={"sampling_key": "sampling", "tools_key": "tools"}.items()
    )
    assert first.content == [HI] and first.sampling == {"temperature": 0.2, "max_tokens": 5}
    assert second.content == [HI, YES, HI] and second.tools == [TOOL] and not second.sampling
    assert "ignored in body      model (2), n (1), stream (1)" in text
    assert text.endswith(" data.tools_key=tools data.sampling_key=sampling")
    text, _ = made(rows[:1])
    assert text.endswith("out.parquet data.sampling_key=sampling")


def test_batch_lines_of_any_shape_keep_all_of_their_messages(made, tmp_path):
    parts = {"role": "user", "content": [{"type": "text", "text": "Look."}]}
    called = {"role": "assistant", "content": None, "tool_calls": [CALL | {"id": "c1"}]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "1"}
    rows = [line(1, messages=[parts]), line(2, messages=[HI, called, result])]
    _, found = made(rows)
    assert [p.content for p in found] == [[parts], [HI, called, result]]
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["prompt", "custom_id", "tools", "sampling"]
    assert table["custom_id"].to_pylist() == ["r1", "r2"]


def test_a_batch_line_without_messages_is_a_bad_row(made):
    rows = [line(1, messages=[HI]), line(2, prompt="Hi")]
    with pytest.raises(UserError, match=r"line 2: body has no messages"):
        made(rows)
    text, found = made(rows, on_error=OnBadRow.skip)
    assert len(found) == 1 and "bad, skipped         1" in text


def test_a_column_of_mixed_messages_loses_nothing(made):
    rows = [
        {"messages": [HI]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        {"messages": [HI, {"role": "assistant", "tool_calls": [CALL]}, HI]},
    ]
    _, found = made(rows, prompt_column="messages")
    assert [p.content[0]["content"] for p in found] == [
        "Hi",
        rows[1]["messages"][0]["content"],
        "Hi",
    ]
    assert found[2].content[1]["tool_calls"] == [CALL]


def test_a_chat_as_json_text_is_refused_with_the_setting_that_reads_it(made):
    with pytest.raises(UserError, match=r"a run reads that with data\.prompt_format=json"):
        made([{"prompt": json.dumps([HI])}])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "Hi", "messages": [HI]},
            "may hold the prompts; type prompt_column=prompt",
        ),
        ({"id": "1", "messages": [HI]}, "type prompt_column=messages"),
        ({"id": "1", "question": "Q"}, "type prompt_column=question"),
        (turns(("human", "Hi")) | {"id": "1"}, "type prompt_column=conversations"),
    ],
)
def test_the_likely_column_is_named_and_never_guessed(made, row, message):
    with pytest.raises(UserError, match=message):
        made([row])


def test_a_system_message_that_no_chat_takes_is_refused(made):
    own = {"role": "system", "content": "s"}
    with pytest.raises(UserError, match="system applies to 0 of 2 rows: every chat has"):
        made([{"prompt": [own, HI]}] * 2, system="Mine.")
    _, found = made([{"prompt": [own, HI]}, {"prompt": [HI]}], system="Mine.")
    assert found[1].content[0]["content"] == "Mine."


def test_json_chats_of_a_source_stay_json(made, tmp_path):
    texts = pa.array([[json.dumps(HI)]], pa.list_(pa.string()))
    messages = pa.ExtensionArray.from_storage(pa.json_(pa.string()), texts.values)
    chats = pa.ListArray.from_arrays(texts.offsets, messages)
    pq.write_table(pa.table({"prompt": chats}), tmp_path / "in.parquet")
    settings = Prepare(source=str(tmp_path / "in.parquet"))
    prepare(settings, tmp_path / "out.parquet", Console(quiet=True), tmp_path)
    (prompt,) = open_prompts(Data(input=str(tmp_path / "out.parquet")))
    assert prompt.content == [HI]
