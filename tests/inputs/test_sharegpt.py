"""Chats from other tools: ShareGPT turns, and the choice among several columns of prompts."""

import json

import pyarrow as pa
import pytest
from prompt_files import contents, errors, read, refusal, write

from rollout.config.sections.data import Data, PromptFormat
from rollout.config.sections.prepare import LastAnswer
from rollout.inputs.prompts import open_prompts

SHAREGPT = PromptFormat.sharegpt
DROP, KEEP = {"last_answer": LastAnswer.drop}, {"last_answer": LastAnswer.keep}
TURN = pa.struct([("from", pa.string()), ("value", pa.string())])


def turns(*pairs):
    return [{"from": speaker, "value": value} for speaker, value in pairs]


def messages(*pairs):
    return [{"role": role, "content": text} for role, text in pairs]


HI, YES = ("human", "Hi"), ("gpt", "Yes.")


@pytest.fixture
def path(tmp_path):
    """Write five rows; the second ends with the answer."""
    call = json.dumps({"name": "add", "arguments": {"a": 1}})
    rows = [
        turns(("system", "Be brief."), HI),
        turns(HI, YES),
        turns(("user", "Hi"), ("function_call", call), ("observation", "1")),
        turns(HI, YES, HI),
        turns(("alien", "Hi")),
    ]
    return write(tmp_path / "in.parquet", pa.array(rows, pa.list_(TURN)))


def test_turns_are_read_as_messages_on_request(path):
    system, ended, called, more, odd = read(path, prompt_format=SHAREGPT)
    assert system.content == messages(("system", "Be brief."), ("user", "Hi"))
    function = {"name": "add", "arguments": {"a": 1}}
    assert called.content == [
        *messages(("user", "Hi")),
        {"role": "assistant", "content": None,
         "tool_calls": [{"type": "function", "function": function}]},
        *messages(("tool", "1")),
    ]  # fmt: skip
    assert [m["role"] for m in more.content] == ["user", "assistant", "user"]
    assert "turn 1 of 1 is from 'alien', not one of human, user, gpt" in odd.error
    assert "data.last_answer=drop" in ended.error and "data.last_answer=keep" in ended.error


def test_the_answer_at_the_end_is_dropped_or_continued_only_on_request(path):
    dropped, kept = (read(path, prompt_format=SHAREGPT, **how)[1] for how in (DROP, KEEP))
    assert dropped.content == messages(("user", "Hi"))
    assert kept.content == messages(("user", "Hi"), ("assistant", "Yes."))


def test_turns_in_json_text_are_read_too(tmp_path):
    texts = [json.dumps(turns(HI)), "Hi", "[1]", None]
    good, *bad = read(write(tmp_path / "in.parquet", texts), prompt_format=SHAREGPT)
    assert good.content == messages(("user", "Hi"))
    assert [p.error for p in bad] == [
        "the prompt is not a list of turns with from and value",
        "turn 1 of 1 is 1, not from and value",
        "the prompt is null",
    ]


def test_a_column_of_turns_is_refused_with_the_setting_that_reads_it(path, tmp_path):
    assert refusal(path).endswith(
        "holds ShareGPT turns (from, value); type data.prompt_format=sharegpt"
    )
    other = write(tmp_path / "o.parquet", conversations=pa.array([turns(HI)], pa.list_(TURN)))
    assert refusal(other).endswith("Type data.prompt_key=conversations data.prompt_format=sharegpt")
    chats = write(tmp_path / "c.parquet", [messages(("user", "Hi"))])
    assert "holds messages with role and content; leave it out" in refusal(
        chats, prompt_format=SHAREGPT
    )


def test_turns_in_json_text_read_as_messages_name_the_setting(tmp_path):
    (error,) = errors(tmp_path, [json.dumps(turns(HI))], prompt_format=PromptFormat.json)
    assert error.endswith(
        "has from and value, not role and content; type data.prompt_format=sharegpt"
    )


def test_chats_of_messages_lose_their_answer_only_on_request(tmp_path):
    chat = messages(("user", "Hi"), ("assistant", "Yes."))
    alone = messages(("system", "x"), ("assistant", "Yes."))
    path = write(tmp_path / "in.parquet", [chat, alone])
    assert contents(path) == [chat, alone]
    dropped, none = read(path, **DROP)
    assert dropped.content == chat[:1]
    assert none.error == "there is no prompt before the assistant's answer, which is dropped"


@pytest.mark.parametrize(
    ("columns", "typed"),
    [
        (["id", "messages", "question"], "data.prompt_key=messages"),
        (["question", "answer"], "data.prompt_key=question"),
        (["source", "instruction", "output"], "data.prompt_key=instruction"),
        (["a", "b"], "data.prompt_key=NAME"),
    ],
)
def test_a_missing_column_is_refused_with_the_likely_one(tmp_path, columns, typed):
    chat = [messages(("user", "Hi"))]
    path = write(
        tmp_path / "in.parquet", **{c: chat if c == "messages" else ["x"] for c in columns}
    )
    assert refusal(path).endswith(f"Type {typed}")


def test_openai_batch_lines_are_refused_with_the_command_that_reads_them(tmp_path):
    line = {"custom_id": "1", "body": {"model": "m", "messages": messages(("user", "Hi"))}}
    (tmp_path / "b.jsonl").write_text(json.dumps(line))
    packed = write(tmp_path / "in.parquet", custom_id=["1"], body=[line["body"]])
    for message in (refusal(packed), refusal(tmp_path / "b.jsonl")):
        assert "OpenAI batch lines; make prompts of them: python -m rollout.prepare" in message


def test_messages_next_to_the_prompt_are_refused_until_one_is_chosen(typed, tmp_path):
    path = write(tmp_path / "in.parquet", ["Hi"], messages=[messages(("user", "Yo"))])
    words = ("engine=scripted", "tracking=none", f"data.input={path}", "sampling.n_samples=1")
    message = typed.refused(*words)
    assert "has columns 'prompt' and 'messages', and either may hold the prompts" in message
    assert message.endswith("type data.prompt_key=prompt, or data.prompt_key=messages")
    run = (*words, f"run_dir={tmp_path / 'r'}")
    assert typed(*run, "data.prompt_key=prompt").code == 0
    assert typed(*run).code == 0  # resumed: it was chosen


def test_columns_are_read_again_with_the_same_identity(path):
    first, second = (open_prompts(Data(input=path, prompt_format=SHAREGPT)) for _ in range(2))
    assert [p.digest for p in first] == [p.digest for p in second]
