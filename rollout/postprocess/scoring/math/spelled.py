"""Read numbers in words for scorer=math: twenty-five, one hundred, two thirds, two and a half.

Also words after a number that change it: 3 million, 3 squared, 5 factorial, 10 below zero.
"""

import math
import re
from fractions import Fraction

UNITS = {
    w: i
    for i, w in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen".split()
    )
}
TENS = {
    w: 10 * i
    for i, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
SCALES = {
    "dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9,
    "trillion": 10**12,
}  # fmt: skip
_PARTS = {
    "half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
    "eighth": 8, "ninth": 9, "tenth": 10, "twelfth": 12, "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
_PLURALS = {"halves": 2, **{f"{word}s": size for word, size in _PARTS.items() if word != "half"}}
_FIRST = {*UNITS, *TENS, *SCALES, "a", "an", "half", "minus", "negative"}
_CHANGING = re.compile(
    r"\b(?:squared|cubed|factorial|below|minus|plus|point|halves|half|thirds?|fourths?|fifths?"
    r"|sixths?|sevenths?|eighths?|ninths?|tenths?|hundredths?|thousandths?"
    r"|" + "|".join(f"{word}s?" for word in SCALES) + r")\b",
    re.IGNORECASE,
)
_NUMBER_WORD = re.compile(r"\b(?:" + "|".join([*UNITS, *TENS]) + r")\b", re.IGNORECASE)
_AFTER = re.compile(
    r"(?P<number>.*[\d})])\s*(?P<word>squared|cubed|factorial|(?:degrees? )?below zero"
    r"|and an? (?:half|third|quarter|fourth)|and one[ -](?:half|third|quarter|fourth)"
    r"|halves|thirds|fourths|fifths|sixths|sevenths|eighths|ninths|tenths|hundredths|thousandths)"
    r"(?P<rest>(?: [A-Za-z ]+)?)",
    re.IGNORECASE | re.DOTALL,
)


def begins_spelled(text: str) -> bool:
    """Whether a text may begin with a number in words."""
    return (re.match(r"[A-Za-z]*", text) or [""])[0].lower() in _FIRST


def changes_number(words: str) -> bool:
    """Whether words after a number change it, unlike a unit: million, squared, below zero."""
    return bool(_CHANGING.search(words) or _NUMBER_WORD.search(words))


def spelled(text: str) -> tuple[Fraction, str] | None:
    """Return the number in words at the start of a text and its unit; None if there is more."""
    found = re.findall(r"[A-Za-z']+", text)
    if not found or not re.fullmatch(r"[A-Za-z'\s.-]+", text):
        return None
    tokens = [word.lower() for word in found]
    sign = -1 if tokens[0] in ("minus", "negative") else 1
    start = 1 if sign < 0 else 0
    value, end = _value(tokens, start)
    if value is None:
        return None
    rest = " ".join(found[end:])
    if changes_number(rest) or (rest and rest.split()[0].lower() in ("and", "or", "a", "an")):
        return None
    return sign * value, rest


def _value(tokens: list[str], i: int) -> tuple[Fraction | None, int]:
    """Return the number that starts at word `i`, with its fraction, and the index after it."""
    if tokens[i : i + 1] == ["half"]:
        if tokens[i + 1 : i + 3] == ["a", "dozen"]:
            return Fraction(6), i + 3
        return (Fraction(1, 2), i + 1) if len(tokens) == i + 1 else (None, i)
    whole, end = _whole(tokens, i)
    if whole is None:
        return None, i
    word = tokens[end] if end < len(tokens) else ""
    is_one = whole == 1
    if (is_one and word in _PARTS) or (not is_one and word in _PLURALS):
        return Fraction(whole, _PARTS[word] if is_one else _PLURALS[word]), end + 1
    if tokens[i] in ("a", "an") and end == i + 1:
        return None, i  # a dog
    if word == "and":
        part, after = _value(tokens, end + 1) if end + 1 < len(tokens) else (None, end)
        if part is not None and part.denominator > 1 and part < 1:
            word = tokens[after] if after < len(tokens) else ""
            if word in SCALES:  # two and a half million
                return (whole + part) * SCALES[word], after + 1
            return whole + part, after
    return Fraction(whole), end


def _whole(tokens: list[str], i: int) -> tuple[int | None, int]:
    """Read an integer: a hundred, seventeen hundred, two million three thousand and five."""
    total = 0
    last_scale: int | None = None
    start = i
    while i < len(tokens):
        begin = i + 1 if tokens[i] == "and" and last_scale and last_scale >= 100 else i
        small, end = _below_hundred(tokens, begin)
        if small is None and i == start and tokens[i] in ("a", "an"):
            small, end = 1, i + 1
        if small is None and i == start and tokens[i] in SCALES:
            small, end = 1, i
        if small is None:
            break
        if end < len(tokens) and tokens[end] == "hundred":
            small, end = small * 100, end + 1
            step = end + 1 if tokens[end : end + 1] == ["and"] else end
            more, after = _below_hundred(tokens, step)
            if more is not None:
                small, end = small + more, after
        scale = 1
        if end < len(tokens) and tokens[end] in SCALES and tokens[end] != "hundred":
            scale, end = SCALES[tokens[end]], end + 1
        if last_scale is not None and (scale >= last_scale or small * scale >= last_scale):
            break
        total, i = total + small * scale, end
        if scale in (1, 12):
            return total, i
        last_scale = scale
    return (total, i) if i > start else (None, start)


def _below_hundred(tokens: list[str], i: int) -> tuple[int | None, int]:
    word = tokens[i] if i < len(tokens) else ""
    if word in UNITS:
        return UNITS[word], i + 1
    if word in TENS:
        unit = UNITS.get(tokens[i + 1] if i + 1 < len(tokens) else "", 0)
        return (TENS[word] + unit, i + 2) if 0 < unit < 10 else (TENS[word], i + 1)
    return None, i


def changed(text: str) -> tuple[str, str, str] | None:
    """Return a number, the word that changes it and the unit after that: 3 squared."""
    found = _AFTER.fullmatch(text)
    if not found or changes_number(found["rest"]):
        return None
    return found["number"], " ".join(found["word"].lower().split()), found["rest"].strip()


def apply(value: Fraction, word: str) -> Fraction | None:
    """Return a number changed by a word (3 squared is 9); None if the word does not apply."""
    if word in ("squared", "cubed"):
        return value ** (2 if word == "squared" else 3) if abs(value) < 10**100 else None
    if word == "factorial":
        is_small = value.denominator == 1 and 0 <= value <= 1000
        return Fraction(math.factorial(int(value))) if is_small else None
    if word.endswith("below zero"):
        return -value if value > 0 else None
    if word.startswith("and"):
        part = Fraction(1, _PARTS[re.split(r"[ -]", word)[-1]])
        return value + part if value.denominator == 1 and value >= 0 else None
    return value / _PLURALS[word]
