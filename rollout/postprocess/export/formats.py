"""Formats: one selected prompt as a row of a training file.

Columns as trl 1.16 (docs: dataset_formats) and verl 0.9 (docs: prepare_data) read them. A prompt
that ends with an assistant's turn was continued: that turn and the response are one message.
"""

import json
from typing import TYPE_CHECKING, Any

from rollout.config.sections.export import Export, Format
from rollout.inputs.columns import is_list, stored
from rollout.system.formats.plain_types import decoded

if TYPE_CHECKING:
    import pyarrow as pa

Prompt = str | list[dict[str, Any]]


class Unfit(ValueError):
    """A prompt that the format can't hold; the message is the rule it is dropped by."""


def prompt_of(value: Any, export: Export, members: set[str]) -> Prompt:
    """Give the prompt as the format writes it, messages having these members; raises Unfit."""
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
            raise Unfit(f"rows whose messages have {more[0]!r}, which their type can't hold")
    if export.format in (Format.verl, Format.grpo) and messages[-1]["role"] == "assistant":
        raise Unfit(f"rows that end with an assistant's turn, which {export.format.name} closes")
    return messages


def continued(prompt: Prompt, response: str) -> tuple[Prompt, Prompt]:
    """Split into what was asked and the completion; a prefilled turn belongs to the completion."""
    if isinstance(prompt, str):
        return prompt, response
    if prompt[-1]["role"] != "assistant":
        return prompt, [{"role": "assistant", "content": response}]
    content = prompt[-1].get("content") or ""
    if not isinstance(content, str):
        raise Unfit("rows with a prefilled turn that is not text")
    return prompt[:-1], [{**prompt[-1], "content": content + response}]


def whole(prompt: Prompt, response: str) -> Prompt:
    """Give prompt and response as one text or one conversation."""
    asked, completion = continued(prompt, response)
    return asked + completion


def columns_of(export: Export, prompt: "pa.DataType", is_chat: bool) -> "dict[str, pa.DataType]":
    """Give the columns of texts that the format has, where a prompt is of this type."""
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
    """Whether a column of this type holds lists: prompts are then chats."""
    from pyarrow import types

    return types.is_nested(stored(kind))


def chat_type(kind: "pa.DataType") -> "pa.DataType":
    """Give the type of messages to write: the input's members; role and content are text."""
    import pyarrow as pa

    message, kind = {"role": pa.string(), "content": pa.string()}, decoded(kind)
    if is_list(kind) and pa.types.is_struct(kind.value_type):
        members = {field.name: field.type for field in kind.value_type}
        if message.keys() <= members.keys():  # not from and value
            message = members | message
    return pa.list_(pa.struct(message))


def members_of(kind: "pa.DataType") -> set[str]:
    """Give the names of what a message of this type may have."""
    return {field.name for field in chat_type(kind).value_type}
