"""ShareGPT: convert conversations of `from` and `value` to chat messages.

Owns the names of speakers and the form of function calls. Guarantees a one-line ValueError, for its
row alone, that says which turn is wrong. Must not know about columns or settings.
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


def messages_of(turns: Any) -> list[Message]:
    """Convert a conversation's turns to messages. Raises ValueError."""
    if not isinstance(turns, list) or not turns:
        raise ValueError("the prompt is not a list of turns with from and value")
    return [_message(turn, f"turn {i} of {len(turns)}") for i, turn in enumerate(turns, 1)]


def _message(turn: Any, which: str) -> Message:
    if not isinstance(turn, dict) or "from" not in turn:
        shown = json.dumps(turn, default=str)[:40]
        has_role = isinstance(turn, dict) and "role" in turn
        hint = "; leave data.prompt_format=sharegpt out" if has_role else ""
        raise ValueError(f"{which} is {shown}, not from and value{hint}")
    speaker, value = turn["from"], turn.get("value")
    if not isinstance(value, str):
        raise ValueError(f"{which} has value {value!r:.40}, which is not text")
    name = speaker.strip().lower() if isinstance(speaker, str) else None
    if name in CALLERS:
        return {"role": "assistant", "content": None, "tool_calls": _calls(value, which)}
    if name not in SPEAKERS:
        known = ", ".join([*SPEAKERS, CALLERS[0]])
        raise ValueError(f"{which} is from {speaker!r:.40}, not one of {known}")
    return {"role": SPEAKERS[name], "content": value}


def _calls(text: str, which: str) -> list[dict[str, Any]]:
    """Return the tool calls of a turn: a JSON object with name and arguments, or a list of them."""
    try:
        found = exact_json.loads(text)
    except exact_json.Inexact as error:
        raise ValueError(f"{which} is a function call whose JSON {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{which} is a function call that is not JSON: {error}") from None
    calls = []
    for call in found if isinstance(found, list) and found else [found]:
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            raise ValueError(f"{which} is a function call without a name: {text[:40]}")
        arguments = call.get("arguments", call.get("parameters", {}))
        function = {"name": call["name"], "arguments": arguments}
        calls.append({"type": "function", "function": function})
    return calls
