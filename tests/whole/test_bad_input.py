"""The bad-input corpus: small files and settings, each with the verdict a user must get.

A fault of the whole is one line that says what to type, before work and with nothing left behind;
a fault of a row is that row's `error`; all else is answered with its columns as they were.
"""

import decimal
import json
import os
import uuid
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_input import (
    MAP,
    MESSAGE,
    NAME,
    PART,
    TEXTS,
    USER,
    Build,
    a_row_group_of_fewer_rows_than_the_file,
    arrow_stream,
    beside,
    both,
    cut,
    encrypted,
    feather,
    fewer_rows_than_the_footer_says,
    fifo,
    flipped_footer,
    flipped_page,
    good,
    gzipped,
    link,
    lost_page,
    made,
    no_row_groups,
    nothing,
    of_storage,
    pandas_file,
    prompts,
    raw,
    raw_chats,
    raw_strings,
    renamed_bytes,
    row_groups,
    table,
    two_columns,
    zipped,
)
from processes import rollout

INPUT = f"data.input={NAME}"
SCRIPTED = (
    "engine=scripted", "tracking=none", "engine.scripted.instant=true", "sampling.n_samples=2"
)  # fmt: skip
JSON = "data.prompt_format=json"


@dataclass(frozen=True)
class Case:
    """What is there, what is typed, and what must come of it."""

    build: Build
    words: tuple[str, ...]
    says: tuple[str, ...] = ()  # parts of the one line
    errors: dict[int, str] | None = None  # row -> part of its error
    code: int = 2  # where it says something


def refused(build: Build, *says: str, words: tuple[str, ...] = (INPUT,)) -> Case:
    return Case(build, words, says)


def broken(build: Build, *says: str) -> Case:
    """Found once work has begun: exit 1."""
    return Case(build, (INPUT,), says, code=1)


def typed_so(words: str, *says: str, build: Build = good) -> Case:
    """Words (one a line) typed with a good input."""
    return Case(build, (INPUT, *words.split("\n")), says)


