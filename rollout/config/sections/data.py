"""`data.`: where the prompts come from."""

import typing
from dataclasses import dataclass
from enum import Enum

from rollout.config.schema import HOW, ROWS, WHAT, setting
from rollout.config.sections.prepare import LastAnswer


class Template(Enum):
    auto = "auto"
    always = "always"
    never = "never"


class PromptFormat(Enum):
    auto = "auto"
    json = "json"
    sharegpt = "sharegpt"
    tokens = "tokens"


class SystemPromptMode(Enum):
    add = "add"
    replace = "replace"


class OnError(Enum):
    record = "record"
    skip = "skip"
    fail = "fail"


@dataclass(kw_only=True, slots=True)
class Data:
    """Where the prompts come from."""

    kind: typing.ClassVar[str] = WHAT
    input: str | None = setting(
        None, "parquet file, glob or directory, also on s3://, gs:// or hf://", kind=ROWS
    )
    prompt_key: str = setting("prompt", "column that holds a string, chat messages or token ids")
    prompt_format: PromptFormat = setting(
        PromptFormat.auto,
        "json: text is a JSON chat; sharegpt: turns with from and value; tokens: token id lists",
    )
    last_answer: LastAnswer = setting(
        LastAnswer.auto,
        "a final assistant message: keep continues it, drop removes it; auto: keep, but refuse "
        "sharegpt",
    )
    apply_chat_template: Template = setting(
        Template.auto, "auto: chats only; always: strings become a user message; never: refuse"
    )
    template: str | None = setting(
        None, "Jinja file or text that makes each prompt from the row's columns, not prompt_key"
    )
    system_prompt: str | None = setting(
        None, "text, or file of it: system message of chats without one; strings become chats"
    )
    system_prompt_mode: SystemPromptMode = setting(
        SystemPromptMode.add,
        "for chats with their own system message: add keeps it, replace puts system_prompt there",
    )
    tools: str | None = setting(
        None, "YAML or JSON file, or text: tools for the chat template; strings become chats"
    )
    tools_key: str | None = setting(
        None, "column with a row's own tools (list, or JSON text); null there: data.tools"
    )
    sampling_key: str | None = setting(
        None, "column with a row's own sampling settings (struct or JSON text); null there: none"
    )
    offset: int = setting(0, "rows to skip at the start", minimum=0)
    limit: int | None = setting(None, "maximum number of rows to answer", minimum=1, kind=ROWS)
    shuffle_seed: int | None = setting(
        None, "seed: offset and limit pick rows at random; the input's order is kept", minimum=0
    )
    on_error: OnError = setting(
        OnError.record, "a bad row is recorded in the output, skipped, or fails the run", kind=HOW
    )
    max_attempts: int = setting(
        3, "times a row is tried in total, with retry_failed", minimum=1, kind=HOW
    )
