"""Data of a page as JSON that may stand inside a <script> element.

Guarantees: strict JSON (no NaN, no Infinity), UTF-8, and no text in it can end the element, open a
comment, or reorder the lines of the source. Fields that have their default are left out.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Any

# < > & for HTML; line separators for JavaScript; half surrogate pairs, which UTF-8 cannot hold;
# controls and what turns the direction of a line, for people who read the source.
_ESCAPED = re.compile(
    "[<>&\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff\ud800-\udfff]"
)
_RUNS = re.compile(f"{_ESCAPED.pattern}+")


def script_json(value: Any) -> str:
    """Return dataclasses, sequences, mappings and plain values as JSON for a <script> element.

    Numbers that are not finite become null. Raises TypeError for values of other types.
    """
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", _dumped(value))


def num_script_bytes(value: Any) -> int:
    """Return the number of bytes of `script_json(value)`, several times as fast."""
    text = _dumped(value)
    escaped = "".join(_RUNS.findall(text))
    whole, part = (len(found.encode("utf-8", "surrogatepass")) for found in (text, escaped))
    return whole - part + 6 * len(escaped)


def _dumped(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def plain(value: Any) -> Any:
    """Return a value as what json.dumps takes."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        given = ((field, getattr(value, field.name)) for field in fields(value))
        return {f.name: plain(v) for f, v in given if not _is_default(f, v)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(item) for item in value]
    raise TypeError(f"a page cannot hold {type(value).__name__}")


def _is_default(field: "Field[Any]", value: Any) -> bool:
    if field.default_factory is not MISSING:
        return value == field.default_factory()
    return field.default is not MISSING and value == field.default
