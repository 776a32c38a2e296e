"""Reasoning and answer: split by tags or by vLLM's parsers, at any publishing."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.config.sections.model import Model
from rollout.errors import UserError
from rollout.rows.reasoning import Split, opens, split
from rollout.rows.signs import is_unclosed

COLUMNS = "output.columns=[reasoning,final_response,is_reasoning_closed]"
THOUGHT = "<think>\nso so\n</think>\n\n42"


@pytest.mark.parametrize(
    ("text", "opened", "found"),
    [
        (THOUGHT, False, Split("so so", "42")),
        ("so so\n</think>\n42", True, Split("so so", "42")),
        ("so so</think>42", False, Split("so so", "42")),
        ("<think>so so", False, Split("so so", "", False)),
        ("so so", True, Split("so so", "", False)),
        (" 42\n", False, Split(None, " 42\n")),
        ("", False, Split(None, "")),
        ("", True, Split("", "", False)),
        ("<think></think>42", False, Split("", "42")),
        ("Well: <think>a</think>42", False, Split("a", "Well: 42")),
        ("a</think>it wrote <think>", False, Split("a", "it wrote <think>")),
        ("<think>a</think>b<think>c</think>d", False, Split("a", "b<think>c</think>d")),
    ],
)
def test_a_response_is_split_at_its_first_closing_tag(text, opened, found):
    assert split(text, opened=opened) == found


@given(st.lists(st.sampled_from(["<think>", "</think>", "a", "\n"]), max_size=8), st.booleans())
def test_unclosed_is_one_thing_however_it_is_told(parts, opened):
    text = "".join(parts)
    assert is_unclosed(text, opened) == (not split(text, opened=opened).is_closed)


def test_the_prompt_opens_the_reasoning_where_it_ends_with_the_tag():
    tags = ["<think>", "</think>"]
    assert opens("<|assistant|><think>\n", tags)
    assert not opens("<|assistant|><think>\n\n</think>\n\n", tags)
    assert not opens("what is <think> for?", tags)


@pytest.fixture
def scripted(typed):
    pd.DataFrame({"prompt": ["a", None, "why <think>"]}).to_parquet(typed.here / "p.parquet")
    words = ["engine=scripted", "tracking=none", "data.input=p.parquet", "run_dir=r"]
    return lambda *more: typed(*words, "sampling.n_samples=2", *more)


def rows(typed, *columns):
    return pd.read_parquet(typed.here / "r" / "output.parquet")[list(columns)].map(list).values


def test_what_the_prompt_opened_is_reasoning_and_what_none_opened_is_not(scripted, typed):
    scripted("engine.scripted.text=so", COLUMNS)
    assert rows(typed, "reasoning", "final_response", "is_reasoning_closed").tolist() == [
        [[None] * 2, ["so"] * 2, [True] * 2],
        [[], [], []],
        [["so"] * 2, [""] * 2, [False] * 2],
    ]


def test_a_finished_run_is_published_anew_with_its_reasoning_and_no_engine(scripted, typed):
    text = "engine.scripted.text='<r>so so</r>42'"
    assert scripted(text).code == 0
    done = scripted(text, COLUMNS)
    assert done.code == 0 and not any(note.startswith("loading") for note in done.notes)
    assert rows(typed, "final_response")[0][0] == ["<r>so so</r>42"] * 2
    done = scripted(text, COLUMNS, 'model.reasoning_tags=["<r>","</r>"]')
    assert done.code == 0 and not any(note.startswith("loading") for note in done.notes)
    assert rows(typed, "reasoning", "final_response")[0].tolist() == [["so so"] * 2, ["42"] * 2]
    assert scripted(text, COLUMNS, 'model.reasoning_tags=["<r>","</r>"]').out.startswith("finished")


def test_a_row_for_each_sample_has_its_own_reasoning(scripted, typed):
    scripted(f"engine.scripted.text='{THOUGHT}'", COLUMNS, "output.layout=per_sample")
    found = pd.read_parquet(typed.here / "r" / "output.parquet")
    assert found["final_response"].fillna("-").tolist() == ["42", "42", "-", "42", "42"]


@pytest.mark.parametrize("tags", ["[]", '["<think>"]', '["","x"]', '["x","x"]'])
def test_reasoning_tags_are_two_different_texts(typed, tags):
    assert "model.reasoning_tags" in typed.refused(
        "engine=scripted", f"model.reasoning_tags={tags}"
    )


def test_a_parser_without_a_model_is_refused(typed):
    assert "tokenizer" in typed.refused("engine=scripted", "output.reasoning_parser=qwen3")


@pytest.fixture(scope="module")
def thinking_tokenizer(tmp_path_factory):
    """The tiny model's tokenizer, with the tags as tokens."""
    from tiny_model import make_tokenizer
    from transformers import AutoTokenizer

    directory = tmp_path_factory.mktemp("thinking")
    make_tokenizer(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.save_pretrained(directory)
    return directory


@pytest.mark.vllm
@pytest.mark.parametrize("name", ["deepseek_r1", "qwen3"])
def test_vllms_own_parsers_split_as_the_tags_do(thinking_tokenizer, name):
    from rollout.engines import reasoning_splitter

    splitter = reasoning_splitter(name, str(thinking_tokenizer), Model())
    for text in ("<think>so so</think>42", "so so</think>42", "<think>so so</think>"):
        assert splitter(text, False) == split(text)
    assert splitter("<think>so so", False) == split("<think>so so")


@pytest.mark.vllm
def test_a_parser_hears_that_the_model_does_not_think(thinking_tokenizer):
    from rollout.engines import reasoning_splitter

    model = Model(chat_template_kwargs={"enable_thinking": False})
    splitter = reasoning_splitter("qwen3", str(thinking_tokenizer), model)
    assert splitter("42", False) == Split(None, "42")


@pytest.mark.vllm
def test_a_parser_that_is_not_there_or_does_not_fit_is_refused(thinking_tokenizer, tiny_model):
    from rollout.engines import reasoning_splitter

    with pytest.raises(UserError, match=r"Did you mean 'qwen3'.*deepseek_r1"):
        reasoning_splitter("qwen33", str(tiny_model), Model())
    with pytest.raises(UserError, match=r"deepseek_r1 does not fit .*model\.reasoning_tags"):
        reasoning_splitter("deepseek_r1", str(tiny_model), Model())


def test_the_column_without_reasoning_has_a_name_that_no_input_has(scripted, typed):
    """It was called answer, and refused because most inputs have a column of that name."""
    said = scripted("output.columns=[reasoning,answer]").errors[0]
    assert "output.columns has no 'answer'" in said and "'final_response'" in said
    assert scripted("output.columns=[reasoning,final_response]").code == 0, typed.errors


def test_whether_reasoning_was_closed_is_told_by_default(scripted, typed):
    scripted("engine.scripted.text='<think>so so'")
    assert not any(rows(typed, "is_reasoning_closed")[0][0])
