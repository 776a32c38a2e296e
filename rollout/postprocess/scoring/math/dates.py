"""Read clock times, dates and ranges for scorer=math as normalized text, without arithmetic."""

import re

from rollout.postprocess.scoring.math.values import Words

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTH = (
    r"(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,?\s+(\d{4}))?"
_HALF = r"(?:\s*\b([ap])\.?\s?m\b\.?)?"
_CLOCK = re.compile(rf"(\d{{1,2}}):([0-5]\d)(?::([0-5]\d))?{_HALF}", re.IGNORECASE)
_HOUR = re.compile(r"(\d{1,2})\s*([ap])\.?\s?m\b\.?", re.IGNORECASE)
_DATES = (
    (re.compile(rf"{_MONTH}\s+{_DAY}{_YEAR}", re.IGNORECASE), "mdy"),
    (re.compile(rf"{_DAY}\s+(?:of\s+)?{_MONTH}{_YEAR}", re.IGNORECASE), "dmy"),
    (re.compile(r"(\d{4})-(\d{2})-(\d{2})"), "ymd"),
)
_NUMERIC_DATE = re.compile(
    r"\d{1,2}([/.-])\d{1,2}\1\d{2,4}|\d{4}([/.])\d{1,2}\2\d{1,2}|0\d/\d{2}|\d{2}/0\d"
)
_SERIAL = re.compile(r"\d+(?:-\d+){2,}|\d+(?:\.\d+){2,}")  # a telephone number, a version
_RANGE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:–|-)\s*(\d+(?:\.\d+)?)")


def time_or_date(text: str) -> Words | None:
    """Return a time, a date or a range of two numbers (3-5), or None."""
    text = " ".join(re.sub(r"\\text\{([^{}]*)\}", r" \1", text).split())
    if found := _CLOCK.fullmatch(text):
        return _time(found[1], found[2], found[3], found[4])
    if found := _HOUR.fullmatch(text):
        return _time(found[1], "00", None, found[2])
    if text.lower() in ("noon", "midnight"):
        return Words("12:00:00 h" if text.lower() == "noon" else "00:00:00 h")
    for pattern, order in _DATES:
        if found := pattern.fullmatch(text):
            given = dict(zip(order, found.groups(), strict=False))
            month = given["m"].lower()[:3]
            number = _MONTHS.index(month) + 1 if month in _MONTHS else int(month)
            year = f"{given['y']}-" if given.get("y") else ""
            return Words(f"{year}{number:02}-{int(given['d']):02}")
    if _NUMERIC_DATE.fullmatch(text) or _SERIAL.fullmatch(text):
        return Words(text)
    if (found := _RANGE.fullmatch(text)) and ("–" in text or " " not in text):
        return Words(f"{found[1]} to {found[2]}")
    return None


def _time(hour: str, minute: str, second: str | None, half: str | None) -> Words | None:
    number = int(hour)
    if number > 24 or (half and number > 12):
        return None
    tag = "h" if half else "?" if number <= 12 else ""
    if half:
        number = number % 12 + (12 if half.lower() == "p" else 0)
    return Words(f"{number:02}:{minute}:{second or '00'} {tag}".strip())


def same_time(a: str, b: str) -> bool:
    """Whether two clock times agree. 3:30 matches 3:30 PM; 15:30 matches only itself."""
    clocks = [re.fullmatch(r"(\d\d)(:\d\d:\d\d) ?([h?]?)", text) for text in (a, b)]
    if not all(clocks):
        return False
    (hour, rest, tag), (other, others, kind) = (c.groups() for c in clocks if c)
    if rest != others:
        return False
    return hour == other or ({tag, kind} == {"h", "?"} and int(hour) % 12 == int(other) % 12)
