"""Rows of a sample browser: prompts of any type, both layouts, reasoning, answers, bad texts."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chat_shapes import CHATS
from hostile_texts import TEXTS
from scored_files import browser_of_file, output_file, scored_file

from rollout.errors import UserError
from rollout.report.page import PromptView, SampleView
from rollout.report.prompt_texts import cut, messages_from
from rollout.report.samples import rows_of_file

HI = [{"role": "user", "content": "Hi"}]
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])


def views(path, **options) -> list[PromptView]:
    return browser_of_file(path, **options).prompts


def first_sample(path, **options) -> SampleView:
    return views(path, **options)[0].samples[0][0]


def write(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_a_row_has_prompt_samples_and_answer(tmp_path):
    path = output_file(
        tmp_path / "o.parquet", num_response_tokens=[[1, 2, 3, 4]] * 2, num_prompt_tokens=[7, 8]
    )
    view = views(path)[1]
    assert (view.number, view.messages, view.reference) == (1, [("", "question 1")], "yes")
    assert view.num_prompt_tokens == 8 and view.errors == [None]
    assert view.samples[0][1] == SampleView("yes", None, "stop", 2)


def test_a_scored_row_has_verdicts_answers_and_what_was_compared(tmp_path):
    view = views(scored_file(tmp_path))[0]
    assert [sample.verdict for sample in view.samples[0]] == ["wrong", "right", "wrong", "wrong"]
    assert [sample.score for sample in view.samples[0]] == [0.0, 1.0, 0.0, 0.0]
    assert view.samples[0][0].extracted == "no" and view.reference == "yes"


def test_a_row_that_could_not_be_judged_says_why(tmp_path):
    path = scored_file(tmp_path, answer=pa.array([None, "yes"]))
    sample = first_sample(path)
    assert sample.verdict == "unjudged" and sample.score is None and "null" in sample.error


def test_a_failed_row_has_its_reason_and_no_samples(tmp_path):
    path = output_file(tmp_path / "o.parquet", [["a"], []], error=[None, "it broke"])
    assert views(path)[1].errors == ["it broke"] and views(path)[1].samples == [[]]


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        (pa.array(["text"]), [("", "text")]),
        (pa.array(["text"], pa.large_string()), [("", "text")]),
        (pa.array(["text"]).dictionary_encode(), [("", "text")]),
        (pa.array([HI], pa.list_(MESSAGE)), [("user", "Hi")]),
        (pa.array([HI], pa.large_list(MESSAGE)), [("user", "Hi")]),
        (
            pa.array([[list(HI[0].items())]], pa.list_(pa.map_(pa.string(), pa.string()))),
            [("user", "Hi")],
        ),
        (pa.array([json.dumps(HI)]), [("user", "Hi")]),
        (pa.array([[json.dumps(HI[0])]]), [("user", "Hi")]),
        (pa.array([[{"from": "human", "value": "Hi"}]]), [("user", "Hi")]),
        (pa.array([[5, 6, 7]]), [("", "token ids 5 6 7")]),
        (pa.array(["[1, 2"]), [("", "[1, 2")]),
        (pa.array([""]), [("", "")]),
        (pa.array([None], pa.string()), [("", "(null)")]),
        (pa.array([b"\xff\xfe"]), [("", "(not UTF-8 text)")]),
        (pa.array([3.0]), [("", "3")]),
    ],
)
def test_prompts_of_every_type_are_shown(tmp_path, prompts, expected):
    path = write(tmp_path / "o.parquet", prompt=prompts, responses=[["a"]])
    assert views(path)[0].messages == expected


@pytest.mark.parametrize("name", CHATS)
def test_chats_of_every_shape_keep_their_roles(name):
    chat = CHATS[name]
    shown = messages_from(chat)
    assert [role.partition(" (")[0] for role, _ in shown] == [m["role"] for m in chat]
    assert all(isinstance(text, str) for _, text in shown)


def test_tool_calls_parts_and_reasoning_are_shown_as_text():
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    chat = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "1 +"}, {"type": "text", "text": "2"}],
        },
        {"role": "assistant", "content": None, "reasoning": "so", "tool_calls": [call]},
        {"role": "tool", "name": "add", "content": "3"},
    ]
    assert messages_from(chat) == [
        ("user", "1 +\n2"),
        ("assistant", '[reasoning] so\n[tool call] add({"a": 1})'),
        ("tool (add)", "3"),
    ]


def test_half_a_surrogate_pair_is_escaped():
    assert cut("a\ud800b") == "a\\ud800b"


def test_thinking_is_split_from_the_answer(tmp_path):
    texts = [["<think>\nso\n</think>\n4", "so\n</think>\n4", "<think>so", "4"]]
    found = views(output_file(tmp_path / "o.parquet", texts))[0].samples[0]
    assert [(s.reasoning, s.text) for s in found] == [
        ("so", "4"), ("so", "4"), ("so", ""), (None, "4"),
    ]  # fmt: skip


def test_a_run_s_own_split_is_kept(tmp_path):
    path = output_file(
        tmp_path / "o.parquet", [["[a] b"]], reasoning=[["a"]], final_response=[["b"]]
    )
    assert (first_sample(path).reasoning, first_sample(path).text) == ("a", "b")


def test_both_layouts_show_the_same_rows(tmp_path):
    whole = output_file(tmp_path / "a.parquet", [["a", "b"], [], ["c"]], error=[None, "x", None])
    lines = write(
        tmp_path / "b.parquet",
        prompt=["question 0", "question 0", "question 1", "question 2"],
        answer=["yes"] * 4,
        row=[0, 0, 1, 2],
        sample_index=pa.array([0, 1, None, 0], pa.int32()),
        response=["a", "b", None, "c"],
        finish_reason=["stop", "stop", None, "stop"],
        error=[None, None, "x", None],
    )
    assert views(lines) == views(whole)


def test_rows_of_one_line_per_sample_have_the_run_s_numbers(tmp_path):
    path = write(tmp_path / "o.parquet", row=[7, 7, 9], response=["a", "b", "c"])
    assert [(v.number, len(v.samples[0])) for v in views(path)] == [(7, 2), (9, 1)]


def test_a_directory_of_parts_is_read_in_order(tmp_path):
    for i in range(3):
        output_file(tmp_path / f"part-0000{i}.parquet", [[f"a{i}"]] * 2)
    assert [view.samples[0][0].text for view in views(tmp_path)] == [
        "a0",
        "a0",
        "a1",
        "a1",
        "a2",
        "a2",
    ]


def test_columns_of_a_prefix_are_found(tmp_path):
    path = write(
        tmp_path / "o.parquet", prompt=["p"], gen_responses=[["a"]], gen_num_response_tokens=[[5]]
    )
    assert first_sample(path) == SampleView("a", num_tokens=5)


def test_without_a_column_prompt_the_likeliest_one_is_shown(tmp_path):
    path = write(tmp_path / "o.parquet", id=["x"], question=["why?"], responses=[["a"]])
    assert views(path)[0].messages == [("", "why?")]
    assert views(path, prompt_key="id")[0].messages == [("", "x")]


def test_a_gym_entry_gives_the_answer(tmp_path):
    entry = json.dumps({"answer": "42", "metadata": {"source_dataset": "chain_sum"}})
    path = write(tmp_path / "o.parquet", responses=[["a"]], reasoning_gym_entry=[entry])
    assert views(path)[0].reference == "42"


def test_bytes_that_are_not_text_are_replaced(tmp_path):
    flat = pa.Array.from_buffers(
        pa.string(),
        2,
        [None, pa.array([0, 2, 4], pa.int32()).buffers()[1], pa.py_buffer(b"\xffaok")],
    )
    responses = pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), flat)
    path = write(tmp_path / "o.parquet", responses=responses)
    assert [sample.text for sample in views(path)[0].samples[0]] == ["\ufffda", "ok"]


def test_null_responses_are_empty_and_said_to_be_null(tmp_path):
    path = write(tmp_path / "o.parquet", responses=pa.array([[None], None], pa.list_(pa.string())))
    assert first_sample(path) == SampleView("", error="the response is null")
    assert views(path)[1].samples == [[]]


def test_hostile_texts_are_held_as_they_are(tmp_path):
    path = output_file(tmp_path / "o.parquet", [[text] for text in TEXTS])
    found = [view.samples[0][0] for view in views(path)]
    for text, sample in zip(TEXTS, found, strict=True):
        if "<think>" not in text and "</think>" not in text and len(text) <= 20_000:
            assert sample.text == text


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"prompt": ["a"]}, {}, "has no column 'responses', only prompt; .* responses_key=COLUMN"),
        ({"responses": [1]}, {}, "column 'responses' of .* holds int64; a page needs responses"),
        ({"responses": [[b"a"]]}, {}, "holds list<.*: binary>; a page needs responses"),
        ({"a_responses": [["a"]], "b_responses": [["a"]]}, {}, "type responses_key=a_responses"),
        ({"responses": [["a"]]}, {"responses_key": "answers"}, "responses_key=answers"),
        ({"out": [1]}, {"responses_key": "out"}, "that column of .* holds int64; a page needs"),
        ({"responses": [["a"]]}, {"prompt_key": "q"}, "prompt_key=q: .* has no such column"),
    ],
)
def test_a_file_without_the_column_is_refused_and_says_what_to_type(
    tmp_path, columns, options, message
):
    path = write(tmp_path / "o.parquet", **columns)
    with pytest.raises(UserError, match=message):
        browser_of_file(path, **options)


def test_a_file_that_is_not_parquet_is_refused(tmp_path):
    (tmp_path / "o.parquet").write_text("id,text\n")
    with pytest.raises(UserError, match="not a parquet file"):
        browser_of_file(tmp_path / "o.parquet")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("kind", "rows", "numbers"),
    [
        (pa.uint32(), [4, 4, 2**32 - 1, None], [4, 2**32 - 1, -1]),
        (pa.uint64(), [4, 4, 2**64 - 5, 2**64 - 6], [4, -5, -6]),
        (pa.int8(), [-128, -128, 3, 3], [-128, 3]),
        (pa.int64(), [-(2**63), -(2**63), 3, 3], [-(2**63), 3]),
        (pa.dictionary(pa.int8(), pa.uint16()), [7, 7, 9, 9], [7, 9]),
    ],
)
def test_row_numbers_of_any_width_tell_which_lines_belong_together(tmp_path, kind, rows, numbers):
    """Unsigned ones ended in a traceback, and the least int8 in a warning of numpy."""
    columns = {"prompt": list("aabb"), "response": list("wxyz")}
    path = write(tmp_path / "o.parquet", row=pa.array(rows, kind), **columns)
    assert list(rows_of_file(path).numbers) == numbers
