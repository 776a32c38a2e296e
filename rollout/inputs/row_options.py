"""Row options: a row's own tools, sampling parameters or token ids.

Owns the checks of these values. Guarantees: a bad value raises a one-line ValueError, for its row
alone; the result is plain JSON data without null members at the top level. Must not know about
files, Arrow, chat templates, or which sampling parameters an engine has.
"""

import json
import math
from typing import Any

from rollout.inputs.chats import parse

MAX_DEPTH = 50  # of nested data; templates and digests recurse into it
OF_THE_RUN = {"n": "n_samples", "n_samples": "n_samples", "seed": "seed"}


def tools_of(value: Any) -> list[dict[str, Any]] | None:
    """Return a row's own tools; None if it sets none. Raises ValueError."""
    value = _data(value, "tools")
    return None if value is None else checked_tools(value)


def checked_tools(tools: Any) -> list[dict[str, Any]]:
    """Return the tools, each a JSON object. Raises ValueError naming the first bad one."""
    if not isinstance(tools, list):
        raise ValueError(f"tools is {_shown(tools)}, not a list")
    checked = []
    for number, tool in enumerate(tools, 1):
        which = f"tool {number} of {len(tools)}"
        if isinstance(tool, str):  # `datasets` keeps ragged objects as JSON, one text each
            tool = parse(tool, which, "is not JSON")
        if not isinstance(tool, dict) or not tool:
            raise ValueError(f"{which} is {_shown(tool)}, not an object with a name")
        function = tool.get("function", tool)
        is_function = tool.get("type", "function") == "function"
        if is_function and not (isinstance(function, dict) and _is_text(function.get("name"))):
            raise ValueError(f"{which} is a function without a name")
        checked.append(_plain(tool, which))
    return checked


def sampling_of(value: Any) -> dict[str, Any] | None:
    """Return a row's own sampling parameters; None if it sets none. Raises ValueError."""
    value = _data(value, "sampling")
    if value is None or value == []:  # an empty map
        return None
    if not isinstance(value, dict):
        raise ValueError(f"sampling is {_shown(value)}, not an object such as {{'temperature': 0}}")
    for name in value:
        if not isinstance(name, str):
            raise ValueError(f"sampling has the key {name!r:.40}, which is not text")
        if name in OF_THE_RUN and value[name] is not None:
            raise ValueError(
                f"sampling sets {name}, which is the same for all rows: type "
                f"sampling.{OF_THE_RUN[name]}"
            )
    found = {name: _plain(member, f"sampling.{name}") for name, member in value.items()}
    found = {name: member for name, member in found.items() if member is not None}
    if (limit := found.get("max_tokens")) is not None:
        if isinstance(limit, float) and limit.is_integer():
            found["max_tokens"] = limit = int(limit)
        if type(limit) is not int or limit < 1:
            raise ValueError(f"sampling sets max_tokens to {_shown(limit)}, not a number above 0")
    return found or None


def token_ids_of(value: Any) -> list[int]:
    """Return a row's token ids. Raises ValueError. The engine checks their upper bound."""
    if value is None:
        raise ValueError("the prompt is null")
    if not isinstance(value, list):
        raise ValueError(f"the prompt is {_shown(value)}, not a list of token ids")
    if not value:
        raise ValueError("the prompt is an empty list of token ids")
    for place, token_id in enumerate(value, 1):
        if type(token_id) is not int or token_id < 0:
            raise ValueError(f"token {place} of {len(value)} is {_shown(token_id)}, not an id")
    return value


def _data(value: Any, what: str) -> Any:
    """Return the value, parsed if it is JSON text; None if it is empty."""
    if isinstance(value, bytes):
        raise ValueError(f"{what} is not UTF-8 text")
    if not isinstance(value, str):
        return value
    return parse(value, what, "is not JSON") if value.strip() else None


def _plain(value: Any, where: str, depth: int = 1) -> Any:
    """Return the value if JSON can represent all of it. Raises ValueError."""
    if depth > MAX_DEPTH:
        raise ValueError(f"{where} is nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise ValueError(f"{where} has the key {odd[0]!r:.40}, which is not text")
        return {key: _plain(member, where, depth + 1) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member, where, depth + 1) for member in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} has {value}, which is not a number")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    kind = "text that is not UTF-8" if isinstance(value, bytes) else type(value).__name__
    raise ValueError(f"{where} has {kind}, not text, a number, true or false")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _shown(value: Any) -> str:
    return f"{json.dumps(value, default=str, skipkeys=True):.40}"
