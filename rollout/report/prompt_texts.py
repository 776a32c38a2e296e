"""Prompts and responses as texts to show: roles and texts, cut where they are long.

Takes any value that a column may hold, and raises nothing. Must not know about files or settings.
"""

import json
from collections.abc import Sequence
from typing import Any

from rollout.config.sections.data import Data, PromptFormat
from rollout.inputs.chats import content_of
from rollout.inputs.sharegpt import messages_of
from rollout.rows.messages import TEXT_PARTS, is_turn
from rollout.rows.prompt import Prompt

MAX_CHARS = 20_000  # of one text
Messages = list[tuple[str, str]]  # role and text; a plain string has the role ""
CHATS = Data(prompt_format=PromptFormat.json)


class Excerpt(str):
    """The start of a text, with a note of how much more there is; `whole` is its length."""

    start: str
    whole: int


def cut(text: str, limit: int = MAX_CHARS) -> str:
    """Return a text that UTF-8 can encode, of at most `limit` characters and a note of the rest."""
    start, whole = (text.start, text.whole) if isinstance(text, Excerpt) else (text, len(text))
    if whole <= limit:
        return utf8(text)
    kept = min(limit, len(start))
    found = Excerpt(f"{utf8(start[:kept])}\n[... {whole - kept:,} more characters]")
    found.start, found.whole = utf8(start[:kept]), whole
    return found


def utf8(text: str) -> str:
    """Return text that UTF-8 can encode: half a surrogate pair is escaped."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def messages_in(prompt: Prompt, value: Any) -> Messages:
    """Return a built prompt as roles and texts; one that was refused as its column's `value`."""
    if prompt.token_ids is not None:
        return [("", _ids(prompt.token_ids))]
    if prompt.content is None:
        return messages_from(value)
    tools = [("tools", _json(tool)) for tool in prompt.tools or ()]
    return [*tools, *messages_from(prompt.content)]


def messages_from(value: Any) -> Messages:
    """Return a column's value as roles and texts: text, messages, JSON text of them, token ids."""
    if isinstance(value, str | list) and value:
        try:
            value = content_of(value, CHATS)
        except ValueError:  # not a prompt that a run takes, but it can be shown
            value = _turns(value)
    if isinstance(value, list) and value and all(type(item) is int for item in value):
        return [("", _ids(value))]
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return [(_role(message), _message_text(message)) for message in value]
    return [("", text_from(value))]


def text_from(value: Any) -> str:
    """Return any value as text: a text unchanged, bytes and null in words, the rest as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return "(null)"
    if isinstance(value, bytes):
        return "(not UTF-8 text)"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _json(value)


def _turns(value: Any) -> Any:
    """Return ShareGPT turns as messages, other values unchanged."""
    turns = value
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            turns = json.loads(value)
        except (ValueError, RecursionError):
            return value
    if not isinstance(turns, list) or not turns or not all(map(is_turn, turns)):
        return value
    try:
        return messages_of(turns)
    except ValueError:
        return value


def _role(message: dict[str, Any]) -> str:
    role, name = message.get("role"), message.get("name")
    shown = role if isinstance(role, str) else "(no role)"
    return f"{shown} ({name})" if isinstance(name, str) and name else shown


def _message_text(message: dict[str, Any]) -> str:
    """Return a message's reasoning, content and tool calls, one after the other."""
    reasoning = message.get("reasoning") or message.get("reasoning_content")
    parts = [f"[reasoning] {text_from(reasoning)}"] if reasoning else []
    content = message.get("content")
    if isinstance(content, list):
        parts += map(_part_text, content)
    elif content is not None:
        parts.append(text_from(content))
    calls = message.get("tool_calls")
    parts += map(_call_text, calls if isinstance(calls, list) else ())
    return "\n".join(parts)


def _part_text(part: Any) -> str:
    """Return a content part's text; parts that are no text, such as images, as JSON."""
    if isinstance(part, dict):
        member = TEXT_PARTS.get(part.get("type"))
        if isinstance(part.get(member), str):
            return part[member]
    return text_from(part)


def _call_text(call: Any) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return f"[tool call] {text_from(call)}"
    arguments = function.get("arguments")
    shown = "" if arguments is None else text_from(arguments)
    return f"[tool call] {text_from(function.get('name'))}({shown})"


def _ids(token_ids: Sequence[int]) -> str:
    return "token ids " + " ".join(map(str, token_ids))


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError, TypeError):
        return str(value)[:MAX_CHARS]
