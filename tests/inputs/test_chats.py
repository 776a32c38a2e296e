"""One row's value becomes a text or a chat, or an error of its row that says what is wrong."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chat_shapes import CHATS as SHAPES
from prompt_files import CHATS, JSON, MESSAGE, contents, errors, refusal, write

from rollout.config.sections.data import Data, Template
from rollout.inputs.chats import content_of
from rollout.rows.prompt import Prompt


def test_lists_of_text_parts_are_content(tmp_path):
    rows = [[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]]
    assert contents(write(tmp_path / "in.parquet", pa.array(rows))) == rows


def test_json_text_is_read_as_a_chat_only_on_request(tmp_path):
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
        ('[{"role": "user", "content": [{"type": "image"}]}]', "part of type image; only text"),
        ('[{"role": "user", "content": [{"type": "text"}]}]', "text part without text"),
        ('[{"role": "user", "content": "\\ud800"}]', "half a surrogate pair"),
    ],
)
def test_json_that_is_not_a_chat_is_an_error_of_its_row(tmp_path, text, reason):
    error, good = errors(tmp_path, [text, "plain"], prompt_format=JSON)
    assert reason in error and good is None


def test_null_and_empty_texts_are_errors_and_blank_ones_are_not(tmp_path):
    found = errors(tmp_path, [None, "", " "])
    assert found == ["the prompt is null", "the prompt is empty text", None]
    assert set(errors(tmp_path, pa.nulls(2))) == {"the prompt is null"}


def test_a_bad_chat_says_which_message_is_wrong(tmp_path):
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


def test_always_turns_a_text_into_a_user_message(tmp_path):
    path = write(tmp_path / "in.parquet", ["Hi"])
    assert contents(path, apply_chat_template=Template.always) == [CHATS[0]]


def test_never_accepts_texts_and_refuses_chats(tmp_path):
    never = {"apply_chat_template": Template.never}
    assert "apply_chat_template=auto" in refusal(write(tmp_path / "c.parquet", CHATS), **never)
    texts = ["Hi", json.dumps(CHATS[0])]
    assert errors(tmp_path, texts, **never, prompt_format=JSON)[0] is None
    assert "template=never" in errors(tmp_path, texts, **never, prompt_format=JSON)[1]


CALL = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
CALLED = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "content": "1"},
]
PARTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]


@pytest.mark.parametrize(
    ("value", "digest"),
    [
        ("Hi", "17d0dba9164f32b85681d9d1687edb23"),
        ([{"role": "user", "content": PARTS}], "cdae94d14fdc3df85ceb8c8bb4d3b93f"),
        (CALLED, "7c2b3bcaf66a2346079918775e7838f6"),
    ],
)
def test_a_rows_identity_is_that_of_earlier_versions(value, digest):
    """Unfinished runs are resumed by it, so it must not depend on the chat template."""
    assert Prompt(0, 0, content_of(value, Data())).digest.hex() == digest


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "user", "content": None}, "has no content"),
        ({"role": "tool", "content": {"a": 1}}, "which is not text"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "part of type input_audio; only"),
        ({"role": "user", "content": [{"text": "a"}]}, "which is not a text part"),
        ({"role": "assistant", "tool_calls": "x"}, "which is not a list"),
        ({"role": "assistant", "tool_calls": [{"name": "f"}]}, "not a function with name and arg"),
        ({"role": "assistant", "reasoning": ["so"]}, "has reasoning ['so'], which is not text"),
    ],
)
def test_members_a_template_would_never_receive_are_an_error_of_the_row(message, reason):
    with pytest.raises(ValueError) as error:
        content_of([message], Data())
    assert str(error.value).startswith("message 1 of 1 ") and reason in str(error.value)


@pytest.mark.parametrize("text", ['{"city": ', "Oslo", "[1]", "42"])
def test_arguments_that_are_not_a_json_object_are_refused_though_llm_chat_accepts_them(text):
    """vLLM replaces them by {} and writes a line to its log."""
    call = {"type": "function", "function": {"name": "weather", "arguments": text}}
    with pytest.raises(ValueError, match="has tool call arguments"):
        content_of([{"role": "assistant", "tool_calls": [call]}], Data())


def test_chats_of_every_shape_run_to_the_end(typed, tmp_path):
    """Engine, progress, summary and output all handle messages without text."""
    path = write(tmp_path / "in.parquet", [json.dumps(messages) for messages in SHAPES.values()])
    words = ("engine=scripted", "tracking=none", f"data.input={path}", "sampling.n_samples=2")
    done = typed(*words, "data.prompt_format=json", f"run_dir={tmp_path / 'r'}")
    assert done.code == 0, done.errors
    errors = pq.read_table(tmp_path / "r/output.parquet")["error"].to_pylist()
    assert [error for error in errors if error] == []
