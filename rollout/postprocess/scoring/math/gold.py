"""Read a row's ground truth for scorer=math. If it can't be read in full, the row is not judged.

A text may be a number, LaTeX with or without its delimiters, a solution that ends in `#### 42` or
has a `\\boxed{}`, or a sentence such as "the answer is 42". Numeric columns are read by value.
"""

import re
import struct
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from rollout.postprocess.scoring.math.answer import find
from rollout.postprocess.scoring.math.number import split_unit
from rollout.postprocess.scoring.math.read import read
from rollout.postprocess.scoring.math.text import peel, plain, tidy
from rollout.postprocess.scoring.math.units import measure
from rollout.postprocess.scoring.math.values import Named, Number, Value
from rollout.postprocess.scoring.scorers import Unscorable, as_text

_MONEY = {((kind, 1),) for kind in ("usd", "eur", "gbp", "yen", "inr", "yuan")}


class Gold(NamedTuple):
    """A ground truth: its value, and the text that training compares with."""

    value: Value
    text: str


def gold_of(answer: Any) -> Gold:
    """Return the ground truth in a column's value. Raises Unscorable if it is not read in full."""
    if isinstance(answer, Decimal):
        return _gold(format(answer, "f"))
    if isinstance(answer, float):
        return _gold(as_text(_short(answer)) if answer.is_integer() else _digits(_short(answer)))
    return _gold(as_text(answer))


def _short(value: float) -> float:
    """Return 0.1 for 0.10000000149011612, which is 0.1 in a column of 32-bit floats."""
    if value and abs(value) < 3e38 and _as_float32(value) == value:
        for digits in range(6, 10):
            shorter = float(f"{value:.{digits}g}")
            if _as_float32(shorter) == value:
                return shorter
    return value


def _as_float32(value: float) -> float:
    return struct.unpack("f", struct.pack("f", value))[0]


def _digits(value: float) -> str:
    """Return all digits of a float, with an exponent only if there are more than 40."""
    text = format(Decimal(repr(value)), "f")
    return text if len(text) <= 40 else repr(value)


@lru_cache(maxsize=4096)
def _gold(text: str) -> Gold:
    part, value = _answer_in(text)
    if value is None:
        raise Unscorable(
            f"the ground truth {_shown(text)} can't be read in full as mathematics; type "
            "scorer=exact to compare text, or answer_key=COLUMN for another column"
        )
    return Gold(value, _comparable(part, value))


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 60 else f"{text[:28]}...{text[-28:]}")


def _answer_in(text: str) -> tuple[str, Value | None]:
    """Return the part of a text that is the ground truth, and its value."""
    if "####" in text:
        part = text.rpartition("####")[2].strip()
        return part, read(part)
    is_boxed = "\\boxed" in text or "\\fbox" in text or "<answer>" in text.lower()
    if not is_boxed and (value := read(text)) is not None:
        return text, value
    sentence = r"\banswers?\b[^.\n]{0,40}?(?:\bis\b|\bare\b|:)"
    if is_boxed or re.search(sentence, text, re.IGNORECASE):
        found = find(text, False, True)
        if found and found.is_explicit:
            return found.text, found.several or found.value
    return text, None


def _comparable(part: str, value: Value) -> str:
    """Return the text that training compares with: 1234 for $1,234; other notation unchanged."""
    number = value.value if isinstance(value, Named) else value
    if isinstance(number, Number) and number.base is None:
        core, is_percent, unit = split_unit(tidy(part))
        is_money = unit and (measure(unit) or ("",))[0] in _MONEY
        written = re.sub(r"[,\s$€£¥₹]", "", core if is_percent or is_money else tidy(part))
        if re.fullmatch(r"[-+]?(?:\d+\.?\d*|\.\d+)", written):
            return written.removeprefix("+")
    bare = peel(plain(part).strip())
    bare = re.sub(r"^\\[(\[]\s*|\s*\\[)\]]$|^\$+|(?<!\\)\$+$", "", bare).strip()
    return bare or part.strip()
