"""Write equal answers of scorer=math as one text, for the column `extracted` and majority votes.

Terminating numbers are decimals (0.5 for 1/2, 50% and \\frac12), others are fractions (1/3).
Formulas are evaluated and written by sympy.
"""

import re
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from rollout.postprocess.scoring.math import formula as math_formula
from rollout.postprocess.scoring.math.compare import sympy_of
from rollout.postprocess.scoring.math.values import (
    Either,
    Formula,
    Group,
    Named,
    Number,
    Value,
    Words,
)

_BRACKETS = {"tuple": "()", "set": "{}", "list": ("", ""), "bracket": "[]", "row": "[]",
             "matrix": "[]"}  # fmt: skip


def canonical(value: Value) -> str:
    """Return the text of a value; equal values have the same text."""
    if isinstance(value, Words):
        return re.sub(r"^(\d\d:\d\d)(?::00)?(:\d\d)?(?: [h?])?$", r"\1\2", value.text)
    if isinstance(value, Named):
        return canonical(value.value)
    if isinstance(value, Either):
        return canonical(value.exact)
    if isinstance(value, Number):
        return _of_number(value.value / 100 if value.is_percent else value.value)
    if isinstance(value, Group):
        items = [canonical(item) for item in value.items]
        if value.kind in ("list", "set", "union"):
            items = sorted(set(items) if value.kind == "set" else items, key=lambda t: (len(t), t))
        if value.kind in ("union", "ratio"):
            return (" U " if value.kind == "union" else ":").join(items)
        start, end = value.ends or _BRACKETS[value.kind]
        return f"{start}{', '.join(items)}{end}"
    return _of_formula(value)


def _of_number(value: Fraction) -> str:
    """Return a decimal if it ends within 12 places, else a fraction."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if value.denominator == 1:
        return str(value.numerator) if abs(value) < 10**50 else _scientific(value)
    if rest == 1 and value.denominator <= 10**12 and abs(value) < 10**50:
        text = f"{abs(value.numerator) * 10**12 // value.denominator:013}"
        digits = f"{text[:-12]}.{text[-12:]}".rstrip("0").rstrip(".")
        if Fraction(digits) == abs(value):
            return f"-{digits}" if value < 0 else digits
    text = str(value)
    return text if len(text) <= 40 and (rest != 1 or len(text) <= 16) else _scientific(value)


def _scientific(value: Fraction) -> str:
    """Return fifteen digits and a power of ten."""
    context = Context(prec=15, Emax=10**6, Emin=-(10**6))
    near = context.divide(Decimal(value.numerator), Decimal(value.denominator))
    return f"{near.normalize(context):e}"


def _of_formula(value: Formula) -> str:
    found = sympy_of(value)
    try:
        import sympy

        if isinstance(found, sympy.Eq) and not found.rhs.free_symbols:
            found = found.rhs  # a + b = 7
        if not math_formula.is_cheap(found):
            return value.latex
        exact = math_formula.constant(found)
        if isinstance(exact, Fraction) and _is_small(found):
            result = found.doit()
            if result.is_Rational:
                exact = Fraction(int(result.p), int(result.q))
                return _of_number(exact / 100 if value.is_percent else exact)
            return str(sympy.nsimplify(result, rational=True) if result.is_Float else result)
        if exact is not None:
            return str(found)
        if isinstance(found, sympy.Expr) and found.count_ops() < 40 and _is_small(found):
            return str(sympy.expand(found.doit()))
        return str(found)
    except Exception:  # sympy raises many types for expressions that it can't write
        return value.latex


def _is_small(value: Any) -> bool:
    """Whether it is cheap to expand; a large power, a factorial or a series may take days."""
    import sympy

    series = sympy.Sum, sympy.Product, sympy.Integral, sympy.Limit, sympy.Derivative
    return not value.has(*series) and math_formula.is_cheap(value, 65)
