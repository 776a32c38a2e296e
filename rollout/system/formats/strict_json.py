"""Write JSON that every reader accepts: without Python's `NaN` and `Infinity`."""

import json
import math
from typing import Any


def dumps(value: Any, **how: Any) -> str:
    """As `json.dumps`, but numbers that are not finite become null, and mapping keys text."""
    try:
        return json.dumps(value, allow_nan=False, **how)
    except (ValueError, TypeError):
        return json.dumps(finite(value), allow_nan=False, **how)


def finite(value: Any) -> Any:
    """Return a plain value fit for JSON: None for a number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {_key(key): finite(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [finite(member) for member in value]
    return value


def _key(key: Any) -> Any:
    """Return a key that JSON can't have, such as a date or bytes, as text."""
    is_fit = isinstance(key, str | int | None) or (isinstance(key, float) and math.isfinite(key))
    return key if is_fit else str(key)
