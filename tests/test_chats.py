"""One row's value: asked as text or as a chat, or an error of its row that says what is wrong."""

import json

import pyarrow as pa
import pytest
from prompt_files import CHATS, JSON, MESSAGE, contents, errors, refusal, write

from rollout.config import Template


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
        ('[{"role": "user", "content": [{"type": "image"}]}]', "part of type image; only text"),
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
