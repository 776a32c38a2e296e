"""Read an answer for scorer=math as a value (see values.py), in full or not at all.

It reads numbers with units, clock times and dates, words, lists, tuples, sets, intervals and their
unions, matrices and vectors, `x = 5` and `1 \\pm 2`. Other text is a formula, if math-verify's
grammar can read all of it. One unreadable part makes the whole answer unreadable.
"""

import re
from functools import lru_cache

from rollout.postprocess.scoring.math import formula as math_formula
from rollout.postprocess.scoring.math.dates import time_or_date
from rollout.postprocess.scoring.math.intervals import as_intervals
from rollout.postprocess.scoring.math.number import quantity, split_unit
from rollout.postprocess.scoring.math.parts import closes_last, items, parts
from rollout.postprocess.scoring.math.spelled import changes_number
from rollout.postprocess.scoring.math.text import closing, tidy
from rollout.postprocess.scoring.math.units import measure
from rollout.postprocess.scoring.math.values import Either, Formula, Group, Named, Value, Words
from rollout.postprocess.scoring.math.words import is_name, words

MAX_CHARS = 2000
_AND = re.compile(
    r"\s*,?\s*\\text\{\s*(?:and|or|,)\s*\}\s*|(?<![A-Za-z\\])\s*,?\s*(?:and|or)(?=[\sA-Z(\d\\$[+-])\s*"
)
_LABEL = re.compile(
    r"(?:\\text\{\s*)?\(\s*([A-J])\s*\)\s*\}?\s*:?\s*(?=\S)|([A-J])\s*[).:]\s+(?=\S)"
)
_MATRIX = re.compile(
    r"^[\[(|]?\s*\\begin\{([pbB]?matrix|smallmatrix|array)\}(?:\{[^{}]*\})?(.*)\\end\{\1\}\s*[\])|]?(?:\^\{?T\}?)?$",
    re.DOTALL,
)
_DETERMINANT = re.compile(r"^\||\\begin\{[vV]matrix")


@lru_cache(maxsize=4096)
def read(text: str, is_loose: bool = False) -> Value | None:
    """Return the value of an answer, or None if it can't be read in full."""
    if len(text) > MAX_CHARS:
        return None
    text = tidy(text)
    return _read(text, is_loose) if text else None


def _read(text: str, is_loose: bool = False) -> Value | None:
    text = re.sub(
        r"^\s*(?:=|\\approx|\\implies|\\Rightarrow|\\therefore|approximately|about)\s*", "", text
    )
    text = as_intervals(text.strip())
    if not text:
        return None
    if value := time_or_date(text) or quantity(text, is_loose):
        return value
    if value := words(text):
        return value
    if text.startswith("\\text{") and closing(text, 5) == len(text) - 1:
        return _read(text[6:-1], is_loose)
    for reader in (_list, _union, _bracketed, _matrix, _ratio, _relation, _plus_minus):
        value = reader(text, is_loose)
        if value is not _OTHER_NOTATION:
            return value
    return _formula(text)


# For text in a notation that a reader does not cover. None: it covers it, but can't read the text.
_OTHER_NOTATION = Words("\0")


def _all(pieces: list[str], is_loose: bool = False) -> tuple[Value, ...] | None:
    values = [_read(piece.strip(), is_loose) if piece.strip() else None for piece in pieces]
    return None if any(v is None for v in values) else tuple(values)  # type: ignore[arg-type]


def _list(text: str, is_loose: bool) -> Value | None:
    joined = _AND.sub(" , ", text)
    for separator in ";", ",":
        pieces = parts(joined, separator)
        if len(pieces) > 1:
            if not pieces[-1].strip():
                pieces.pop()
            values = _all(pieces, is_loose)
            return Group("list", _named_alike(values)) if values else None
    is_shorter = joined != text and joined.strip() != text
    return _read(joined.strip(), is_loose) if is_shorter else _OTHER_NOTATION


