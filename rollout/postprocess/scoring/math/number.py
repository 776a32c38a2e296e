"""Read numbers exactly and in full, in every notation that scorer=math supports.

1,234.50 · 1{,}234 · 1 234 · -3/4 · \\frac34 · 2 1/2 · 1e-3 · 1.6\\times 10^{-19} ·
0.1\\overline{6} · 204_5 · $36 · 36 dollars · 50\\% · 5\\text{ cm}^2 · 90^\\circ · twelve
"""

import re
from dataclasses import replace
from fractions import Fraction

from rollout.postprocess.scoring.math.spelled import (
    SCALES,
    apply,
    begins_spelled,
    changed,
    changes_number,
    spelled,
)
from rollout.postprocess.scoring.math.units import CURRENCIES, SYMBOLS, measure
from rollout.postprocess.scoring.math.values import Number

MAX_POWER = 2000  # of ten: math-verify reads larger numbers, as formulas
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.\d*)?|\.\d+)"
DECIMAL = re.compile(rf"({_DECIMAL})(?:[eE]([-+]?\d{{1,5}}))?")
_TIMES = re.compile(
    rf"(?:({_DECIMAL})\s*(?:\\times|\\cdot|\*|[xX])\s*)?10\s*(?:\^|\*\*)\s*"
    r"(?:\{\s*([-+]?\d{1,5})\s*\}|\(?([-+]?\d{1,5})\)?)"
)
_RATIO = re.compile(rf"({_DECIMAL})\s*/\s*(-?{_DECIMAL})")
_FRAC = re.compile(
    rf"\\frac\s*(?:\{{\s*([-+]?{_DECIMAL})\s*\}}|(\d)|\s(\d))\s*(?:\{{\s*(-?{_DECIMAL})\s*\}}|(\d)(?!\d))"
)
_MIXED = re.compile(
    r"(\d+)(?:\s*\\frac\s*(?:\{(\d+)\}|(\d))\s*(?:\{(\d+)\}|(\d))|\s+(\d+)\s*/\s*(\d+))"
)
_REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar|dot)\s*\{?(\d+)\}?")
_BASED = re.compile(
    r"(\d+)_\{?\s*(?:\\text\{)?\s*(\d{1,2}|two|three|five|eight|ten|sixteen)\s*\}?\}?"
)
_BASES = {"two": 2, "three": 3, "five": 5, "eight": 8, "ten": 10, "sixteen": 16}
_PERCENT = re.compile(
    r"\s*(?:\\text\{\s*)?(?:\\?%|per ?cent(?:age)?(?: points?)?|pct)\s*\}?\s*$", re.IGNORECASE
)
_UNIT_TEXT = re.compile(
    r"\s*\\text\{([^{}]*)\}((?:\s*(?:/|\\cdot|\\text\{[^{}]*\}|\^\{?-?\d\}?))*)\s*$"
)
_DEGREES = re.compile(r"\s*\^\{\\circ\}\s*(?:\\text\{)?\s*([CF]?)\s*\}?$")
_UNIT_WORDS = re.compile(
    r"(?<=[\d}) ])(\s*)((?:[A-Za-z]+\.?(?:\^?\{?-?[2-9]\}?)?)(?:\s*/\s*|\s+per\s+|[ -]+)?)"
    r"((?:[A-Za-z]+(?:\^?\{?-?[2-9]\}?)?[ /-]*){0,4})$"
)
_NO_UNITS = re.compile(
    r"\b(?:sqrt|pi|sin|cos|tan|log|ln|exp|frac|infty|infinity|inf|mod|choose|and|or|to|not|is|are|am|pm|"
    r"noon|midnight|times|over|if|for|when|where|so|but|base|x|y)\b"
)

_CHANGED_TEXT = re.compile(
    r"\\text\{\s*(?:and )?(?:an? )?(?:dozen|hundred|thousand|million|billion|trillion|squared|cubed"
    r"|factorial|degrees? below|below|half|halves|thirds|fourths|fifths|tenths|one|two|three|four)",
    re.IGNORECASE,
)
_REPEATED = re.compile(r"(.*[\dA-Za-z%}])\s*\(([A-Za-z]+(?:[ -][A-Za-z]+)*)\)", re.DOTALL)


