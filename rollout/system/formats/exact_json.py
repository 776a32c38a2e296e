"""JSON read so that nothing changes on the way: what Python would bend or drop is a fault.

Owns which values those are: a key that stands twice (Python keeps the last), NaN and Infinity,
numbers beyond a 64-bit float (1e400) or with digits that one would round, half a surrogate pair.
Promises a ValueError of one line, such as `has the key 'q' twice`. Must not know files or rows.
"""

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any

EXACT_DIGITS = 15  # any number of so many digits comes back from a float as it was written
MAX_DIGITS = 4300  # of an integer that Python reads and writes


class Inexact(ValueError):
    """A whole JSON value that can't be kept exactly; its message says why, to follow a subject."""


def loads(text: str) -> Any:
    """The value of a JSON text. Raises Inexact, other ValueErrors, RecursionError."""
    value = _EXACT.decode(text)
    if "\\u" in text:
        refuse_surrogates(value)
    return value


def refuse_surrogates(value: Any) -> None:
    """Raise Inexact where a text has half a surrogate pair, which no UTF-8 can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Inexact("escapes half a surrogate pair") from None


def number_of(text: str) -> float:
    """The float that a text says. Raises Inexact where it would be another number."""
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
    # Some write a float's own digits beyond those it needs: 0.1000000000000000055.
    digits = len(given.as_tuple().digits)
    if value and digits > EXACT_DIGITS and given == Decimal(f"{value:.{min(digits, 800) - 1}e}"):
        return value
    raise Inexact(
        f"holds {_short(text)}, which a 64-bit float would change to {value!r}; write it as text"
    )


def integer_of(text: str) -> int:
    """The integer that a text says; Python's own limit may be off. Raises Inexact beyond it."""
    if len(text) > MAX_DIGITS:
        raise Inexact(f"holds a number of {len(text):,} digits; write it as text")
    return int(text)


def _constant(text: str) -> float:
    raise Inexact(f"holds {text}, which JSON has no number for; write null, or text")


def once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """The pairs as an object. Raises Inexact where a key stands twice."""
    if twice := doubled(pairs):
        raise Inexact(f"has the key {_short(repr(twice[0]))} twice; rename one")
    return dict(pairs)


def doubled(pairs: list[tuple[Any, Any]]) -> list[Any]:
    """The keys that stand twice among the pairs, in order; mostly none."""
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
    """Where a value ends that can't be kept exactly, or has control characters in its texts.

    Raises JSONDecodeError where it is no JSON, or goes on beyond the text.
    """
    return _LENIENT.raw_decode(text, start)[1]