FILES = {
    "a name with a slip": refused(
        made("prompts.parquet"),
        "does not exist. Did you mean 'prompts.parquet'?",
        words=("data.input=promts.parquet",),
    ),
    "a missing directory": refused(
        nothing, "Neither does the directory", words=("data.input=no/in.parquet",)
    ),
    "nothing typed after the equals sign": refused(
        nothing, "type data.input=FILE.parquet", words=("data.input=",)
    ),
    "two names": refused(
        made("a.parquet", "b.parquet"),
        "for several files type a glob or a directory",
        words=("data.input=a.parquet,b.parquet",),
    ),
    "a web address": refused(
        nothing, "download it and give its path", words=("data.input=hf://datasets/a/b.parquet",)
    ),
    "a user who is not there": refused(
        nothing, "there is no such home directory", words=("data.input=~nobody-at-all/in.parquet",)
    ),
    "a file of 0 bytes": refused(raw(b""), "in.parquet is not a parquet file: it is empty"),
    "a file cut in the middle": refused(cut(0.5), "cut off (no footer)", "copy it again"),
    "a file cut near its end": refused(cut(0.99), "cut off (no footer)"),
    "a footer with flipped bits": refused(flipped_footer, "in.parquet cannot be read: it is dam"),
    "row groups that have fewer rows than the file": refused(
        a_row_group_of_fewer_rows_than_the_file, "it is damaged"
    ),
    "an encrypted file": refused(encrypted(["prompt"], False), "encrypted", "decrypted copy"),
    "CSV": refused(raw(b"id,prompt\n1,Hi\n"), "CSV; convert it: pandas.read_csv('in.parquet')"),
    "JSON lines": refused(raw(b'{"prompt": "Hi"}\n'), "pandas.read_json('in.parquet', lines=True)"),
    "JSON": refused(raw(b'[{"prompt": "Hi"}]'), "convert it: pandas.read_json"),
    "zip": refused(zipped, "a zip file; unpack it"),
    "gzip": refused(gzipped, "a gzip file; unpack it"),
    "feather": refused(feather, "convert it: pandas.read_feather"),
    "an Arrow stream, as datasets saves": refused(arrow_stream, "datasets.Dataset.from_file"),
    "a web page": refused(raw(b"<!DOCTYPE html>"), "download it again"),
    "a Git LFS pointer": refused(raw(b"version https://git-lfs.github.com/spec/v1\n"), "lfs pull"),
    "plain text": refused(raw(b"Water boils at\n"), "starts with b'Water boils ", "convert it"),
    "no rows": refused(prompts([], pa.string()), "has no rows"),
    "no row groups": refused(no_row_groups, "has no rows"),
    "no columns": refused(table({}), "has no columns"),
    "a link that leads nowhere": refused(
        link(NAME, "gone.parquet"), "is a link to gone.parquet, which does not exist"
    ),
    "links in a circle": refused(
        both(link(NAME, "b.parquet"), link("b.parquet", NAME)), "links", "in a circle"
    ),
    "a pipe": refused(fifo(NAME), "not a regular file", "type data.input=FILE.parquet"),
    "a device": refused(nothing, "not a regular file", words=("data.input=/dev/null",)),
    "a directory without parquet": refused(
        both(made("data/"), raw(b"", "data/a.csv")), "holds no *.parquet file", "type a glob",
        words=("data.input=data",),
    ),
    "a directory with parquet in its subdirectories": refused(
        made("data/2024/a.parquet"), "data/**/*.parquet'", words=("data.input=data",)
    ),
    "a directory with one file that is no parquet": refused(
        both(made("data/a.parquet"), raw(b"a,b\n", "data/b.parquet")),
        "b.parquet is not a parquet file",
        words=("data.input=data",),
    ),
    "a directory with a link that leads nowhere": refused(
        both(made("data/a.parquet"), link("data/b.parquet", "gone")),
        "data/b.parquet is a link to gone, which does not exist",
        words=("data.input=data",),
    ),
    "a glob with a link that leads nowhere": refused(
        both(made("data/a.parquet"), link("data/b.parquet", "gone")),
        "data/b.parquet is a link to gone, which does not exist",
        words=("data.input=data/*.parquet",),
    ),
    "a glob that matches nothing": refused(
        made("a.parquet"), "Did you mean 'a.parquet'?", words=("data.input=b*.parquet",)
    ),
    "files whose types disagree": refused(
        both(table({"prompt": ["a"], "x": [1]}, "data/a.parquet"),
             table({"prompt": ["a"], "x": ["1"]}, "data/b.parquet")),
        "column 'x' is int64 in one, string in the other; write them alike",
        words=("data.input=data",),
    ),
    "files whose columns disagree": refused(
        both(made("data/a.parquet"), table({"prompt": ["a"], "x": [1]}, "data/b.parquet")),
        "only b.parquet has column 'x'",
        words=("data.input=data",),
    ),
}  # fmt: skip

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
        "messages of speaker, said, but role and content are needed",
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
        "in.parquet cannot be read",
        "name is not UTF-8; rename it",
    ),
    "a message key that is not UTF-8": refused(
        renamed_bytes(b"cafes", b"caf\xe9s", {"prompt": [[USER | {"cafes": "x"}]]}),
        "in.parquet cannot be read",
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

SETTINGS = {
    "an offset beyond the end": typed_so("data.offset=2", "the input has 2 rows"),
    "a limit of 0": typed_so("data.limit=0", "data.limit=0 is out of range: at least 1"),
    "a limit below 0": typed_so("data.limit=-1", "data.limit=-1 is out of range: at least 1"),
    "a shuffle of all rows": typed_so("data.shuffle_seed=1", "add data.limit=N or leave it out"),
    "a temperature of nan": typed_so("sampling.temperature=nan", "temperature=nan", "at least 0"),
    "a top_p of 0": typed_so("sampling.top_p=0", "above 0 and at most 1"),
    "no samples": typed_so("sampling.n_samples=0", "at least 1 and at most 16384"),
    "a million samples": typed_so("sampling.n_samples=1000000", "at most 16384"),
    "a word for a number": typed_so("sampling.temperature=hot", "hot is not float or null"),
    "a key that does not exist": typed_so("sampling.temprature=1", "'sampling.temperature'?"),
    "a key without a value": typed_so("sampling.seed", "type sampling.seed=..."),
    "a dashed key": typed_so("--n_samples=4", "type sampling.n_samples=4"),
    "a choice that does not exist": typed_so("data.on_error=ignore", "record|skip|fail"),
    "an output column that does not exist": typed_so(
        "output.columns=[seeds]", "Did you mean 'seed'?"
    ),
    "an output column twice": typed_so("output.columns=[seed,seed]", "names 'seed' twice"),
    "an output column without brackets": typed_so("output.columns=seed", "=[seed]"),
    "a bracket left open": typed_so("output.columns=[seed", "type output.columns=[seed] "),
    "brackets left open": typed_so("engine.extra={a:[1", "type engine.extra={a:[1]} "),
    "a list with a space, without quotes": typed_so(
        "output.columns=[seed,\nerror,\ntoken_ids]",
        "type 'output.columns=[seed, error, tok",
    ),
    "an empty run_dir": typed_so("run_dir=", "type run_dir=DIRECTORY"),
}

DEEP = "x" * 300
OWN_FILES = "job.chosen_output does not look at the run's own files"
HANGS_ON = "job.prepare does not look at what run_dir hangs on"
PLACES = {
    "an output that is a directory": typed_so(
        "output.path=out", "type a file in it", build=made(NAME, "out/")
    ),
    "an output that is the input": typed_so(
        f"output.path={NAME}\noutput.overwrite=true", "the input itself; type another output.path="
    ),
    "an output that is the input by another way": typed_so(
        f"output.path=sub/../{NAME}\noutput.overwrite=true", "the input itself",
        build=made(NAME, "sub/"),
    ),
    "an output that links to the input": typed_so(
        "output.path=out.parquet\noutput.overwrite=true", "the input itself",
        build=both(good, link("out.parquet", NAME)),
    ),
    "an output among the input files": refused(
        made("data/a.parquet"), "lies among the input files", "elsewhere",
        words=("data.input=data", "output.path=data/out.parquet"),
    ),
    "a run_dir among the input files": refused(
        made("data/a.parquet"), "lies among the input files",
        words=("data.input=data", "run_dir=data"),
    ),
    "an output that exists": typed_so(
        "output.path=out.parquet", "or output.overwrite=true", build=made(NAME, "out.parquet")
    ),
    "an output under a file": typed_so(
        f"output.path={NAME}/out.parquet", "can't write in", "type another output.path="
    ),
    "an output named as CSV": typed_so("output.path=out.csv", "type a name in .parquet"),
    "an output name that is too long": typed_so(f"output.path={DEEP}", "too long"),
    "an output name longer than the output may be": typed_so(
        f"output.path={DEEP[:240]}", "type a shorter one"
    ),
    "an output that is a pipe": typed_so(
        "output.path=pipe\noutput.overwrite=true", "type a name in .parquet",
        build=both(good, fifo("pipe")),
    ),
    "an output that is the run directory": typed_so(
        "output.path=run\nrun_dir=run", "type another output.path="
    ),
    "an output over the run's own record": typed_so(
        "output.path=run/shards\nrun_dir=run", "type another output.path="
    ),
    "a run_dir that is a file": typed_so(f"run_dir={NAME}", "is a file; type another run_dir="),
    "a run_dir inside a file": typed_so(f"run_dir={NAME}/run", "type another run_dir="),
    "a run_dir inside a file, with an output elsewhere": typed_so(
        f"run_dir={NAME}/run\noutput.path=out.parquet", "run_dir=", "type another run_dir="
    ),
    "a run_dir that leads nowhere": typed_so(
        "run_dir=run", "type another run_dir=", build=both(good, link("run", "gone/on"))
    ),
    "a run_dir among links in a circle": typed_so(
        "run_dir=run", "type another run_dir=", build=both(good, link("run", "run"))
    ),
    "an output among links in a circle": typed_so(
            "output.path=out.parquet", "type another output.path=",
            build=both(good, link("out.parquet", "out.parquet")),
        ),
    "a prefix under which the names are taken": typed_so(
            "output.prefix=new_", "'new_responses' already", "type output.prefix=newer_",
            build=table({"prompt": TEXTS, "new_responses": TEXTS}),
        ),
}  # fmt: skip

# Exit 0: these rows have an error, all others are answered.


def bad_rows(errors: dict[int, str], build: Build, *words: str) -> Case:
    return Case(build, (INPUT, *words), errors=errors)


def chats(*messages: list | None, kind: pa.DataType = MESSAGE) -> Build:
    """A good chat, then these."""
    return prompts([[USER], *messages], pa.list_(kind))


def json_texts(*texts: object) -> Build:
    """A good chat as JSON, then these."""
    return prompts(
        [json.dumps([USER]), *(t if isinstance(t, str) else json.dumps(t) for t in texts)]
    )


DICTIONARY = pa.dictionary(pa.int32(), pa.string())
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
        {1: "has a part of type image_url; only text is asked here"},
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

# Exit 0: every row answered, every column back with its type and values.


def fine(build: Build, *words: str) -> Case:
    return Case(build, words or (INPUT,), errors={})


ADD = {"name": "add", "arguments": [("a", "1")]}
FUNCTION = pa.struct([("name", pa.string()), ("arguments", MAP)])
CALL = pa.struct([("id", pa.string()), ("function", FUNCTION)])
CALLS = pa.struct([*MESSAGE, ("tool_calls", pa.list_(CALL))])
OTHERS = {
    "decimals": pa.array([decimal.Decimal("-1.50"), None, 0], pa.decimal128(20, 2)),
    "decimals of 256 bits": pa.array([decimal.Decimal(7), None, 0], pa.decimal256(60, 5)),
    "zoned": pa.array([datetime(2020, 1, 1), None, None], pa.timestamp("ns", "Europe/Berlin")),
    "seconds": pa.array([datetime(1500, 1, 1), None, None], pa.timestamp("s")),
    "durations": pa.array([timedelta(days=-1), None, None], pa.duration("us")),
    "times": pa.array([time(1, 2, 3, 4), None, None], pa.time64("ns")),
    "short times": pa.array([time(1, 2, 3), None, None], pa.time32("s")),
    "dates": pa.array([date(1500, 1, 1), None, None], pa.date32()),
    "dates of 64 bits": pa.array([date(2020, 1, 1), None, None], pa.date64()),
    "structs": pa.array([{"a": {"b": [1, None]}}, None, {"a": None}]),
    "maps": pa.array([[("a", "1")], [], None], MAP),
    "lists": pa.array([[[1.5], None], [], None]),
    "large lists": pa.array([["a"], [], None], pa.large_list(pa.large_string())),
    "list views": pa.array([["a"], [], None], pa.list_view(pa.string())),
    "lists of two": pa.array([[1, 2], None, [3, None]], pa.list_(pa.int16(), 2)),
    "nulls": pa.nulls(3),
    "uuids": of_storage(pa.uuid(), [uuid.UUID(int=1).bytes, None, b"x" * 16]),
    "tensors": of_storage(pa.fixed_shape_tensor(pa.int32(), [2]), [[1, 2], [3, 4], [5, 6]]),
    "small booleans": of_storage(pa.bool8(), [1, None, 0]),
    "half floats": pa.array([1.5, None, float("inf")], pa.float16()),
    "NaN": pa.array([float("nan"), -0.0, None]),
    "unsigned": pa.array([2**64 - 1, None, 0], pa.uint64()),
    "small": pa.array([-128, None, 127], pa.int8()),
    "bytes": pa.array([b"\xff\0", None, b""], pa.large_binary()),
    "bytes of one size": pa.array([b"ab", None, b"cd"], pa.binary(2)),
    "views of bytes": pa.array([b"a" * 20, None, b""], pa.binary_view()),
    "ordered": pa.DictionaryArray.from_arrays(pa.array([1, 0, None]), ["lo", "hi"], ordered=True),
    "small dictionary": pa.array(["a", None, "b"]).dictionary_encode().cast(
        pa.dictionary(pa.int8(), pa.string())
    ),
    "dictionaries in lists": pa.array(
        [["a"], None, ["b", "a"]], pa.list_(DICTIONARY)
    ),
    "not UTF-8": raw_strings(b"caf\xe9", b"a", b"\xed\xa0\x80"),
}  # fmt: skip
PLAIN = {
    "texts of any kind": fine(
        prompts(
            [
                *(" ", "\n\t", "🙂👩‍🚀", "Zoë", "你好", "שלום", "\u202eabc", "a\0b"),
                *("\x1b[31m", "\r\n"),
                *("{{ x }}", "${y}", "%s", "<|im_start|>", "[INST]", "null", "NaN"),
            ]
        )
    ),
    "texts of a megabyte": fine(prompts([f"{i}" * (1 << 20) for i in range(3)])),
    "large text": fine(prompts(TEXTS, pa.large_string())),
    "text views": fine(prompts(TEXTS, pa.string_view())),
    "a dictionary of text": fine(prompts(pa.array(TEXTS * 3).dictionary_encode())),
    "large text in many row groups": fine(
        prompts([f"q {i} " * 50 for i in range(300)], pa.large_string(), row_group_size=7)
    ),
    "row groups with dictionaries of their own": fine(
        row_groups(*({"prompt": pa.array([f"q {i}", "b"]).dictionary_encode(),
                      "x": pa.array([[f"{i}"], ["z"]], pa.list_(pa.dictionary("i4", "str")))}
                     for i in range(3)))
    ),
    "a row group without rows": fine(
        row_groups({"prompt": ["a"]}, {"prompt": pa.array([], pa.string())}, {"prompt": ["b"]})
    ),
    "chats of any kind": fine(
        chats(
            [{"role": "oracle", "content": "Hi"}],
            [{"role": "system", "content": "Be brief."}],
            [{"role": "user", "content": ""}],
        )
    ),
    "messages with further keys": fine(
        prompts([[USER], [USER | {"name": "Zoë", "weight": 1.5}]])
    ),
    "messages with tool calls": fine(
        chats(
            [USER, {"role": "assistant", "tool_calls": [{"function": ADD}]}],
            kind=CALLS,
        )
    ),
    "messages in parts of text": fine(
        prompts([[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]])
    ),
    "chats as lists of maps": fine(prompts([[list(USER.items())]] * 2, pa.list_(MAP))),
    "chats as lists of one size": fine(prompts([[USER]] * 2, pa.list_(MESSAGE, 1))),
    "chats as list views": fine(prompts([[USER]] * 2, pa.list_view(MESSAGE))),
    "chats as large lists": fine(prompts([[USER]] * 2, pa.large_list(MESSAGE))),
    "chats with roles in a dictionary": fine(
        prompts([[USER]] * 2, pa.list_(pa.struct([("role", pa.dictionary("i4", "str")),
                                                  ("content", pa.large_string())])))
    ),
    "chats as JSON, and plain text": fine(json_texts([USER, USER], USER, "plain"), INPUT, JSON),
    "JSON text that is not asked to be read": fine(json_texts('[{"role": "us')),
    "columns of every type": fine(beside(OTHERS)),
    "columns of every type in small row groups": fine(beside(OTHERS, row_group_size=2)),
    "timestamps as Spark writes them": fine(
        beside({"x": [datetime(2020, 1, 1)] * 3}, use_deprecated_int96_timestamps=True)
    ),
    "periods of pandas": fine(
        pandas_file(
            lambda pd: pd.DataFrame({"prompt": TEXTS, "x": pd.period_range("2020", periods=2)})
        )
    ),
    "an index of pandas": fine(
        pandas_file(lambda pd: pd.DataFrame({"prompt": TEXTS}, index=pd.Index([9, 8], name="key")))
    ),
    "columns with odd names": fine(
        table({"": ["Hi"], "a.b": [1], "a b": [2], "prompt\n": [3], "null": [4]}),
        INPUT,
        "data.prompt_key=",
    ),
    "a column named like a number": fine(table({"0": ["Hi"]}), INPUT, "data.prompt_key=0"),
    "a column responses under a prefix": fine(
        table({"prompt": TEXTS, "responses": TEXTS, "error": TEXTS, "finish_reason": TEXTS}),
        INPUT,
        "output.prefix=new_",
    ),
    "every codec": fine(
        both(*(table({"prompt": TEXTS}, f"data/{codec}.parquet", compression=codec)
               for codec in ("none", "snappy", "gzip", "brotli", "zstd", "lz4"))),
        "data.input=data",
    ),
    "old and new pages": fine(
        both(table({"prompt": TEXTS}, "data/a.parquet", version="1.0"),
             table({"prompt": TEXTS}, "data/b.parquet", data_page_version="2.0"),
             table({"prompt": TEXTS}, "data/c.parquet", write_page_checksum=True),
             table({"prompt": TEXTS}, "data/d.parquet", use_dictionary=False,
                   column_encoding={"prompt": "DELTA_BYTE_ARRAY"})),
        "data.input=data",
    ),
    "a link to a file": fine(both(made("real.parquet"), link(NAME, "real.parquet"))),
    "a directory with other things in it": fine(
        both(made("data/a.parquet", "data/b.parquet/"), raw(b"", "data/_SUCCESS"),
             raw(b"junk", "data/notes.txt"), raw(b"junk", "data/_metadata.parquet"),
             raw(b"junk", "data/.a.parquet.crc"), raw(b"junk", "data/.b.parquet"),
             fifo("data/c.parquet")),
        "data.input=data",
    ),
    "a name with spaces, signs and other scripts": fine(
        made("a b, ünï=你 (1) 'q' ${x}.parquet"), "data.input=a b, ünï=你 (1) 'q' ${x}.parquet"
    ),
    "a name with a line break": fine(made("a\nb.parquet"), "data.input=a\nb.parquet"),
    "a name that is not UTF-8": fine(
        made(os.fsdecode(b"caf\xe9.parquet")),
        "data.input=" + os.fsdecode(b"caf\xe9.parquet"),
    ),
    "a directory whose name is not UTF-8": fine(
        made(os.fsdecode(b"caf\xe9/in.parquet")), "data.input=" + os.fsdecode(b"caf\xe9")
    ),
    "an output whose name is not UTF-8": fine(
        good, INPUT, "output.path=" + os.fsdecode(b"\xe9.parquet")
    ),
    "a run_dir whose name is not UTF-8": fine(
        good, INPUT, "run_dir=" + os.fsdecode(b"\xe9"), "output.path=out.parquet"
    ),
    "a directory that links to itself, searched to the bottom": fine(
        both(made("data/in.parquet"), link("data/again", ".")), "data.input=data/**/*.parquet"
    ),
    "a name with brackets": fine(made("in[1].parquet"), "data.input=in[1].parquet"),
    "a name without suffix": fine(made("prompts"), "data.input=prompts"),
    "a path from home": fine(good, f"data.input=~/{NAME}"),
    "an output in a directory to be made": fine(good, INPUT, "output.path=a/b c/ö.parquet"),
    "an output that replaces another": fine(
        made(NAME, "out.parquet"), INPUT, "output.path=out.parquet", "output.overwrite=true"
    ),
    "a run_dir and output with odd names": fine(
        good, INPUT, "run_dir=runs/ü, {1}", "output.path=out $x 'y'.parquet"
    ),
    "a limit beyond the end": fine(good, INPUT, "data.limit=99"),
}  # fmt: skip

# Found where rows are read.
BROKEN = {
    "an overwritten page": broken(lost_page, f"{NAME} cannot be read: it is damaged"),
    "a flipped bit in a checksummed page": broken(
        flipped_page(compression="none", use_dictionary=False, write_page_checksum=True),
        f"{NAME} cannot be read: it is damaged",
    ),
    "fewer rows than the footer says": broken(
        fewer_rows_than_the_footer_says, f"{NAME} cannot be read: it is damaged"
    ),
}

# What might end the process without a word, or shows in its streams alone.
WHOLE = {
    "a prompt column encrypted under a plain footer": refused(
        encrypted(["prompt"], True), "has encrypted columns", "decrypted copy"
    ),
    "another column encrypted under a plain footer": refused(
        encrypted(["x"], True), "has encrypted columns", "decrypted copy"
    ),
    "a missing file whose name is not UTF-8": refused(
        nothing, "does not exist", words=("data.input=" + os.fsdecode(b"caf\xe9.parquet"),)
    ),
    "a page that cannot be read": broken(lost_page, "it is damaged"),
    "rows none of which can be asked": broken(prompts(["", None]), "see column error"),
}


@pytest.fixture
def ask(typed, monkeypatch):
    """Build a case, type its words, and hold what every case must."""
    monkeypatch.setenv("HOME", str(typed.here))

    def run(build, *words):
        build(typed.here)
        before = contents(typed.here)
        typed(*SCRIPTED, *words)
        assert "Traceback" not in "\n".join([typed.out, *typed.notes, *typed.errors])
        assert "a fault of rollout" not in "".join(typed.errors)
        assert len(typed.errors) == (typed.code != 0), typed.errors
        after = contents(typed.here)
        told = "output.overwrite=true" in words  # then the input alone must stay
        kept = [path for path in before if path == NAME or not told]
        assert [path for path in kept if after.get(path) != before[path]] == []
        return typed

    return run


def contents(here: Path) -> dict[str, bytes]:
    files = (path for path in here.rglob("*") if path.is_file())
    return {str(path.relative_to(here)): path.read_bytes() for path in files}


def every(*tables: dict[str, Case]) -> list:
    """The cases as parameters."""
    return [
        pytest.param(
            case,
            id=name,
        )
        for table in tables
        for name, case in table.items()
    ]


@pytest.mark.parametrize("case", every(FILES, COLUMNS, SETTINGS, PLACES))
def test_a_fault_of_the_whole_is_one_line_that_says_what_to_type(ask, case):
    typed = ask(case.build, *case.words)
    assert typed.code == 2 and typed.left == [] and typed.out == "", typed.errors
    assert [part for part in case.says if part not in typed.errors[0]] == [], typed.errors[0]


@pytest.mark.parametrize("case", every(ROWS, PLAIN))
def test_a_fault_of_a_row_is_its_error_and_all_else_is_answered_beside_it(ask, case):
    typed = ask(case.build, *case.words)
    assert typed.code == 0, typed.errors
    words = dict(word.split("=", 1) for word in case.words)
    given, answered = asked(typed.here, words), published(typed.here, words)
    prefix = words.get("output.prefix", "")
    errors = {row: e for row, e in enumerate(answered[prefix + "error"].to_pylist()) if e}
    assert errors.keys() == case.errors.keys(), errors
    assert all(case.errors[row] in error for row, error in errors.items()), errors
    counts = [len(responses) for responses in answered[prefix + "responses"].to_pylist()]
    assert counts == [0 if row in errors else 2 for row in range(given.num_rows)]
    assert answered.schema.metadata == given.schema.metadata
    assert [n for n in given.column_names if not same(given[n], answered[n])] == []


def asked(here: Path, words: dict[str, str]) -> pa.Table:
    """The rows of the input, read by pyarrow alone."""
    path = here / words["data.input"].removeprefix("~/").removesuffix("/**/*.parquet")
    files = sorted(path.glob("[!._]*.parquet")) if path.is_dir() else [path]
    return pa.concat_tables(pq.read_table(file.open("rb")) for file in files if file.is_file())


def published(here: Path, words: dict[str, str]) -> pa.Table:
    found = [*here.glob("outputs/*/*/output.parquet")]
    (path,) = [here / words["output.path"]] if "output.path" in words else found
    return pq.read_table(path.open("rb"))


def same(one: pa.ChunkedArray, two: pa.ChunkedArray) -> bool:
    """Equal in type and values; NaN equals itself."""
    return one.type == two.type and (one == two or repr(one.to_pylist()) == repr(two.to_pylist()))


@pytest.mark.parametrize("case", every(BROKEN))
def test_rows_that_cannot_be_read_end_the_run_with_the_name_of_the_file(ask, case):
    typed = ask(case.build, *case.words)
    assert typed.code == case.code
    assert [part for part in case.says if part not in typed.errors[0]] == [], typed.errors[0]


@pytest.mark.parametrize("case", every(WHOLE))
def test_the_process_too_ends_with_one_line_and_its_code(tmp_path, case):
    case.build(tmp_path)
    before = contents(tmp_path)
    done = rollout(*SCRIPTED, *case.words, cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if line.startswith("rollout: ")]
    assert (done.returncode, len(lines)) == (case.code, 1), done.stderr
    assert [part for part in case.says if part not in lines[0]] == [], lines[0]
    assert "Traceback" not in done.stderr + done.stdout
    assert case.code == 1 or contents(tmp_path) == before
