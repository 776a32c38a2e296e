"""Refuse data.* settings that change no row, before anything is loaded, and say what to type.

Promises to read rows only if such a setting is given, and only up to the first row it changes; an
input in which it changes none is read once in full. Must not know files or engines.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from rollout.config.sections.data import PromptFormat, SystemPromptMode
from rollout.config.sections.prepare import LastAnswer
from rollout.errors import UserError
from rollout.inputs.chats import ANSWERED
from rollout.inputs.wording import Wording

Rows = Iterator[tuple[int, dict[str, Any]]]  # index, and values by column


def refuse_idle(wording: Wording, read: Callable[[], Rows], num_rows: int) -> None:
    """Raise UserError if a setting changes no valid prompt, or if all prompts are answered."""
    _refuse_answered(wording, read, num_rows)
    idle = _without(wording)
    if not idle:
        return
    num_valid = 0
    for _, values in read():
        prompt = wording.prompt_of(0, 0, values)
        num_valid += prompt.error is None
        for key in [k for k, other in idle.items() if other.prompt_of(0, 0, values) != prompt]:
            del idle[key]
        if not idle:
            return
    if num_valid:
        key = next(iter(idle))
        raise UserError(f"data.{key} applies to 0 of {num_rows:,} rows: {WHY[key]}")


def _refuse_answered(wording: Wording, read: Callable[[], Rows], num_rows: int) -> None:
    """Refuse ShareGPT rows that all end with an answer; each row would fail otherwise."""
    data = wording.data
    if data.prompt_format is not PromptFormat.sharegpt or data.last_answer is not LastAnswer.auto:
        return
    if all(wording.prompt_of(0, 0, values).error == ANSWERED for _, values in read()):
        raise UserError(f"all {num_rows:,} rows are answered: {ANSWERED}")


WHY = {
    "system_prompt": (
        "every chat has its own system message; type data.system_prompt_mode=replace to replace "
        "it, or leave data.system_prompt out"
    ),
    "tools": "every row has its own tools in data.tools_key; leave one of the two settings out",
    "last_answer": "no chat ends with the assistant's message; leave it out",
}


def _without(wording: Wording) -> dict[str, Wording]:
    """Return, for each setting that may change nothing, the wording without that setting."""
    data, found = wording.data, {}
    if wording.system is not None and data.system_prompt_mode is SystemPromptMode.add:
        found["system_prompt"] = replace(wording, system=None)
    if wording.tools is not None and data.tools_key is not None:
        found["tools"] = replace(wording, tools=None)
    is_sharegpt = data.prompt_format is PromptFormat.sharegpt
    if data.last_answer is LastAnswer.drop or (is_sharegpt and data.last_answer is LastAnswer.keep):
        plain = replace(data, last_answer=LastAnswer.auto)
        found["last_answer"] = replace(wording, data=plain)
    return found
