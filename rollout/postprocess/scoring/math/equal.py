"""Compare two sympy objects mathematically, for scorer=math.

Constants are compared exactly (see exact.py), or with a relative tolerance if they contain
decimals. Expressions with variables are evaluated at a few points; if that is inconclusive,
math-verify decides.
"""

import random
from fractions import Fraction
from typing import Any

from rollout.postprocess.scoring.math.exact import same_exactly
from rollout.postprocess.scoring.math.formula import TOLERANCE, constant, is_cheap, tools


def _same_constant(a: Any, b: Any) -> bool:
    """Whether two evaluated constants agree within a relative tolerance."""
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return abs(a - b) <= TOLERANCE * max(abs(a), abs(b))
    if not (isinstance(a, complex) or isinstance(b, complex)):
        import sympy

        a, b = (sympy.Rational(x) if isinstance(x, Fraction) else x for x in (a, b))
        return bool(abs(a - b) <= sympy.Rational(TOLERANCE) * max(abs(a), abs(b)))
    return abs(complex(a) - complex(b)) <= 1e-12 * max(abs(complex(a)), abs(complex(b)))


def same(gold: Any, given: Any) -> bool:
    """Whether two sympy objects are mathematically equal."""
    import sympy
    from sympy.core.relational import Relational

    if gold == given:
        return True
    if not (is_cheap(gold) and is_cheap(given)):
        return False
    if isinstance(gold, sympy.Expr) and isinstance(given, sympy.Expr):
        a, b = constant(gold), constant(given)
        if a is not None and b is not None:
            return _same_constant(a, b) and same_exactly(gold, given) is not False
        given = _with_constant(gold, given)
        if not (gold.free_symbols | given.free_symbols):
            return False  # infinite, or without a value
        tried = _at_points(gold, given)
        if tried is not None:
            return tried and same_exactly(gold, given) is not False
        if not (is_cheap(gold, 65) and is_cheap(given, 65)):
            return False  # a proof would take days
    if isinstance(gold, sympy.Eq) and isinstance(given, sympy.Eq):
        tried = _same_equation(gold, given)
        if tried is not None:
            return tried
    if isinstance(gold, Relational | sympy.And) and isinstance(given, Relational | sympy.And):
        tried = _same_inequality(gold, given)
        if tried is not None:
            return tried
    _, verify = tools()
    return bool(verify(gold, given, allow_set_relation_comp=True, timeout_seconds=None))


def _with_constant(gold: Any, given: Any) -> Any:
    """Return `given` with its constant of integration renamed to that of `gold`: + c to + C."""
    import sympy

    for names in ("Cc", "cC"):
        ours, theirs = (sympy.Symbol(name, real=True) for name in names)
        if given.free_symbols - gold.free_symbols == {theirs} and ours not in given.free_symbols:
            if sympy.Add.make_args(gold).count(ours) == 1 and not (gold - ours).has(ours):
                if theirs in sympy.Add.make_args(given) and not (given - theirs).has(theirs):
                    return given.xreplace({theirs: ours})
    return given


def _points(symbols: list[Any]) -> list[dict[Any, Any]]:
    import sympy

    draw = random.Random(0)
    sizes = [(1, 4), (1, 4), (-4, -1), (0, 1), (4, 9), (-9, -4)]
    return [{s: sympy.Float(draw.uniform(low, high), 25) for s in symbols} for low, high in sizes]


def _evaluated(value: Any, point: dict[Any, Any]) -> Any:
    try:
        near = value.subs(point).evalf(20)
        return near if near.is_Float and abs(near) > 1e150 else complex(near)
    except Exception:
        return None


def _at_points(gold: Any, given: Any) -> bool | None:
    """Whether two expressions agree at a few points; None if too few can be evaluated."""
    symbols = sorted(gold.free_symbols | given.free_symbols, key=lambda s: s.name)
    agreeing = 0
    for point in _points(symbols):
        a, b = _evaluated(gold, point), _evaluated(given, point)
        if a is None or b is None:
            continue
        if abs(a - b) > 1e-9 * max(abs(a), abs(b), 1e-300):
            return False
        agreeing += 1
    return True if agreeing >= 4 else None


def _same_inequality(gold: Any, given: Any) -> bool | None:
    """Whether inequalities in one variable have the same solutions; None if sympy can't decide."""
    if len(gold.free_symbols) != 1 or gold.free_symbols != given.free_symbols:
        return None
    try:
        return bool(gold.as_set() == given.as_set())
    except Exception:
        return None


def _same_equation(gold: Any, given: Any) -> bool | None:
    """Whether two equations are multiples or have the same real solutions; None if undecided."""
    import sympy

    a, b = gold.lhs - gold.rhs, given.lhs - given.rhs
    if gold.free_symbols != given.free_symbols:
        return False
    ratios = []
    for point in _points(sorted(gold.free_symbols, key=lambda s: s.name)):
        x, y = _evaluated(a, point), _evaluated(b, point)
        if x is not None and y:
            ratios.append(x / y)
    if len(ratios) >= 4 and ratios[0] and all(abs(r / ratios[0] - 1) < 1e-9 for r in ratios):
        return True
    if len(gold.free_symbols) == 1:
        try:
            symbol = next(iter(gold.free_symbols))
            sets = [sympy.solveset(side, symbol, sympy.S.Reals) for side in (a, b)]
            return bool(sets[0] == sets[1] and sets[0].is_empty is False)
        except Exception:
            return None
    return None if len(gold.free_symbols) == 2 else False
