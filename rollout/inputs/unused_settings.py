"""Refuse data.* settings that change no row, before anything is loaded, and say what to type.

Reads rows only if such a setting is given, and only up to the first row it changes; an
input in which it changes none is read once in full. Must not know about files or engines.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from rollout.config.sections.data import PromptFormat, SystemPromptMode
from rollout.config.sections.prepare import LastAnswer
from rollout.errors import UserError
from rollout.inputs.chats import ANSWERED
from rollout.inputs.prompt_builder import PromptBuilder

Rows = Iterator[tuple[int, dict[str, Any]]]  # index, and values by column


def refuse_unused(builder: PromptBuilder, read: Callable[[], Rows], num_rows: int) -> None:
    """Raise UserError if a setting changes no valid prompt, or if all prompts are answered."""
    _refuse_answered(builder, read, num_rows)
    unused = _without(builder)
    if not unused:
        return
    num_valid = 0
    for _, values in read():
        prompt = builder.prompt_of(0, 0, values)
        num_valid += prompt.error is None
        for key in [k for k, other in unused.items() if other.prompt_of(0, 0, values) != prompt]:
            del unused[key]
        if not unused:
            return
    if num_valid:
        key = next(iter(unused))
        raise UserError(f"data.{key} applies to 0 of {num_rows:,} rows: {WHY[key]}")


def _refuse_answered(builder: PromptBuilder, read: Callable[[], Rows], num_rows: int) -> None:
    """Refuse ShareGPT rows that all end with an answer; each row would fail otherwise."""
    data = builder.data
    if data.prompt_format is not PromptFormat.sharegpt or data.last_answer is not LastAnswer.auto:
        return
    if all(builder.prompt_of(0, 0, values).error == ANSWERED for _, values in read()):
        raise UserError(f"all {num_rows:,} rows are answered: {ANSWERED}")


WHY = {
    "system_prompt": (
        "every chat has its own system message; type data.system_prompt_mode=replace to replace "
        "it, or leave data.system_prompt out"
    ),
    "tools": "every row has its own tools in data.tools_key; leave one of the two settings out",
    "last_answer": "no chat ends with the assistant's message; leave it out",
}


def _without(builder: PromptBuilder) -> dict[str, PromptBuilder]:
    """Return, for each setting that may change nothing, the builder without that setting."""
    data, found = builder.data, {}
    if builder.system is not None and data.system_prompt_mode is SystemPromptMode.add:
        found["system_prompt"] = replace(builder, system=None)
    if builder.tools is not None and data.tools_key is not None:
        found["tools"] = replace(builder, tools=None)
    is_sharegpt = data.prompt_format is PromptFormat.sharegpt
    if data.last_answer is LastAnswer.drop or (is_sharegpt and data.last_answer is LastAnswer.keep):
        plain = replace(data, last_answer=LastAnswer.auto)
        found["last_answer"] = replace(builder, data=plain)
    return found
