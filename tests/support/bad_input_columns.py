"""Columns that hold no prompts, or have names that cannot be kept."""

import pyarrow as pa
from bad_input import TEXTS, USER, prompts, renamed_bytes, table, two_columns
from bad_input_cases import refused, typed_so

BYTES = "str.decode('utf-8')"
COLUMNS = {
    "whole numbers": refused(prompts([1, 2]), "holds int64", "astype(str)"),
    "numbers with NaN": refused(prompts([1.5, float("nan")]), "holds double", "astype(str)"),
    "booleans": refused(prompts([True, False]), "holds bool", "astype(str)"),
    "bytes": refused(prompts([b"Hi"]), "holds binary", BYTES),
    "bytes of one size": refused(prompts([b"Hi"], pa.binary(2)), "holds fixed_size_binary", BYTES),
    "a struct": refused(prompts([USER]), "a list of messages with role and content"),
    "lists of text": refused(prompts([["Hi"]]), "holds list<", "role and content"),
    "lists of numbers": refused(prompts([[1]]), "holds list<"),
    "messages with other keys": refused(
        prompts([[{"speaker": "human", "said": "Hi"}]]),
        "messages with speaker, said, but role and content are needed",
        "rename",
    ),
    "messages with numbers for content": refused(
        prompts([[{"role": "user", "content": 3}]]), "content of int64"
    ),
    "messages with bytes for content": refused(
        prompts([[{"role": "user", "content": b"Hi"}]]), "content of binary"
    ),
    "numbers where another column fits": refused(
        table({"prompt": [1], "question": ["Hi"]}), "Type data.prompt_key=question"
    ),
    "another name for the prompts": refused(
        table({"question": ["Hi"]}), "has columns question.", "Type data.prompt_key=question"
    ),
    "a slip in data.prompt_key": typed_so(
        "data.prompt_key=promt", "Did you mean 'prompt'?", "Type data.prompt_key=prompt"
    ),
    "no column that fits": refused(table({"id": [1]}), "None of them holds prompts"),
    "two columns of prompts": refused(two_columns("prompt"), "two columns 'prompt'; rename one"),
    "two other columns of a name": refused(two_columns("x"), "two columns 'x'; rename one"),
    "a column name that is not UTF-8": refused(
        renamed_bytes(b"cafes", b"caf\xe9s", {"prompt": TEXTS, "cafes": [1, 2]}),
        "in.parquet can't be read",
        "name is not UTF-8; rename it",
    ),
    "a message key that is not UTF-8": refused(
        renamed_bytes(b"cafes", b"caf\xe9s", {"prompt": [[USER | {"cafes": "x"}]]}),
        "in.parquet can't be read",
        "name is not UTF-8; rename it",
    ),
    "a column responses": refused(
        table({"prompt": TEXTS, "responses": TEXTS}), "'responses' already", "output.prefix=new_"
    ),
    "a column error": refused(
        table({"prompt": TEXTS, "error": TEXTS}), "'error' already", "output.prefix=new_"
    ),
    "a column finish_reason": refused(
        table({"prompt": TEXTS, "finish_reason": TEXTS}), "'finish_reason' already", "output.prefix"
    ),
    "chats and data.apply_chat_template=never": typed_so(
        "data.apply_chat_template=never", "type data.apply_chat_template=auto",
        build=prompts([[USER]]),
    ),
}  # fmt: skip