def _named_alike(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Drop a name that holds for all values: x = 1, 2, 3."""
    first = values[0]
    if isinstance(first, Named) and not any(isinstance(v, Named) for v in values[1:]):
        return (first.value, *values[1:])
    return values


def _union(text: str, is_loose: bool) -> Value | None:
    if "\\cup" not in text:
        return _OTHER_NOTATION
    name = re.match(r"\s*\\?[A-Za-z]+\s*(?:\\in(?![a-z])|=)\s*", text)
    pieces = re.split(r"\\cup(?![A-Za-z])", text[name.end() :] if name else text)
    values = _all(pieces)
    return Group("union", values) if values else _formula(text)


def _bracketed(text: str, is_loose: bool) -> Value | None:
    for start, end, kind in (("\\{", "\\}", "set"), ("\\langle", "\\rangle", "tuple")):
        if text.startswith(start) and text.endswith(end) and text.count(start) == 1:
            values = _all(items(text[len(start) : -len(end)]))
            if values is None:
                return _formula(text)
            return Group(kind, _flat(values))
    if text[0] not in "([" or text[-1] not in ")]" or not closes_last(text):
        return _OTHER_NOTATION
    pieces = items(text[1:-1])
    if len(pieces) == 1:
        inner = _read(text[1:-1].strip()) if text[0] + text[-1] == "()" else None
        return _OTHER_NOTATION if inner is None or isinstance(inner, Words) else inner
    values = _all(pieces)
    if values is None:
        return None
    if text[0] + text[-1] in ("(]", "[)"):
        return Group("interval", values, text[0] + text[-1]) if len(values) == 2 else None
    return Group("tuple" if text[0] == "(" else "bracket", values)


def _flat(values: tuple[Value, ...]) -> tuple[Value, ...]:
    flat: list[Value] = []
    for value in values:
        flat.extend(value.items if isinstance(value, Group) and value.kind == "list" else [value])
    return tuple(flat)


def _matrix(text: str, is_loose: bool) -> Value | None:
    if "\\begin" not in text:
        return _OTHER_NOTATION
    found = _MATRIX.match(text)
    if not found or _DETERMINANT.search(text) or "\\begin" in found[2] or text.endswith("T}"):
        return _formula(text) if not text.startswith("\\begin{cases") else None
    rows = [
        r
        for r in re.split(r"\\\\(?:\[[^\]]*\])?|\\cr(?![A-Za-z])", found[2].replace("\\hline", ""))
        if r.strip()
    ]
    values = [_all(row.split("&")) for row in rows]
    if not values or any(v is None for v in values) or len({len(v) for v in values if v}) != 1:
        return None
    return Group("matrix", tuple(Group("row", v) for v in values if v))


def _ratio(text: str, is_loose: bool) -> Value | None:
    pieces = parts(re.sub(r"\\(?:colon|ratio)(?![a-z])", ":", text), ":")
    if len(pieces) < 2 or "=" in text:
        return _OTHER_NOTATION
    values = _all(pieces)
    return (
        Group("ratio", values) if values and not any(isinstance(v, Words) for v in values) else None
    )


def _relation(text: str, is_loose: bool) -> Value | None:
    if found := re.match(r"(\\?[A-Za-z]\w*|\([A-Za-z ,]+\))\s*\\in(?![A-Za-z])\s*", text):
        return _read(text[found.end() :])
    near = re.split(r"\\approx(?![A-Za-z])", text)
    if len(near) == 2 and all(side.strip() for side in near):
        left, right = (_read(side.strip()) for side in near)
        if is_name(near[0]):
            return right
        return left if left is None or right is None else Either(left, right)
    sides = [side.strip() for side in parts(text.replace("==", "="), "=")]
    if len(sides) < 2 or any(sign in text for sign in ("<", ">", "\\leq", "\\geq", "\\neq")):
        return _OTHER_NOTATION
    if not sides[0] or not sides[-1]:
        return None
    value = _read(sides[-1], is_loose)
    if is_name(sides[0]):
        return Named(sides[0], value, text) if value is not None else None
    if len(sides) == 2 and is_name(sides[1]) and (reverse := _read(sides[0], is_loose)) is not None:
        return Named(sides[1], reverse, text)  # 5 = x
    if not math_formula.has_letters("".join(sides)):
        return value  # 5 + 12 = 17
    return _formula(text) if len(sides) == 2 else value


def _plus_minus(text: str, is_loose: bool) -> Value | None:
    if not re.search(r"\\(?:pm|mp)(?![A-Za-z])", text):
        return _OTHER_NOTATION
    both = [
        re.sub(r"\\pm(?![A-Za-z])", plus, re.sub(r"\\mp(?![A-Za-z])", minus, text))
        for plus, minus in (("+", "-"), ("-", "+"))
    ]
    values = _all([re.sub(r"^\s*\+", "", side) for side in both])
    return Group("list", values) if values else None


def _formula(text: str) -> Value | None:
    core, is_percent, unit = split_unit(text)
    if unit and changes_number(unit) and measure(unit) is None:
        return None
    if label := _LABEL.match(core):
        rest = _read(core[label.end() :])
        return Either(rest, Words((label[1] or label[2]).lower())) if rest else None
    latex = math_formula.latex_of(core)
    if latex is None or math_formula.parse(latex) is None:
        return None
    return Formula(latex, is_percent, unit)
