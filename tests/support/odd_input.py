"""Odd but good input: exit 0, every row answered, every column back with its type and values."""

import decimal
import os
import uuid
from datetime import date, datetime, time, timedelta

import pyarrow as pa
from bad_input import (
    DICTIONARY,
    MAP,
    MESSAGE,
    NAME,
    TEXTS,
    USER,
    beside,
    both,
    chats,
    fifo,
    good,
    json_texts,
    link,
    made,
    of_storage,
    pandas_file,
    prompts,
    raw,
    raw_strings,
    row_groups,
    table,
)
from bad_input_cases import INPUT, JSON, fine

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
