"""A setting that changes no row is refused before anything is loaded, with what to type."""

import json
import time

import pyarrow as pa
import pytest
from prompt_files import contents, read, refusal, write

from rollout.config.sections.data import Data, PromptFormat, SystemPromptMode
from rollout.config.sections.prepare import LastAnswer
from rollout.config.settings import Settings
from rollout.config.validate import validate
from rollout.errors import UserError

REPLACE = SystemPromptMode.replace
OWN = {"role": "system", "content": "Mine."}
HI = {"role": "user", "content": "Hi"}


def test_a_system_prompt_that_changes_no_chat_is_refused_with_the_mode_that_would(tmp_path):
    path = write(tmp_path / "in.parquet", [[OWN, HI]] * 59 + [[{**OWN, "role": "developer"}, HI]])
    assert refusal(path, system_prompt="Yours.") == (
        "data.system_prompt applies to 0 of 60 rows: every chat has its own system message; type "
        "data.system_prompt_mode=replace to replace it, or leave data.system_prompt out"
    )


def test_one_chat_without_a_system_message_is_enough(tmp_path):
    path = write(tmp_path / "in.parquet", [[OWN, HI], [HI]])
    assert contents(path, system_prompt="Yours.") == [
        [OWN, HI], [{"role": "system", "content": "Yours."}, HI]
    ]  # fmt: skip


def test_replace_replaces_all_system_messages(tmp_path):
    rows = [[OWN, {"role": "developer", "content": "x"}, HI, OWN, HI], [HI]]
    found = contents(
        write(tmp_path / "in.parquet", rows), system_prompt="A", system_prompt_mode=REPLACE
    )
    own = {"role": "system", "content": "A"}
    assert found == [[own, HI, HI], [own, HI]]


def test_only_selected_rows_with_valid_prompts_count(tmp_path):
    path = write(tmp_path / "in.parquet", pa.array([[OWN, HI], [HI], None, []]))
    assert "0 of 1 rows" in refusal(path, system_prompt="A", limit=1)
    found = read(path, system_prompt="A", offset=2)  # no valid prompt: the run reports that
    assert all(prompt.error for prompt in found)


def test_rows_are_read_only_up_to_the_first_that_is_changed(tmp_path):
    path = write(tmp_path / "in.parquet", ["Hi"] * 300_000)
    start = time.monotonic()
    next(iter(read_prompts(path)))
    assert time.monotonic() - start < 2


def read_prompts(path):
    from rollout.inputs.prompts import open_prompts

    return open_prompts(Data(input=path, system_prompt="A"))


def test_tools_that_every_row_replaces_and_an_answer_that_none_has_are_refused(tmp_path):
    tools = json.dumps([{"name": "add"}])
    path = write(tmp_path / "in.parquet", [[HI]], own=[tools])
    assert "data.tools applies to 0 of 1 rows" in refusal(path, tools=tools, tools_key="own")
    assert "data.last_answer applies to 0 of 1 rows" in refusal(path, last_answer=LastAnswer.drop)
    some = write(tmp_path / "some.parquet", [[HI], [HI]], own=[tools, None])
    assert len(read(some, tools=tools, tools_key="own")) == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"system_prompt_mode": REPLACE}, "needs a system prompt; type data.system_prompt= too"),
        (
            {"last_answer": LastAnswer.drop, "prompt_format": PromptFormat.tokens},
            "data.last_answer=drop is for chats, and data.prompt_format=tokens makes no chats",
        ),
        (
            {"last_answer": LastAnswer.drop, "template": "{{ q }}"},
            "data.last_answer=drop is for chats, and data.template makes no chats",
        ),
    ],
)
def test_settings_that_can_change_nothing_are_refused_without_a_look_at_the_input(data, message):
    with pytest.raises(UserError, match=message):
        validate(Settings(run_dir="r", data=Data(**data)))


def test_sharegpt_rows_that_all_end_with_an_answer_are_refused_at_once(tmp_path):
    human, gpt = {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes."}
    sharegpt = {"prompt_format": PromptFormat.sharegpt}
    path = write(tmp_path / "in.parquet", [[human, gpt]] * 3)
    message = refusal(path, **sharegpt)
    assert message.startswith("all 3 rows are answered: the chat ends with the assistant's answer")
    assert "type data.last_answer=drop to generate it anew" in message
    some = read(write(tmp_path / "some.parquet", [[human, gpt], [human]]), **sharegpt)
    assert [bool(prompt.error) for prompt in some] == [True, False]
