"""The training formats: columns, and how a prompt and a response are written in them.

The columns are those of trl 1.16 (docs: dataset_formats) and verl 0.9 (docs: prepare_data). If a
prompt ends with an assistant turn, the response continues that turn: both are one message.
"""

import json
from typing import TYPE_CHECKING, Any

from rollout.config.sections.export import Export, Format
from rollout.inputs.columns import is_list, stored
from rollout.postprocess.export.checks import PROMPTS
from rollout.system.formats.plain_types import decode

if TYPE_CHECKING:
    import pyarrow as pa

Prompt = str | list[dict[str, Any]]


class Unfit(ValueError):
    """A row that the format can't hold; the message is the rule that drops it."""


def prompt_of(value: Any, export: Export, members: set[str]) -> Prompt:
    """Return the prompt as the format writes it, messages with these members. Raises Unfit."""
    if not value or not isinstance(value, str | list):
        raise Unfit("rows whose prompt is null or empty")
    if isinstance(value, str):
        as_chat = export.as_chat or export.format is Format.verl
        return [{"role": "user", "content": value}] if as_chat else value
    messages = [json.loads(m) if isinstance(m, str) else m for m in value]
    for message in messages:
        if not isinstance(message.get("content"), str | None):
            raise Unfit("rows with messages of parts, not text")
        if more := sorted(set(message) - members):
            raise Unfit(f"rows whose messages have {more[0]!r}, which the column's type lacks")
    if export.format in PROMPTS and messages[-1]["role"] == "assistant":
        raise Unfit(
            f"rows that end with an assistant turn, which {export.format.name} can't continue"
        )
    return messages


def split_completion(prompt: Prompt, response: str) -> tuple[Prompt, Prompt]:
    """Return the prompt and the completion; a prefilled turn belongs to the completion."""
    if isinstance(prompt, str):
        return prompt, response
    if prompt[-1]["role"] != "assistant":
        return prompt, [{"role": "assistant", "content": response}]
    content = prompt[-1].get("content") or ""
    if not isinstance(content, str):
        raise Unfit("rows with a prefilled turn that is not text")
    return prompt[:-1], [{**prompt[-1], "content": content + response}]


def with_completion(prompt: Prompt, response: str) -> Prompt:
    """Return prompt and response as one text or one conversation."""
    asked, completion = split_completion(prompt, response)
    return asked + completion


def columns_of(export: Export, prompt: "pa.DataType", is_chat: bool) -> "dict[str, pa.DataType]":
    """Return the format's columns of prompts, responses and scores, for prompts of this type."""
    import pyarrow as pa

    return {
        Format.sft: {"messages" if is_chat else "text": prompt, "score": pa.float64()},
        Format.prompt_completion: {"prompt": prompt, "completion": prompt, "score": pa.float64()},
        Format.dpo: {
            "prompt": prompt, "chosen": prompt, "rejected": prompt,
            "score_chosen": pa.float64(), "score_rejected": pa.float64(),
        },
        Format.grpo: {"prompt": prompt},
        Format.verl: {"prompt": prompt},
    }[export.format]  # fmt: skip


def is_nested(kind: "pa.DataType") -> bool:
    """Return whether a column of this type holds lists: prompts are then chats."""
    from pyarrow import types

    return types.is_nested(stored(kind))


def chat_type(kind: "pa.DataType") -> "pa.DataType":
    """Return the type of messages to write: the input's members, with role and content as text."""
    import pyarrow as pa

    message, kind = {"role": pa.string(), "content": pa.string()}, decode(kind)
    if is_list(kind) and pa.types.is_struct(kind.value_type):
        members = {field.name: field.type for field in kind.value_type}
        if message.keys() <= members.keys():  # not from and value
            message = members | message
    return pa.list_(pa.struct(message))


def members_of(kind: "pa.DataType") -> set[str]:
    """Return the member names of messages of this type."""
    return {field.name for field in chat_type(kind).value_type}
