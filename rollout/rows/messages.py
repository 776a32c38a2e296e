"""Check chat messages in OpenAI's format, and read their text.

Accepts the messages that vLLM's `LLM.chat` accepts, except those it would silently drop a part of
(images for a text model, tool call arguments that are not a JSON object) and questions that are
null. Guarantees a ValueError that names the message. Must not know about settings.
"""

import json
from typing import Any

from rollout.rows.prompt import Message
from rollout.system.formats import exact_json

# Types of text parts, and the member that holds the text.
TEXT_PARTS = {
    "text": "text", "input_text": "text", "output_text": "text",
    "refusal": "refusal", "thinking": "thinking",
}  # fmt: skip
MEDIA = ("image", "audio", "video", "file", "embeds")
ASKING = ("user", "system", "developer")  # their messages are never empty on purpose


def checked_messages(messages: Any) -> list[Message]:
    """Return the messages without null members. Raises ValueError naming the first bad one."""
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


def text_of(message: Message) -> str:
    """Return the text of a message: its non-empty parts, one per line."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(filter(None, map(part_text, content)))
    return content or ""


def part_text(part: Any) -> str:
    """Return the text of a checked part."""
    return part if isinstance(part, str) else part[TEXT_PARTS[part["type"]]]


def _fault(message: Any) -> str | None:
    """Return why this is not a message, or None. The chat template decides on the role's name."""
    if not isinstance(message, dict) or not message:
        return f"is {json.dumps(message, default=str)[:40]}, not a role and content"
    if is_turn(message):
        return "has from and value, not role and content; type data.prompt_format=sharegpt"
    if not isinstance(message.get("role"), str):
        return f"has role {message['role']!r:.40}, not text" if "role" in message else "has no role"
    return _content_fault(message) or _calls_fault(message)


def _content_fault(message: Message) -> str | None:
    is_asking, content = message["role"] in ASKING, message.get("content")
    if content is None:
        return "has no content" if is_asking else None
    if isinstance(content, str):
        return None
    if not isinstance(content, list) or (is_asking and not content):
        return f"has content {content!r:.40}, which is not text"
    return next(filter(None, map(_part_fault, content)), None)


def _part_fault(part: Any) -> str | None:
    if isinstance(part, str):
        return None
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(kind, str) and any(word in kind for word in MEDIA):
        return f"has a part of type {kind}; only text is supported: leave the part out"
    if not isinstance(kind, str) or kind not in TEXT_PARTS:
        return f"has content with {part!r:.40}, which is not a text part"
    if not isinstance(part.get(TEXT_PARTS[kind]), str):
        return "has a text part without text"
    return None


def _calls_fault(message: Message) -> str | None:
    """Return what is wrong with an assistant message's tool calls or reasoning, or None."""
    if message["role"] != "assistant":
        return None
    if not isinstance(message.get("reasoning", ""), str):
        return f"has reasoning {message['reasoning']!r:.40}, which is not text"
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        return f"has tool_calls {calls!r:.40}, which is not a list"
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or call.get("type", "function") != "function":
            return f"has the tool call {call!r:.60}, not a function with name and arguments"
        if not isinstance(function.get("name"), str):
            return "has a tool call without a name"
        arguments = function.get("arguments")
        if isinstance(arguments, str) and arguments:
            try:
                arguments = exact_json.loads(arguments)
            except exact_json.Inexact as error:
                return f"has tool call arguments whose JSON {error}"
            except (ValueError, RecursionError):
                return f"has tool call arguments that are not JSON: {arguments:.40}"
        if arguments and not isinstance(arguments, dict):
            return f"has tool call arguments {arguments!r:.40}, not an object"
    return None


def is_turn(value: Any) -> bool:
    """Whether a message is in ShareGPT's format."""
    return isinstance(value, dict) and "from" in value and "role" not in value
