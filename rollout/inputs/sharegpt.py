"""ShareGPT: conversations of `from` and `value` become chat messages.

Owns which speakers there are and what a function call looks like there. Promises a ValueError of
one line, for its row alone, that says which turn is wrong. Must not know columns or settings.
"""

import json
from typing import Any

from rollout.rows.prompt import Message
from rollout.system.formats import exact_json

SPEAKERS = {
    "human": "user", "user": "user",
    "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "model": "assistant",
    "bot": "assistant", "bard": "assistant", "bing": "assistant",
    "system": "system", "developer": "developer",
    "tool": "tool", "observation": "tool", "tool_response": "tool", "function_response": "tool",
}  # fmt: skip
CALLERS = ("function_call", "tool_call", "function-call")
MEMBERS = ("from", "value")


def messages_of(turns: Any) -> list[Message]:
    """The messages that a conversation's turns are. Raises ValueError."""
    if not isinstance(turns, list) or not turns:
        raise ValueError("the prompt is no list of turns with from and value")
    return [_message(turn, f"turn {i} of {len(turns)}") for i, turn in enumerate(turns, 1)]


def _message(turn: Any, which: str) -> Message:
    if not isinstance(turn, dict) or "from" not in turn:
        shown = json.dumps(turn, default=str)[:40]
        hint = "; leave data.prompt_format=sharegpt out" if _has_role(turn) else ""
        raise ValueError(f"{which} is {shown}, not from and value{hint}")
    speaker, value = turn["from"], turn.get("value")
    if not isinstance(value, str):
        raise ValueError(f"{which} has value {value!r:.40}, which is not text")
    name = speaker.strip().lower() if isinstance(speaker, str) else None
    if name in CALLERS:
        return {"role": "assistant", "content": None, "tool_calls": _calls(value, which)}
    if name not in SPEAKERS:
        known = ", ".join([*SPEAKERS, CALLERS[0]])
        raise ValueError(f"{which} is from {speaker!r:.40}; known are {known}")
    return {"role": SPEAKERS[name], "content": value}


def _has_role(turn: Any) -> bool:
    return isinstance(turn, dict) and "role" in turn


def _calls(text: str, which: str) -> list[dict[str, Any]]:
    """The tool calls of a turn: a JSON object with name and arguments, or a list of them."""
    try:
        found = exact_json.loads(text)
    except exact_json.Inexact as error:
        raise ValueError(f"{which} is a function call whose JSON {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{which} is a function call whose value is no JSON: {error}") from None
    calls = []
    for call in found if isinstance(found, list) and found else [found]:
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            raise ValueError(f"{which} is a function call without a name: {text[:40]}")
        arguments = call.get("arguments", call.get("parameters", {}))
        function = {"name": call["name"], "arguments": arguments}
        calls.append({"type": "function", "function": function})
    return calls
