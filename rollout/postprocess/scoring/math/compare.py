"""Compare an answer with the ground truth, for scorer=math.

The notation of the ground truth decides what counts. Order counts in (1, 2), but not in {1, 2} or
in `1, 2`. The answer must not have brackets that add a meaning: [2, 3] is not 2, 3.
"""

from fractions import Fraction
from typing import Any

from rollout.postprocess.scoring.math import equal as math_equal
from rollout.postprocess.scoring.math import formula as math_formula
from rollout.postprocess.scoring.math.dates import same_time
from rollout.postprocess.scoring.math.intervals import union_of
from rollout.postprocess.scoring.math.nearly_equal import nearly_equal, same_quantity
from rollout.postprocess.scoring.math.read import read
from rollout.postprocess.scoring.math.units import measure
from rollout.postprocess.scoring.math.values import (
    Either,
    Formula,
    Group,
    Named,
    Number,
    Value,
    Words,
)
from rollout.postprocess.scoring.math.words import symbol_of


def same(gold: Value, given: Value) -> bool:
    """Whether `given` equals `gold`, the ground truth."""
    if gold == given:
        return True
    labels = [_label(value) for value in (gold, given)]
    if all(labels):
        return labels[0] == labels[1]  # (A) 12 is not (B) 12
    if isinstance(gold, Either):
        return same(gold.exact, given) or same(gold.near, given)
    if isinstance(given, Either):
        return same(gold, given.exact) or same(gold, given.near)
    if isinstance(gold, Named) or isinstance(given, Named):
        return _same_named(gold, given)
    if isinstance(gold, Words) or isinstance(given, Words):
        return _same_words(gold, given)
    if isinstance(gold, Number) and isinstance(given, Number):
        return same_quantity(gold, given)
    if "ratio" in (getattr(gold, "kind", ""), getattr(given, "kind", "")):
        return _same_ratio(gold, given)
    if isinstance(gold, Group) and isinstance(given, Group):
        return _same_group(gold, given)
    return _same_formula(gold, given)


def _label(value: Value) -> str | None:
    """Return the letter of a choice written with its value: (B) 12."""
    is_choice = isinstance(value, Either) and isinstance(value.near, Words)
    return value.near.text if is_choice else None  # type: ignore[union-attr]


def _same_words(gold: Value, given: Value) -> bool:
    texts = [
        v.text if isinstance(v, Words) else getattr(v, "latex", "").lower() for v in (gold, given)
    ]
    return texts[0] == texts[1] or same_time(*texts)


def _same_named(gold: Value, given: Value) -> bool:
    if isinstance(gold, Named) and isinstance(given, Named):
        one, other = symbol_of(gold.name), symbol_of(given.name)
        if not (one and other and one != other) and same(gold.value, given.value):
            return True
        if isinstance(gold.value, Group | Words) or isinstance(given.value, Group | Words):
            return False
        return _same_formula(Formula(gold.latex), Formula(given.latex))
    if isinstance(gold, Named):
        if isinstance(given, Formula) and "=" in given.latex:
            return _same_formula(Formula(gold.latex), given)
        return same(gold.value, given)
    if isinstance(gold, Formula) and "=" in gold.latex:
        return _same_formula(gold, Formula(given.latex))  # type: ignore[union-attr]
    return same(gold, given.value)  # type: ignore[union-attr]


def _same_group(gold: Group, given: Group) -> bool:
    kinds = {gold.kind, given.kind}
    if "matrix" in kinds:
        return _same_matrix(gold, given)
    if kinds == {"union", "list"}:
        return _same_alternatives(gold, given)
    if "interval" in kinds or "union" in kinds:
        if gold.kind != given.kind or gold.ends != given.ends:
            return False
        return (_in_some_order if gold.kind == "union" else _in_order)(gold.items, given.items)
    if kinds == {"tuple", "bracket"}:
        return len(gold.items) > 2 and _in_order(gold.items, given.items)
    if kinds <= {"list", "set"}:
        if kinds == {"set"} or all(isinstance(item, Group) for item in gold.items + given.items):
            return _in_some_order(_distinct(gold.items), _distinct(given.items))
        return _in_some_order(gold.items, given.items)
    if kinds in ({"set", "tuple"}, {"set", "bracket"}):
        return False
    if kinds == {"list", "bracket"} and len(gold.items) == 2:
        return False  # [2, 3] may be an interval
    return _in_order(gold.items, given.items)


def _same_alternatives(gold: Group, given: Group) -> bool:
    """Whether a list such as x < 1, x > 2 equals the other side's union of intervals."""
    union, listed = (gold, given) if gold.kind == "union" else (given, gold)
    pieces = [item.latex for item in listed.items if isinstance(item, Formula)]
    text = union_of(pieces) if len(pieces) == len(listed.items) else None
    other = read(text) if text else None
    return other is not None and same(union, other)


