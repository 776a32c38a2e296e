"""Settings of data.* that change no row: refused before anything is loaded, with the likely one.

Promises to read rows only where such a setting is typed, and only up to the first row that it
changes; an input in which it changes none is read once, whole. Must not know files or engines.
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
    """Raise UserError where a setting changes no row that can be asked, or leaves none to ask."""
    _refuse_answered(wording, read, num_rows)
    waiting = _without(wording)
    if not waiting:
        return
    num_askable = 0
    for _, values in read():
        prompt = wording.prompt_of(0, 0, values)
        num_askable += prompt.error is None
        for key in [k for k, other in waiting.items() if other.prompt_of(0, 0, values) != prompt]:
            del waiting[key]
        if not waiting:
            return
    if num_askable:
        key = next(iter(waiting))
        raise UserError(f"data.{key} applies to 0 of {num_rows:,} rows: {WHY[key]}")


def _refuse_answered(wording: Wording, read: Callable[[], Rows], num_rows: int) -> None:
    """Refuse ShareGPT rows that all end with an answer: each would be an error of its own."""
    data = wording.data
    if data.prompt_format is not PromptFormat.sharegpt or data.last_answer is not LastAnswer.auto:
        return
    if all(wording.prompt_of(0, 0, values).error == ANSWERED for _, values in read()):
        raise UserError(f"all {num_rows:,} rows are answered: {ANSWERED}")


WHY = {
    "system_prompt": (
        "every chat has a system message of its own; type data.system_prompt_mode=replace to put "
        "yours in its place, or leave it out"
    ),
    "tools": "every row has tools of its own in data.tools_key; leave one of them out",
    "last_answer": "no chat ends with the assistant's message; leave it out",
}


def _without(wording: Wording) -> dict[str, Wording]:
    """The wordings without each setting that may change nothing; what always does is left out."""
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
