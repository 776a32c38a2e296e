"""Read JSON exactly: refuse values that Python would change or drop.

Those are duplicate keys (Python keeps the last), NaN and Infinity, numbers beyond a 64-bit float
(1e400) or with digits that it would round, and half a surrogate pair. Guarantees a one-line
ValueError, such as `has the key 'q' twice`. Must not know about files or rows.
"""

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any

EXACT_DIGITS = 15  # a float keeps any number of this many digits
MAX_DIGITS = 4300  # of an integer, Python's default limit


class Inexact(ValueError):
    """A JSON value that can't be kept exactly; the message says why, and lacks a subject."""


def loads(text: str) -> Any:
    """Return the value of a JSON text. Raises Inexact, other ValueErrors, RecursionError."""
    value = _EXACT.decode(text)
    if "\\u" in text:
        refuse_surrogates(value)
    return value


def refuse_surrogates(value: Any) -> None:
    """Raise Inexact if a text has half a surrogate pair, which UTF-8 can't encode."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Inexact("escapes half a surrogate pair") from None


def number_of(text: str) -> float:
    """Return a text's float. Raises Inexact if that would be another number."""
    value = float(text)
    if len(text) <= EXACT_DIGITS and "e" not in text and "E" not in text:
        return value
    if math.isinf(value):
        raise Inexact(f"holds {_short(text)}, which is beyond a 64-bit float; write it as text")
    try:
        given = Decimal(text)
    except InvalidOperation:  # an exponent of many digits
        raise Inexact(f"holds {_short(text)}, which a 64-bit float would change to 0.0") from None
    if given == Decimal(repr(value)):
        return value
    # Some writers print more digits of a float than it needs: 0.1000000000000000055.
    digits = len(given.as_tuple().digits)
    if value and digits > EXACT_DIGITS and given == Decimal(f"{value:.{min(digits, 800) - 1}e}"):
        return value
    raise Inexact(
        f"holds {_short(text)}, which a 64-bit float would change to {value!r}; write it as text"
    )


def integer_of(text: str) -> int:
    """Return a text's integer. Raises Inexact beyond MAX_DIGITS: Python's limit may be off."""
    if len(text) > MAX_DIGITS:
        raise Inexact(f"holds a number of {len(text):,} digits; write it as text")
    return int(text)


def _constant(text: str) -> float:
    raise Inexact(f"holds {text}, which is not a JSON number; write null, or text")


def once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return the pairs as an object. Raises Inexact for a duplicate key."""
    if twice := duplicate_keys(pairs):
        raise Inexact(f"has the key {_short(repr(twice[0]))} twice; rename one")
    return dict(pairs)


def duplicate_keys(pairs: list[tuple[Any, Any]]) -> list[Any]:
    """Return the duplicate keys among the pairs, in order; usually none."""
    if len(dict(pairs)) == len(pairs):
        return []
    names = [name for name, _ in pairs]
    return [name for name in names if names.count(name) > 1]


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


_EXACT = json.JSONDecoder(
    object_pairs_hook=once, parse_float=number_of, parse_int=integer_of, parse_constant=_constant
)
_LENIENT = json.JSONDecoder(
    strict=False, parse_int=lambda text: 0, parse_float=lambda text: 0, parse_constant=lambda t: 0
)
raw_decode = _EXACT.raw_decode  # value and end; raises Inexact, JSONDecodeError, RecursionError


def end_of(text: str, start: int) -> int:
    """Return where a value ends that is inexact, or has control characters in its texts.

    Raises JSONDecodeError if it is not JSON, or continues beyond the text.
    """
    return _LENIENT.raw_decode(text, start)[1]
