"""The first rows as the planner shows them, and its warnings about prompts."""

import json
import re
import time

import pyarrow as pa
from planned_prompts import TOOLS, USER, asked, opened, prompts_of

from rollout.config.sections.data import Data, PromptFormat, Template
from rollout.config.sections.model import Model
from rollout.inputs.prompts import open_prompts
from rollout.plan.prompts.first_rows import check_prompts, first_prompts
from rollout.plan.prompts.tokenizer import open_tokenizer


def test_token_ids_are_shown_decoded(tmp_path, model_dir):
    tokenizer = opened(model_dir)
    ids = tokenizer.encode(asked("Hi <|end|>é"))
    rows = prompts_of(tmp_path, [ids, [0, *ids]], prompt_format=PromptFormat.tokens)
    assert [shown.text for shown in first_prompts(rows, tokenizer)] == [
        "⟦<s>⟧Hi ⟦<|end|>⟧é",
        "⟦<s>⟧⟦<s>⟧Hi ⟦<|end|>⟧é",
    ]
    assert "1 of the first 2 prompts begin with <s> twice" in check_prompts(rows, tokenizer)[0]


def test_tools_that_the_template_leaves_out_are_reported(tmp_path, model_dir):
    rows = prompts_of(tmp_path, ["Hi"], tools=json.dumps(TOOLS))
    (message,) = check_prompts(rows, opened(model_dir))
    assert "takes no tools" in message


def test_prompts_are_shown_with_their_special_tokens_and_no_control_characters(
    tmp_path, tiny_model
):
    rows = ["red \x1b[31m\nnext", [USER]]
    shown = first_prompts(prompts_of(tmp_path, rows[:1]), opened(tiny_model))[0]
    assert shown.text == "⟦<s>⟧red \\x1b[31m\nnext" and shown.num_tokens == 15
    tokenizer = opened(tiny_model)
    chat = first_prompts(prompts_of(tmp_path, pa.array(rows[1:])), tokenizer)[0]
    assert chat.text.startswith("⟦<s>⟧⟦<|user|>⟧Grüße 🙂, ⟦<s>⟧ 日本語 \\t12")
    assert chat.text.endswith("⟦<|end|>⟧⟦<|assistant|>⟧") and not chat.is_cut


def test_long_prompts_are_cut_in_the_middle(tmp_path, tiny_model):
    long = "a" * 5000 + "z" * 5000
    (shown,) = first_prompts(prompts_of(tmp_path, [long]), opened(tiny_model), max_chars=100)
    assert shown.is_cut and shown.num_tokens == 10_001
    assert re.fullmatch(r"⟦<s>⟧a{47} … 9903 characters … z{50}", shown.text)


def test_a_prompt_that_cannot_be_asked_shows_why(tmp_path, tiny_model):
    rows = pa.array([[{"role": "\x1b", "content": "a"}], None])
    one, two = first_prompts(prompts_of(tmp_path, rows), opened(tiny_model))
    assert one.error == "the chat template refused it: unknown role \\x1b"
    assert two.error == "the prompt is null"


def checks(tmp_path, directory, rows, data=None, **model):
    return check_prompts(prompts_of(tmp_path, rows, **(data or {})), opened(directory, **model))


def test_prompts_that_look_right_raise_no_message(tmp_path, tiny_model):
    assert checks(tmp_path, tiny_model, pa.array([[USER]])) == []
    asked = {"apply_chat_template": Template.always}
    assert checks(tmp_path, tiny_model, ["Hi"], asked) == []


def test_a_doubled_bos_is_reported(tmp_path, tiny_model):
    _, doubled = checks(tmp_path, tiny_model, ["Hi", "<s>Hi"])
    assert "1 of the first 2 prompts begin with <s> twice: the tokenizer adds one" in doubled
    template = "{{ bos_token + messages[0].content }}"
    rows = pa.array([[{"role": "user", "content": "<s>Hi"}]])
    (doubled,) = checks(tmp_path, tiny_model, rows, chat_template=template)
    assert "the chat template adds one to a message that has one" in doubled


def test_thinking_opened_by_the_template_is_reported(tmp_path, tiny_model):
    rows = pa.array([[USER]])
    template = "{{ messages[0].content }}<|assistant|><think>\n"
    (message,) = checks(tmp_path, tiny_model, rows, chat_template=template)
    assert message.startswith("the prompt ends with <think>: responses begin inside")
    assert checks(tmp_path, tiny_model, rows, chat_template=template + "\n</think>\n") == []


def test_strings_for_a_chat_model_and_chats_for_a_base_model_are_reported(tmp_path, model_dir):
    (message,) = checks(tmp_path, model_dir, ["Hi"])
    assert "type data.apply_chat_template=always" in message
    (model_dir / "chat_template.jinja").unlink()
    (message,) = checks(tmp_path, model_dir, pa.array([[USER]]))
    assert "model.chat_template=FILE.jinja" in message
    assert checks(tmp_path, model_dir, ["Hi"]) == []


def test_blank_prompts_are_reported(tmp_path, tiny_model):
    blank = [{"role": "user", "content": " \n"}]
    (message,) = checks(tmp_path, tiny_model, pa.array([[USER], blank]))
    assert message == "blank prompts among the first 2: 1; the first is row 1"


def test_a_prompt_of_megabytes_is_counted_but_not_checked(tmp_path, tiny_model):
    """Rows of 2 MB took minutes in a plan and a run: each was tokenized several times."""

    import pandas as pd

    frame = pd.DataFrame({"prompt": ["word " * 400_000] * 3 + ["short"]})
    frame.to_parquet(tmp_path / "in.parquet")
    prompts = open_prompts(Data(input=str(tmp_path / "in.parquet")))
    tokenizer = open_tokenizer(tiny_model, Model(model_path=str(tiny_model)))
    began = time.monotonic()
    shown = first_prompts(prompts, tokenizer, 4)
    check_prompts(prompts, tokenizer)
    assert time.monotonic() - began < 5
    assert "2,000,000 characters, not shown" in shown[0].text
    assert "short" in shown[3].text


def test_members_that_vllm_leaves_out_are_reported_if_the_template_prints_them(
    tmp_path, tiny_model
):
    template = "{% for m in messages %}{{ m.content }}{{ m.reasoning_content }}{% endfor %}"
    rows = [[USER, {"role": "assistant", "content": "a", "reasoning_content": "b", "x": "1"}, USER]]
    (message,) = checks(tmp_path, tiny_model, rows, chat_template=template)
    assert message.startswith("messages have reasoning_content") and "to reasoning" in message
    assert checks(tmp_path, tiny_model, rows) == []


def test_tool_calls_that_the_template_does_not_print_are_pointed_out(tmp_path, tiny_model):
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    rows = [[USER, {"role": "assistant", "content": None, "tool_calls": [call]}, USER]]
    template = "{% for m in messages %}{{ m.content or '' }}{% endfor %}"
    (line,) = checks(tmp_path, tiny_model, rows, chat_template=template)
    assert line.startswith("1 of the first 1 chats have tool calls")


def test_chats_in_text_and_answers_at_the_end_are_pointed_out(tmp_path, tiny_model):
    rows = [json.dumps([USER]), json.dumps([{"from": "human", "value": "Hi"}])]
    assert any(
        "type data.prompt_format=json" in line for line in checks(tmp_path, tiny_model, rows)
    )
    (line,) = checks(tmp_path, tiny_model, [[USER, {"role": "assistant", "content": "Well, "}]])
    assert "1 of the first 1 chats end with an assistant message, which is continued" in line