def _distinct(items: tuple[Value, ...]) -> tuple[Value, ...]:
    found: list[Value] = []
    for item in items:
        if not any(same(one, item) for one in found):
            found.append(item)
    return tuple(found)


def _in_order(gold: tuple[Value, ...], given: tuple[Value, ...]) -> bool:
    return len(gold) == len(given) and all(map(same, gold, given))


def _in_some_order(gold: tuple[Value, ...], given: tuple[Value, ...]) -> bool:
    if len(gold) != len(given):
        return False
    names = [[symbol_of(v.name) for v in side if isinstance(v, Named)] for side in (gold, given)]
    if any(len(set(side)) > 1 for side in names) and not all(names):
        return _in_order(gold, given)  # x = 2, y = 3 is not 3, 2
    left = list(given)
    for item in gold:
        found = next((i for i, other in enumerate(left) if same(item, other)), None)
        if found is None:
            return False
        left.pop(found)
    return True


def _same_matrix(gold: Group, given: Group) -> bool:
    if gold.kind == given.kind == "matrix":
        return len(gold.items) == len(given.items) and all(
            _in_order(a.items, b.items)  # type: ignore[union-attr]
            for a, b in zip(gold.items, given.items, strict=True)
        )
    matrix, other = (gold, given) if gold.kind == "matrix" else (given, gold)
    if other.kind not in ("tuple", "bracket"):
        return False
    rows = [row.items for row in matrix.items if isinstance(row, Group)]
    if other.items and all(isinstance(r, Group) and r.kind == "bracket" for r in other.items):
        given_rows = [r.items for r in other.items if isinstance(r, Group)]  # [[1, 2], [3, 4]]
        return len(rows) == len(given_rows) and all(map(_in_order, rows, given_rows))
    return all(len(row) == 1 for row in rows) and _in_order(
        tuple(row[0] for row in rows), other.items
    )


def _same_ratio(gold: Value, given: Value) -> bool:
    sides = [_quotients(value) for value in (gold, given)]
    return all(sides) and sides[0] == sides[1]


def _quotients(value: Value) -> list[Fraction] | None:
    """Return the parts of a ratio over its last part; for a number, the number over 1."""
    if isinstance(value, Number) and not value.is_percent:
        return [value.value, Fraction(1)]
    if not isinstance(value, Group) or value.kind != "ratio":
        return None
    numbers = [item.value for item in value.items if isinstance(item, Number)]
    if len(numbers) != len(value.items) or not numbers[-1]:
        return None
    return [number / numbers[-1] for number in numbers]


def _same_formula(gold: Value, given: Value) -> bool:
    a, b = sympy_of(gold), sympy_of(given)
    if a is None or b is None:
        return False
    if hasattr(b, "rhs") and not hasattr(a, "rhs") and b.func.__name__ == "Equality":
        b = b.rhs  # a + b = 7 for a ground truth of 7
    units = [
        measure(v.unit) if isinstance(v, Formula | Number) and v.unit else None
        for v in (gold, given)
    ]
    if units[0] and units[1] and units[0] != units[1]:
        return False
    percents = [isinstance(v, Formula | Number) and v.is_percent for v in (gold, given)]
    if percents[0] != percents[1] and math_equal.same(
        *(x / 100 if p else x for x, p in zip((a, b), percents, strict=True))
    ):
        return True
    decimal = next(
        (v for v in (gold, given) if isinstance(v, Number) and v.quantum is not None), None
    )
    if decimal is not None:
        exact = math_formula.constant(b if decimal is gold else a)
        return isinstance(exact, Fraction) and nearly_equal(decimal, Number(exact))
    return math_equal.same(a, b)


def sympy_of(value: Value) -> Any:
    """Return a value as a sympy object; None for words and other values without one."""
    import sympy

    if isinstance(value, Number):
        return sympy.Rational(value.value.numerator, value.value.denominator)
    if isinstance(value, Formula):
        return math_formula.parse(value.latex)
    if not isinstance(value, Group):
        return None
    items = [sympy_of(item) for item in value.items]
    if any(item is None for item in items):
        return None
    try:
        if value.kind == "union":
            return sympy.Union(*items)
        if value.kind == "set":
            return sympy.FiniteSet(*items)
        if len(items) == 2 and value.kind in ("interval", "tuple", "bracket"):
            ends = value.ends or ("()" if value.kind == "tuple" else "[]")
            return sympy.Interval(*items, ends[0] == "(", ends[1] == ")")
        if value.kind == "matrix":
            return sympy.Matrix(items)
        return sympy.Tuple(*items) if value.kind in ("tuple", "bracket", "row", "list") else None
    except Exception:
        return None
