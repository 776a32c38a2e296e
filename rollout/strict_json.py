"""JSON that every reader takes: `NaN` and `Infinity` are Python's own, and none of JSON's."""

import json
import math
from typing import Any


def dumps(value: Any, **how: Any) -> str:
    """`json.dumps`, but a number that is not finite is written as null, wherever it stands."""
    try:
        return json.dumps(value, allow_nan=False, **how)
    except ValueError:
        return json.dumps(finite(value), allow_nan=False, **how)


def finite(value: Any) -> Any:
    """The same plain value with None for each number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {finite_key(key): finite(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [finite(member) for member in value]
    return value


def finite_key(key: Any) -> Any:
    """A key as it is, or as text where it is a number that is not finite."""
    return str(key) if isinstance(key, float) and not math.isfinite(key) else key
