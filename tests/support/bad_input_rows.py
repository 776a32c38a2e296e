"""Rows that cannot be sent: exit 0; these rows have an error, and all others are answered."""

import pyarrow as pa
from bad_input import (
    DICTIONARY,
    MAP,
    PART,
    USER,
    chats,
    json_texts,
    pandas_file,
    prompts,
    raw_chats,
    raw_strings,
)
from bad_input_cases import JSON, bad_rows

NO_UTF8 = "the prompt is not UTF-8"
ROWS = {
    "texts": bad_rows(
        {1: "the prompt is null", 2: "empty text", 3: NO_UTF8, 4: NO_UTF8, 5: "max_model_len is"},
        prompts(raw_strings(b"a", None, b"", b"caf\xe9", b"\xed\xa0\x80", b"a " * 5000, b"b")),
    ),
    "NaN among texts, as pandas has it": bad_rows(
        {1: "the prompt is null"},
        pandas_file(lambda pd: pd.DataFrame({"prompt": ["a", float("nan")]})),
    ),
    "large text that is not UTF-8": bad_rows(
        {1: NO_UTF8}, prompts(raw_strings(b"a", b"\xff", kind=pa.large_string()))
    ),
    "a dictionary with a text that is not UTF-8": bad_rows(
        {1: NO_UTF8},
        prompts(raw_strings(b"a", b"\xff", kind=DICTIONARY)),
    ),
    "a chat that is not UTF-8": bad_rows({1: NO_UTF8}, prompts(raw_chats(b"a", b"\xff", b"b"))),
    "chats": bad_rows(
        {
            1: "the prompt is null",
            2: "an empty list of messages",
            3: "message 2 of 2 is null",
            4: "message 1 of 1 has no role",
            5: "message 2 of 2 has no content",
            6: "message 1 of 1 has no content",
        },
        chats(
            None,
            [],
            [USER, None],
            [{"content": "a"}],
            [USER, {"role": "user"}],
            [{"role": "user", "content": None}],
            [USER],
        ),
    ),
    "maps without role or content": bad_rows(
        {0: "has no role", 1: "has no content"},
        prompts([[[("content", "a")]], [[("role", "user")]], [list(USER.items())]], pa.list_(MAP)),
    ),
    "an image among the parts": bad_rows(
        {1: "has a part of type image_url; only text is supported"},
        prompts(
            [
                [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
                [{"role": "user", "content": [{"type": "image_url", "image_url": "a.png"}]}],
            ],
            pa.list_(pa.struct([("role", pa.string()), ("content", pa.list_(PART))])),
        ),
    ),
    "JSON": bad_rows(
        {
            1: "does not parse",
            2: "does not parse",
            3: "has no role",
            4: "has no role",
            5: "not a role and content",
            6: "an empty list of messages",
            7: "content 3, which is not text",
            8: "has no content",
            9: "holds NaN",
            10: "role 7, not text",
            11: "half a surrogate pair",
        },
        json_texts(
            '[{"role": "us',
            "[" * 99_999,
            {"question": "Hi"},
            {"messages": [USER]},
            ["Hi"],
            [],
            *([USER | {"content": value}] for value in (3, None, float("nan"))),
            [USER | {"role": 7}],
            [USER | {"content": "\ud800"}],
            [USER],
        ),
        JSON,
    ),
    "what the engine refuses": bad_rows(
        {1: "the script refuses"}, prompts(["a", "SECRET", "b"]), "engine.scripted.refuse=SECRET"
    ),
}
