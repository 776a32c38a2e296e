"""Chats: one row's value becomes the text or the messages that are asked, or a reason why not.

Owns what makes a value a prompt, how data.prompt_format and data.apply_chat_template read it, and
which of them get data.system_prompt.
Promises: a value that cannot be asked raises a ValueError of one line, for its row alone, that
says which message is wrong; messages carry no null members. Must not know files, Arrow, or which
roles a chat template takes.
"""

import json
from typing import Any

from rollout.config import Data, PromptFormat, Template
from rollout.records import Message

SYSTEM_ROLES = ("system", "developer")


def content_of(value: Any, data: Data, system: str | None = None) -> str | list[Message]:
    """The text or messages that a row asks, as `data` reads it. Raises ValueError if it cannot.

    `system` is the text of data.system_prompt: a chat with a system message keeps its own, and a
    string becomes a chat, as it does for tools.
    """
    content = _read(value, data)
    if isinstance(content, str):
        if data.apply_chat_template is not Template.always and not makes_chats(data):
            return content
        content = [{"role": "user", "content": content}]
    if system is not None and not any(m["role"] in SYSTEM_ROLES for m in content):
        return [{"role": "system", "content": system}, *content]
    return content


def makes_chats(data: Data) -> bool:
    """Whether strings become user messages for what only a chat can carry."""
    return not (data.system_prompt is None and data.tools is None and data.tools_key is None)


def _read(value: Any, data: Data) -> str | list[Message]:
    if value is None:
        raise ValueError("the prompt is null")
    if isinstance(value, bytes):
        raise ValueError("the prompt is not UTF-8 text")
    if not isinstance(value, str):
        # `datasets` keeps ragged messages as JSON, one text each.
        return _checked([parse(m) if isinstance(m, str) else m for m in value])
    if not value:
        raise ValueError("the prompt is empty text")
    if data.prompt_format is PromptFormat.json and value.lstrip()[:1] in ("[", "{"):
        chat = parse(value)
        messages = _checked([chat] if isinstance(chat, dict) else chat)
        if data.apply_chat_template is Template.never:
            raise ValueError("the prompt is a chat, but data.apply_chat_template=never")
        return messages
    return value


def parse(
    text: str, what: str = "the prompt", fault: str = "starts like JSON but does not parse"
) -> Any:
    """The value of a JSON text. Raises ValueError."""
    try:
        value = json.loads(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what}'s JSON escapes half a surrogate pair") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} {fault}: {error}") from None
    return value


def _checked(messages: Any) -> list[Message]:
    """The messages, null members dropped. Raises ValueError naming the first that is none."""
    if not messages:
        raise ValueError("the prompt is an empty list of messages")
    checked = []
    for number, message in enumerate(messages, 1):
        if isinstance(message, dict):
            message = {key: member for key, member in message.items() if member is not None}
            if message.get("tool_calls"):
                message.setdefault("content", None)
        if fault := _fault(message):
            raise ValueError(f"message {number} of {len(messages)} {fault}")
        checked.append(message)
    return checked


def _fault(message: Any) -> str | None:
    """What keeps this from being a message. Which roles there are, the chat template decides."""
    if not isinstance(message, dict) or not message:
        return f"is {json.dumps(message, default=str)[:40]}, not a role and content"
    if not isinstance(message.get("role"), str):
        return f"has role {message['role']!r:.40}, not text" if "role" in message else "has no role"
    if "content" not in message:
        return "has no content"
    content = message["content"]
    if isinstance(content, str) or content is None:
        return None
    if not isinstance(content, list) or not content:
        return f"has content {content!r:.40}, which is not text"
    for part in content:
        if not (isinstance(part, dict) and part.get("type") == "text"):
            return f"has content with {part!r:.40}, which is not a text part"
        if not isinstance(part.get("text"), str):
            return "has a text part without text"
    return None
