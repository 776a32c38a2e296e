"""Values that wandb can take: encodable text of bounded length, finite numbers."""

import json
import math
from typing import Any

MAX_CELL_CHARACTERS = 10_000


def brief(error: BaseException) -> str:
    """Return an error on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def clean(value: Any) -> Any:
    """Return a copy with encodable text (a model may emit half a character) and finite numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {clean(k): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v) for v in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def cell(value: Any) -> Any:
    """Return a table cell: numbers unchanged, all else as text of bounded length."""
    if isinstance(value, float):
        return clean(value)
    if value is None or isinstance(value, bool | int):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    more = len(text) - MAX_CELL_CHARACTERS
    return clean(f"{text[:-more]} ... [{more} more characters]" if more > 0 else text)