def number(text: str) -> Number | None:
    """Parse the whole text as a number without a unit; None if it is not one."""
    text = text.strip()
    sign, body = 1, text
    while body[:1] in ("-", "+"):
        sign, body = (-sign if body[0] == "-" else sign), body[1:].lstrip()
        if len(text) - len(body) > 4:
            return None
    if body.startswith("(") and body.endswith(")") and body.count("(") == 1 and "," not in body:
        body = body[1:-1].strip()
        if body.startswith("-"):
            sign, body = -sign, body[1:].lstrip()
    found = _unsigned(body)
    return replace(found, value=sign * found.value) if found and sign < 0 else found


def _unsigned(body: str) -> Number | None:
    if found := DECIMAL.fullmatch(body):
        return _decimal(found[1], found[2])
    if found := _TIMES.fullmatch(body):
        return _decimal(found[1] or "1", found[2] or found[3])
    if found := _RATIO.fullmatch(body):
        return _quotient(found[1], found[2])
    if found := _FRAC.fullmatch(body):
        return _quotient(found[1] or found[2] or found[3], found[4] or found[5])
    if found := _MIXED.fullmatch(body):
        whole, *parts = found.groups()
        top, bottom = [int(p) for p in parts if p]
        if 0 < top < bottom:
            return Number(int(whole) + Fraction(top, bottom))
        return None
    if found := _REPEATING.fullmatch(body):
        start, cycle = found[2], found[3]
        shift = 10 ** len(start)
        value = Fraction(int((found[1] or "0") + start), shift)
        return Number(value + Fraction(int(cycle), (10 ** len(cycle) - 1) * shift))
    if found := _BASED.fullmatch(body):
        base = _BASES.get(found[2]) or int(found[2])
        if 2 <= base <= 10 and all(int(d) < base for d in found[1]):
            return Number(Fraction(int(found[1], base)), base=base, text=found[1])
    return None


def _decimal(digits: str, power: str | None) -> Number | None:
    digits = digits.replace(",", "").replace(" ", "")
    exponent = int(power or 0)
    if abs(exponent) > MAX_POWER or len(digits) > MAX_POWER:
        return None
    whole, point, places = digits.partition(".")
    scale = Fraction(10) ** (exponent - len(places))
    is_exact = not point or not places
    return Number(
        int((whole + places) or "0") * scale,
        None if is_exact and exponent >= 0 else scale,
        power is not None,
    )


def _quotient(top: str, bottom: str) -> Number | None:
    above, below = (number(part) for part in (top, bottom))
    if above is None or below is None or not below.value:
        return None
    return Number(above.value / below.value)


def quantity(text: str, is_loose: bool = False) -> Number | None:
    """Parse the whole text as a number, with a currency, percent sign or unit; None if it is not.

    With `is_loose`, a letter directly after the number (5m) is a unit rather than a factor.
    """
    if found := number(text):
        return found
    if _CHANGED_TEXT.search(text):  # 3 \text{ million}
        text = " ".join(re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).split())
    if repeated := _REPEATED.fullmatch(text):  # 6 (six)
        first, again = quantity(repeated[1], is_loose), spelled(repeated[2])
        return first if first and again and again[0] == first.value else None
    inner = re.fullmatch(r"\\text\{([^{}\d]*)\}", text)
    text = inner[1].strip() if inner else text
    if begins_spelled(text):
        return _in_words(text)
    if not any(c.isdigit() for c in text[:60]):
        return None
    if parts := changed(text):
        before = quantity(parts[0])
        value = apply(before.value, parts[1]) if before and not before.is_percent else None
        if before is None or value is None or before.unit:
            return None
        return replace(before, value=value, quantum=None, unit=parts[2] or None)
    text = re.sub(r"(?<=\d)(?:\^\{?)?(?:\\text\{)?(?:st|nd|rd|th)(?![a-z])\}*", "", text)
    core, is_percent, unit = split_unit(text, is_loose)
    while unit and unit.split(" ")[0].lower().removesuffix("s") in SCALES:  # 3 hundred thousand
        first, _, after = unit.partition(" ")
        core, unit = f"{core} {first}", after.strip() or None
    core, currency = _without_currency(core)
    core, scale = _without_scale(core)
    found = number(core)
    if unit and changes_number(unit) and measure(unit) is None:
        return None
    if found is None or (
        currency and unit and measure(unit) and measure(unit) != measure(currency)
    ):
        return None
    if scale != 1:
        found = replace(found, value=found.value * scale, quantum=None)
    return replace(found, is_percent=is_percent, unit=currency or unit)


