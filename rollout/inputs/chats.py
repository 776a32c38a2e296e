"""Turn one row's value into a prompt: a text, or the messages of a chat.

Owns what makes a value a prompt, how data.prompt_format, data.last_answer and
data.apply_chat_template apply to it, and which prompts get data.system_prompt.
Guarantees: a bad value raises a one-line ValueError, for its row alone, that names the message that
is wrong; messages have no null members and are otherwise unchanged (the engine adapts them to the
model's template). Must not know about files, Arrow, or the roles a chat template supports.
"""

from typing import Any

from rollout.config.sections.data import Data, PromptFormat, SystemPromptMode, Template
from rollout.config.sections.prepare import LastAnswer
from rollout.inputs.sharegpt import messages_of
from rollout.rows.messages import checked_messages
from rollout.rows.prompt import Message
from rollout.system.formats import exact_json

SYSTEM_ROLES = ("system", "developer")
ANSWERED = (
    "the chat ends with the assistant's answer; type data.last_answer=drop to generate it anew, or "
    "data.last_answer=keep to continue it"
)


def content_of(value: Any, data: Data, system: str | None = None) -> str | list[Message]:
    """Return a row's prompt, text or messages, as `data` reads it. Raises ValueError.

    `system` is the text of data.system_prompt. A chat keeps its own system message unless
    data.system_prompt_mode replaces it. A string becomes a chat, as it does for tools.
    """
    content = _read(value, data)
    if isinstance(content, str):
        if data.apply_chat_template is not Template.always and not makes_chats(data):
            return content
        content = [{"role": "user", "content": content}]
    else:
        content = _without_answer(content, data)
    if system is None:
        return content
    rest = [message for message in content if message["role"] not in SYSTEM_ROLES]
    if len(rest) < len(content) and data.system_prompt_mode is SystemPromptMode.add:
        return content
    return [{"role": "system", "content": system}, *rest]


def makes_chats(data: Data) -> bool:
    """Return whether strings become user messages, since only a chat has system prompt or tools."""
    return not (data.system_prompt is None and data.tools is None and data.tools_key is None)


def _without_answer(messages: list[Message], data: Data) -> list[Message]:
    """Drop the assistant's answer at the end, if data.last_answer says so."""
    if messages[-1]["role"] != "assistant" or data.last_answer is LastAnswer.keep:
        return messages
    if data.last_answer is LastAnswer.drop:
        while messages and messages[-1]["role"] == "assistant":
            messages = messages[:-1]
        if all(message["role"] in SYSTEM_ROLES for message in messages):
            raise ValueError("there is no prompt before the assistant's answer, which is dropped")
    elif data.prompt_format is PromptFormat.sharegpt:
        raise ValueError(ANSWERED)
    return messages


def _read(value: Any, data: Data) -> str | list[Message]:
    if value is None:
        raise ValueError("the prompt is null")
    if isinstance(value, bytes):
        raise ValueError("the prompt is not UTF-8 text")
    is_sharegpt = data.prompt_format is PromptFormat.sharegpt
    if not isinstance(value, str | list):
        raise ValueError(f"the prompt is {value!r:.40}, neither text nor a list of messages")
    if isinstance(value, list):
        # `datasets` keeps ragged messages as JSON, one text each.
        found = [parse(m) if isinstance(m, str) else m for m in value]
        return checked_messages(messages_of(found) if is_sharegpt else found)
    if not value:
        raise ValueError("the prompt is empty text")
    if is_sharegpt:
        if value.lstrip()[:1] != "[":
            raise ValueError("the prompt is not a list of turns with from and value")
        return checked_messages(messages_of(parse(value)))
    if data.prompt_format is PromptFormat.json and value.lstrip()[:1] in ("[", "{"):
        chat = parse(value)
        messages = checked_messages([chat] if isinstance(chat, dict) else chat)
        if data.apply_chat_template is Template.never:
            raise ValueError("the prompt is a chat, but data.apply_chat_template=never")
        return messages
    return value


def parse(
    text: str, what: str = "the prompt", fault: str = "starts like JSON but does not parse"
) -> Any:
    """Return the value of a JSON text. Raises ValueError."""
    try:
        return exact_json.loads(text)
    except exact_json.Inexact as error:
        raise ValueError(f"{what}'s JSON {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} {fault}: {error}") from None
