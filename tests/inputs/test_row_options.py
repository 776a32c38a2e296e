"""A row's own sampling parameters, token ids as prompts, and the identity of a row."""

from decimal import Decimal

import pyarrow as pa
import pytest
from prompt_files import CHATS, error_of, read, refusal, write

from rollout.config.sections.data import PromptFormat
from rollout.rows.prompt import Prompt

ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
SUB = {"name": "subtract"}
TOKENS = PromptFormat.tokens


# data.sampling_key


def test_a_rows_sampling_is_a_struct_a_map_or_json_without_nulls(tmp_path):
    structs = [{"temperature": 0.2, "stop": ["\n"], "top_k": None}, {"top_k": 5}, None]
    maps = pa.array([[("top_p", 0.5)], [], None], pa.map_(pa.string(), pa.float64()))
    texts = ['{"stop": ["a"], "seed": null}', "", "null"]
    found = []
    for column in (structs, maps, texts):
        path = write(tmp_path / "in.parquet", ["Hi"] * 3, own=column)
        found.append([row.sampling for row in read(path, sampling_key="own")])
    assert found == [
        [{"temperature": 0.2, "stop": ["\n"]}, {"top_k": 5}, None],
        [{"top_p": 0.5}, None, None],
        [{"stop": ["a"]}, None, None],
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("{", "sampling is not JSON"),
        ("[1]", "sampling is [1], not an object"),
        ('"x"', 'sampling is "x", not an object'),
        ('{"n": 2}', "sampling sets n, which is the same for all rows: type sampling.n_samples"),
        ('{"n_samples": 2}', "sampling.n_samples"),
        ('{"seed": 2}', "sampling.seed"),
        ('{"max_tokens": "auto"}', "max_tokens to"),
        ('{"max_tokens": 0}', "not a number above 0"),
        ('{"temperature": NaN}', "holds NaN"),
        ('{"stop": ["\\udc00"]}', "half a surrogate pair"),
        ({"temperature": float("nan")}, "sampling.temperature has nan"),
        ({"temperature": Decimal("0.5")}, "sampling.temperature has Decimal"),
        ({"stop": [b"x"]}, "text that is not UTF-8"),
        ({"seed": 1}, "sampling.seed"),
    ],
)
def test_bad_sampling_is_an_error_of_its_row(tmp_path, value, reason):
    (error,) = error_of(tmp_path, [value], "own", sampling_key="own")
    assert reason in error and "\n" not in error


@pytest.mark.parametrize("key", ["sampling_key", "tools_key"])
def test_an_option_column_of_the_wrong_type_is_refused(tmp_path, key):
    path = write(tmp_path / "in.parquet", ["Hi"], own=[3.5])
    assert "suitable columns: prompt" in refusal(path, **{key: "own"})
    assert f"data.{key}=ow: " in refusal(path, **{key: "ow"})
    assert "Did you mean" in refusal(path, **{key: "prompts"})


def test_keys_of_sampling_that_are_not_text_are_an_error_of_their_row(tmp_path):
    column = pa.array([[(1, 0.5)]], pa.map_(pa.int64(), pa.float64()))
    (error,) = error_of(tmp_path, column, "own", sampling_key="own")
    assert error == "sampling has the key 1, which is not text"


# data.prompt_format=tokens


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.int64()), pa.large_list(pa.uint16()), pa.list_(pa.int32(), 2)], ids=str
)
def test_token_ids_are_used_unchanged(tmp_path, kind):
    path = write(tmp_path / "in.parquet", pa.array([[5, 6], [7, 8]], kind))
    rows = read(path, prompt_format=TOKENS)
    assert [(r.content, r.error, r.token_ids) for r in rows] == [
        (None, None, [5, 6]),
        (None, None, [7, 8]),
    ]


def test_lists_that_are_not_token_ids_are_errors_of_their_rows(tmp_path):
    column = pa.array([None, [], [1, None], [-1], [3]], pa.list_(pa.int64()))
    path = write(tmp_path / "in.parquet", column)
    assert [row.error for row in read(path, prompt_format=TOKENS)] == [
        "the prompt is null",
        "the prompt is an empty list of token ids",
        "token 2 of 2 is null, not an id",
        "token 1 of 1 is -1, not an id",
        None,
    ]


def test_a_column_without_token_ids_is_refused(tmp_path):
    for column in (["1 2"], [[1.5]], [["1"]], [3]):
        path = write(tmp_path / "in.parquet", column, ids=[[1]])
        message = refusal(path, prompt_format=TOKENS)
        assert "not a list of integers (token ids)" in message
        assert message.endswith("suitable columns: ids")
    assert "data.prompt_format=tokens" in refusal(write(tmp_path / "in.parquet", [[1]]))


# Identity.


def test_digests_of_plain_rows_never_change():
    """Runs started before rows had options must still recognize their rows."""
    assert Prompt(0, 0, "Hi").digest.hex() == "17d0dba9164f32b85681d9d1687edb23"
    assert Prompt(0, 0, CHATS[0]).digest.hex() == "8116f69b72258e91d1be024e4eaa3254"


def test_every_change_of_a_request_changes_the_digest():
    prompts = [
        Prompt(0, 0, "1 2"),
        Prompt(0, 0, None),
        Prompt(0, 0, None, token_ids=[1, 2]),
        Prompt(0, 0, None, token_ids=[1, 2], sampling={"top_k": 1}),
        Prompt(0, 0, CHATS[0]),
        Prompt(0, 0, CHATS[0], tools=[SUB]),
        Prompt(0, 0, CHATS[0], tools=[ADD]),
        Prompt(0, 0, CHATS[0], sampling={"top_k": 1}),
        Prompt(0, 0, CHATS[0], sampling={"top_k": 2}),
    ]
    assert len({prompt.digest for prompt in prompts}) == len(prompts)
