"""JSON that every reader takes: `NaN` and `Infinity` are Python's own, and none of JSON's."""

import json
import math
from typing import Any


def dumps(value: Any, **how: Any) -> str:
    """`json.dumps`, but a number that is not finite is null, and any key of a mapping is text."""
    try:
        return json.dumps(value, allow_nan=False, **how)
    except (ValueError, TypeError):
        return json.dumps(finite(value), allow_nan=False, **how)


def finite(value: Any) -> Any:
    """The same plain value, fit for JSON: None for a number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {_key(key): finite(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [finite(member) for member in value]
    return value


def _key(key: Any) -> Any:
    """A key that JSON can't hold, such as a date or bytes, as text."""
    is_fit = isinstance(key, str | int | None) or (isinstance(key, float) and math.isfinite(key))
    return key if is_fit else str(key)
