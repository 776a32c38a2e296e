"""python -m rollout.prepare: how prompts are made, and which rows and columns are kept."""

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from preparing import ROWS, lines, made, prompts, refusal

from rollout.config.sections.data import Data
from rollout.config.sections.prepare import MadeOf
from rollout.inputs.prompts import open_prompts


def test_a_run_reads_what_was_made(here):
    made(here, lines(ROWS), template="{{ question }}", system="Level {{ level }}.")
    found = [prompt.content for prompt in open_prompts(Data(input="out.parquet"), here)]
    assert found[0] == [
        {"role": "system", "content": "Level 1."},
        {"role": "user", "content": "What is 1+1?"},
    ]


def test_chats_are_kept_unchanged_with_their_own_system_messages(here):
    chats = [
        [{"role": "user", "content": "Hi", "name": "Zoë"}],
        [
            {"role": "system", "content": "Own.", "name": None},
            {"role": "user", "content": "Hi", "name": None},
        ],
    ]
    pq.write_table(pa.table({"prompt": chats}), "in.parquet")
    assert prompts(here, "in.parquet", prompt_format=MadeOf.chat) == chats
    (here / "out.parquet").unlink()
    first, second = prompts(here, "in.parquet", prompt_format=MadeOf.chat, system="Ours.")
    assert first[0] == {"role": "system", "content": "Ours.", "name": None}
    assert [m["content"] for m in second] == ["Own.", "Hi"]


def test_examples_come_before_each_prompt(here):
    lines([{"question": "1?", "answer": 1}, {"question": "2?", "answer": 2}], "shots.jsonl")
    more = {"template": "Q: {{ question }}", "few_shot": "shots.jsonl", "num_few_shot": 1}
    chat = prompts(here, lines(ROWS), prompt_format=MadeOf.chat, **more)[0]
    assert [(m["role"], m["content"]) for m in chat] == [
        ("user", "Q: 1?"), ("assistant", "1"), ("user", "Q: What is 1+1?")
    ]  # fmt: skip
    (here / "out.parquet").unlink()
    assert prompts(here, "in.jsonl", system="S", **more)[0] == "S\n\nQ: 1? 1\n\nQ: What is 1+1?"


def test_prompts_with_examples_are_also_written_without_them(here):
    shots = lines([{"question": "1?", "answer": 1}], "shots.jsonl")
    more = {"prompt_column": "question", "few_shot": shots, "system": "S", "keep": ["level"]}
    row = made(here, lines(ROWS), **more)[0]
    assert list(row) == ["prompt", "prompt_zero_shot", "level"]
    assert row["prompt_zero_shot"] == [row["prompt"][0], row["prompt"][-1]]
    (here / "out.parquet").unlink()
    row = made(here, "in.jsonl", **more, prompt_format=MadeOf.text, prompt_key="q")[0]
    assert row["q_zero_shot"] == "S\n\nWhat is 1+1?"


def test_zero_shot_prompts_of_another_file_are_dropped(here):
    old = {"prompt": "Q", "prompt_zero_shot": "q", "answer": 1}
    assert list(made(here, lines([old]))[0]) == ["prompt", "prompt_zero_shot", "answer"]
    (here / "out.parquet").unlink()
    assert list(made(here, "in.jsonl", system="S")[0]) == ["prompt", "answer"]
    (here / "out.parquet").unlink()
    new = made(here, "in.jsonl", few_shot="in.jsonl")[0]
    assert new["prompt_zero_shot"] == [{"role": "user", "content": "Q"}]


def test_filter_limit_keep_and_rename_choose_rows_and_columns(here):
    found = made(
        here, lines(ROWS), template="{{ question }}", filter="level > 1", limit=1,
        rename={"gold": "answer"}, keep=["gold"], prompt_format=MadeOf.text,
    )  # fmt: skip
    assert found == [{"prompt": "Zoë 🙂?", "gold": "007"}]


def test_a_template_may_use_the_new_name_of_a_column(here):
    source = lines([{"the question": "Why?", "answer": "x"}])
    more = {"rename": {"q": "the question"}, "few_shot": source}
    assert prompts(here, source, template="{{ q }}", **more) == ["Why? x\n\nWhy?"]


def test_of_equal_prompts_the_first_stays(here):
    source = lines([*ROWS, {**ROWS[0], "level": 9}])
    found = made(here, source, template="{{ question }}", deduplicate=True)
    assert [row["level"] for row in found] == [1, 5, 3]


def test_shuffle_sample_and_splits_are_repeatable_and_lose_nothing(here):
    source = lines([{"q": str(i)} for i in range(5000)])

    def drawn(**more):
        found = prompts(here, source, template="{{ q }}", **more)
        for path in here.glob("out*.parquet"):
            path.unlink()
        return [int(text) for text in found]

    shuffled = drawn(shuffle=True, seed=1)
    assert sorted(shuffled) == list(range(5000)) != shuffled
    assert drawn(shuffle=True, seed=1) == shuffled != drawn(shuffle=True, seed=2)
    sample = drawn(sample=100)
    assert len(set(sample)) == 100 and sample == sorted(sample) and sample[-1] > 4000
    splits = drawn(splits={"train": 0.9, "test": 0.1})
    assert sorted(splits) == list(range(5000))
    assert splits[:4500] == sorted(splits[:4500]) and splits[4500:] == sorted(splits[4500:])


def test_splits_are_files_beside_each_other(here):
    made(here, lines(ROWS), prompt_column="question", splits={"a": 2 / 3, "b": 1 / 3})
    sizes = {path.name: pq.read_metadata(path).num_rows for path in here.glob("out*")}
    assert sizes == {"out-a.parquet": 2, "out-b.parquet": 1}


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"template": "{{ qestion }}"}, "template names qestion: "),
        ({"template": "{{ question"}, "template is not a Jinja template"),
        ({"template": "{{ question.x.y }}"}, "in.jsonl, line 1: template fails on this row"),
        ({"prompt_column": "anser"}, "Did you mean 'answer'?"),
        ({"prompt_column": "level"}, "neither strings nor chats"),
        ({}, "type prompt_column=question, or template="),
        ({"prompt_column": "question", "filter": "level > 9"}, "3 removed by filter"),
        ({"prompt_column": "question", "filter": "level >"}, "filter=level > is not a Jinja"),
        ({"prompt_column": "question", "filter": "levl"}, "Did you mean 'level'?"),
        ({"prompt_column": "question", "keep": ["x"]}, "keep=x: no such column, only"),
        ({"prompt_column": "question", "rename": {"a": "x"}}, "rename.a=x"),
        ({"prompt_column": "question", "splits": {"a": 0.5}}, "splits add up to 0.5"),
        ({"prompt_column": "question", "few_shot": "no.jsonl"}, "few_shot=no.jsonl does not"),
        ({"prompt_column": "question", "task": "x"}, "task=x applies only to"),
        ({"template": "{{ ''.__class__.mro() }}{{ question }}"}, "line 1: template fails"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_and_nothing_is_left(here, more, wanted):
    assert wanted in refusal(here, lines(ROWS), **more)