def _in_words(text: str) -> Number | None:
    """Read twenty-five apples, two thirds, fifty percent."""
    core, is_percent, _ = split_unit(text) if _PERCENT.search(text) else (text, False, None)
    found = spelled(core)
    if found is None or _NO_UNITS.search(found[1].lower()) or (is_percent and found[1]):
        return None
    return Number(found[0], is_percent=is_percent, unit=found[1] or None)


def _without_scale(text: str) -> tuple[str, int]:
    found = re.fullmatch(
        r"(.*[\dA-Za-z}])\s*(?:(?<![A-Za-z])\\text\{\s*|(?<![A-Za-z]))([A-Za-z]+)\s*\}?",
        text,
        re.DOTALL,
    )
    scale = SCALES.get(found[2].lower().removesuffix("s")) if found else None
    if not found or not scale:
        return text, 1
    core, more = _without_scale(found[1].strip())
    return core, scale * more


def _without_currency(text: str) -> tuple[str, str | None]:
    found = re.fullmatch(r"([-+]?)\s*(US\$|[$€£¥₹])\s*([-+]?[\d.\\].*)", text, re.DOTALL)
    if found:
        return found[1] + found[3], CURRENCIES[found[2]]
    found = re.fullmatch(r"(.*\d)\s*([$€£¥₹])", text, re.DOTALL)
    return (found[1], CURRENCIES[found[2]]) if found else (text, None)


def split_unit(text: str, is_loose: bool = False) -> tuple[str, bool, str | None]:
    """Split off the unit or percent sign at the end: the rest, whether it is percent, the unit."""
    if found := _PERCENT.search(text):
        return text[: found.start()].strip(), True, None
    if found := _DEGREES.search(text):
        kind = {"C": "celsius", "F": "fahrenheit"}.get(found[1], "degree")
        return text[: found.start()].strip(), False, kind
    found = _UNIT_TEXT.search(text)
    if found and found.start() and re.fullmatch(r"[^\d]{2,}|\s*[A-Z]?[a-df-hj-z]?\s*", found[1]):
        unit = re.sub(r"\\text\{([^{}]*)\}", r" \1", found[1] + found[2])
        return text[: found.start()].strip(), False, re.sub(r"\s+(?=\^)", "", unit).strip()
    if found := _UNIT_WORDS.search(text, max(0, len(text) - 60)):
        first, _, rest = (found[2] + found[3]).strip(" -").partition(" ")
        if first.lower().removesuffix("s") in SCALES:  # 5 million dollars
            return f"{text[: found.start()]} {first}".strip(), False, rest or None
        unit = f"{first} {rest}".strip()
        touches = not found[1] and text[: found.start()][-1:] != " "
        bare = re.sub(r"[^A-Za-z]", "", unit)
        is_known = measure(unit) is not None
        if _NO_UNITS.search(unit.lower()) or text[: found.start()].rstrip().endswith("."):
            pass
        elif len(bare) == 1:
            if is_known and (is_loose if touches else bare in SYMBOLS):
                return text[: found.start()].strip(), False, unit
        elif is_known or (len(bare) > 2 and not touches):
            return text[: found.start()].strip(), False, unit
    return text, False, None
