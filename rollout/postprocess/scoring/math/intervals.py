"""Rewrite sets of numbers as intervals, for scorer=math.

]0,1[ · x < 1 or x > 2 · all real numbers
"""

import re

_REALS = re.compile(
    r"(?:the )?(?:set of )?(?:all )?(?:real numbers|reals)|\\mathbb ?\{?R\}?"
    r"|(?:any|every) real number(?: [a-z])?|all real [a-z]|all real values of [a-z]"
    r"|all real numbers [a-z]|-\\infty ?< ?[a-z] ?< ?\+?\\infty",
    re.IGNORECASE,
)
_OUTWARD = re.compile(
    r"(?:^|(?<=\\cup))\s*([\[\]])([^\[\]()]*[,;][^\[\]()]*)([\[\]])\s*(?=$|\\cup)"
)
_OR = re.compile(r"\s*,?\s*(?:\\text\{\s*,?\s*or\s*\}|\bor\b|\\lor(?![a-z])|\\vee(?![a-z]))\s*")
_SIGN = r"(<|>|\\leq|\\geq)"
_ONE_SIDED = re.compile(
    rf"([a-zA-Z])\s*{_SIGN}\s*([^<>=,a-zA-Z]*(?:\\(?:sqrt|frac|pi)[^<>=,a-zA-Z]*)*)"
)
_TWO_SIDED = re.compile(r"([^<>=,a-zA-Z]+)\s*(<|\\leq)\s*([a-zA-Z])\s*(<|\\leq)\s*([^<>=,a-zA-Z]+)")


def as_intervals(text: str) -> str:
    """Return the text with intervals in the usual notation; unchanged if it has none."""
    bare = " ".join(re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).split())
    bare = re.sub(r"^[a-zA-Z] ?(?:\\in |is (?:in )?)", "", bare)
    if _REALS.fullmatch(bare) and bare not in ("r", "R"):
        return r"(-\infty,\infty)"
    if "]" in text or "[" in text:
        text = _OUTWARD.sub(_inward, text)
    pieces = _OR.split(text)
    if len(pieces) > 1 and (union := union_of(pieces)):
        return union
    return text


def union_of(pieces: list[str]) -> str | None:
    """Return inequalities in one variable, joined by "or", as a union of intervals."""
    found = [_interval(piece.strip()) for piece in pieces]
    if not all(found) or len({letter for letter, _ in filter(None, found)}) != 1:
        return None
    return r" \cup ".join(interval for _, interval in filter(None, found))


def _inward(found: re.Match[str]) -> str:
    start = "(" if found[1] == "]" else "["
    end = ")" if found[3] == "[" else "]"
    return f"{start}{found[2]}{end}"


def _interval(text: str) -> tuple[str, str] | None:
    """Return the variable and the interval of an inequality."""
    if found := _ONE_SIDED.fullmatch(text):
        letter, sign, end = found.groups()
        is_closed = sign.endswith("eq")
        if not end.strip():
            return None
        if sign in ("<", "\\leq"):
            return letter, rf"(-\infty,{end.strip()}{']' if is_closed else ')'}"
        return letter, rf"{'[' if is_closed else '('}{end.strip()},\infty)"
    if found := _TWO_SIDED.fullmatch(text):
        low, first, letter, second, high = found.groups()
        start = "[" if first.endswith("eq") else "("
        return letter, f"{start}{low.strip()},{high.strip()}{']' if second.endswith('eq') else ')'}"
    return None
