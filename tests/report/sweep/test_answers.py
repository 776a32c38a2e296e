"""Responses in a sweep's table: next to their prompts, and null if a file can't be read."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sweep_points import answered, table

from rollout.report.sweep.answers import MAX_ROWS, first_answers


def answers(directory: Path, *points):
    return table(directory, points)["responses"].to_pylist()


def test_responses_are_next_to_their_prompts_with_the_row_of_the_file(tmp_path):
    done = answered(tmp_path / "a", ["one", "two"], [["1", "I"], []])
    assert answers(tmp_path, done) == [
        [
            {"row": 0, "prompt": "one", "responses": ["1", "I"]},
            {"row": 1, "prompt": "two", "responses": []},
        ]
    ]


def test_columns_are_found_by_the_names_the_point_gave_them(tmp_path):
    done = answered(tmp_path / "a", ["q"], [["r"]], prefix="new_", prompt_key="a.question")
    assert answers(tmp_path, done)[0][0] == {"row": 0, "prompt": "q", "responses": ["r"]}


@pytest.mark.parametrize(
    "chat",
    [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]',
        ['{"role": "system", "content": "Be brief."}', '{"role": "user", "content": "Hi"}'],
    ],
)
def test_a_chat_is_given_as_one_text(tmp_path, chat):
    done = answered(tmp_path / "a", [chat], [["r"]])
    if isinstance(chat, list) and isinstance(chat[0], str):
        kind = pa.list_(pa.json_())
        storage = pa.array([chat], pa.list_(pa.string())).cast(kind)
        pq.write_table(pa.table({"prompt": storage, "responses": [["r"]]}), tmp_path / "a")
    assert answers(tmp_path, done)[0][0]["prompt"] == "system: Be brief. / user: Hi"


@pytest.mark.parametrize(
    ("value", "text"),
    [('{"a": 1', '{"a": 1'), ("[1, 2]", "[1, 2]"), ("", ""), (None, None), ("[]", "[]"),
     ('[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]', "user: Hi"),
     ('[{"from": "human", "value": "Hi"}]', "user: Hi"),
     ('[{"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", '
      '"arguments": "{}"}}]}]', "assistant: [tool call] f({})"),
     ('[{"role": "user", "content": "\\ud800"}]', '[{"role": "user", "content": "\\ud800"}]')],
)  # fmt: skip
def test_text_that_is_not_a_chat_is_left_as_it_is(tmp_path, value, text):
    done = answered(tmp_path / "a", pa.array([value], pa.string()), [["r"]])
    assert answers(tmp_path, done)[0][0]["prompt"] == text


def test_bytes_that_are_not_text_are_null_in_their_row_only(tmp_path):
    bad = pa.array([b"\xff\xfe", b"fine"]).view(pa.string())
    rows = answers(tmp_path, answered(tmp_path / "a", bad, [["1"], ["2"]]))[0]
    assert [row["prompt"] for row in rows] == [None, "fine"]


def test_only_the_first_rows_are_read(tmp_path):
    texts = [f"prompt {i}" for i in range(2 * MAX_ROWS)]
    done = answered(tmp_path / "a", texts, [["r"]] * len(texts))
    rows = pq.read_table(tmp_path / "a")
    pq.write_table(rows, tmp_path / "a", row_group_size=MAX_ROWS, use_dictionary=False)
    second = pq.read_metadata(tmp_path / "a").row_group(1).column(0)
    data = bytearray((tmp_path / "a").read_bytes())
    data[second.data_page_offset : second.data_page_offset + 50] = b"\xff" * 50
    (tmp_path / "a").write_bytes(data)
    assert [row["row"] for row in answers(tmp_path, done)[0]] == list(range(MAX_ROWS))


def test_of_very_long_rows_fewer_are_read(tmp_path):
    answered(tmp_path / "a", ["p"] * 9, [["x" * 6_000_000]] * 9)
    assert len(first_answers(tmp_path / "a", "prompt", "responses")) == 3


def test_a_file_that_is_gone_or_unreadable_is_null_and_stops_nothing(tmp_path):
    fine, gone, cut_off, no_column, early = (
        answered(tmp_path / name, ["p"], [["r"]]) for name in "abcde"
    )
    Path(gone.figures["output_path"]).unlink()
    Path(cut_off.figures["output_path"]).write_bytes(b"PAR1 and no more")
    no_column.prefix, early.status = "other_", "running"
    found = answers(tmp_path, fine, gone, cut_off, no_column, early)
    assert [rows is None for rows in found] == [False, True, True, True, True]


def test_a_damaged_page_is_null_and_stops_nothing(tmp_path):
    done = answered(tmp_path / "a", ["p" * 99] * 9, [["r"]] * 9)
    data = bytearray((tmp_path / "a").read_bytes())
    data[4:60] = b"\xff" * 56
    (tmp_path / "a").write_bytes(data)
    assert answers(tmp_path, done) == [None]
