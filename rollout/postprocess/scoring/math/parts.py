"""Split an answer at its top-level separators, for scorer=math."""

import re


def parts(text: str, separators: str, has_thousands: bool = True) -> list[str]:
    """Split a text at separators outside brackets; 1,234 is one number if `has_thousands`."""
    found, depth, start, i = [], 0, 0, 0
    while i < len(text):
        two = text[i : i + 2]
        if two in ("\\{", "\\}"):
            depth += 1 if two == "\\{" else -1
            i += 2
            continue
        if text.startswith(("\\langle", "\\rangle", "\\begin", "\\end"), i):
            depth += 1 if text.startswith(("\\langle", "\\begin"), i) else -1
        char = text[i]
        if char == "\\":
            i += 2
            continue
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif (
            char in separators
            and depth <= 0
            and not (has_thousands and _is_thousands(text, i, char))
        ):
            found.append(text[start:i])
            start = i + 1
        i += 1
    return [*found, text[start:]]


def _is_thousands(text: str, i: int, char: str) -> bool:
    """Whether the comma separates thousands: each group has three digits, unlike 10,200,3000."""
    return char == "," and bool(
        re.match(r"(?:,\d{3})+(?!\d|,\d)", text[i:])
        and re.search(r"(?<![\d.])(?<!\d,)(?:\d{1,3},)*\d{1,3}$", text[:i])
        and not re.search(r"(?<![\d,])0\d*$", text[:i])
    )


def items(text: str) -> list[str]:
    """Split the content of brackets: 100,200 has two numbers, and so has `1,234, 5`."""
    return parts(text, ",;", has_thousands=", " in text or ";" in text)


def closes_last(text: str) -> bool:
    """Whether the bracket at the start of a text is closed by its last character."""
    depth = 0
    for i, char in enumerate(text):
        depth += (char in "([") - (char in ")]")
        if depth == 0:
            return i == len(text) - 1
    return False
