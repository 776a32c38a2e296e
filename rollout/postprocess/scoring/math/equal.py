"""Whether two of sympy's objects are the same mathematics, for scorer=math.

Constants are compared exactly (math_exact), or by a relative tolerance where decimals stand in
them. Expressions with letters are tried at a few points; where that does not tell, math-verify
decides.
"""

import random
from fractions import Fraction
from typing import Any

from rollout.postprocess.scoring.math.exact import same_exactly
from rollout.postprocess.scoring.math.formula import TOLERANCE, constant, is_tame, tools


def same_constant(a: Any, b: Any) -> bool:
    """Whether two evaluated constants agree, relative to their size."""
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return abs(a - b) <= TOLERANCE * max(abs(a), abs(b))
    if not (isinstance(a, complex) or isinstance(b, complex)):
        import sympy

        a, b = (sympy.Rational(x) if isinstance(x, Fraction) else x for x in (a, b))
        return bool(abs(a - b) <= sympy.Rational(TOLERANCE) * max(abs(a), abs(b)))
    return abs(complex(a) - complex(b)) <= 1e-12 * max(abs(complex(a)), abs(complex(b)))


def same(gold: Any, given: Any) -> bool:
    """Whether two of sympy's objects are the same mathematics."""
    import sympy
    from sympy.core.relational import Relational

    if gold == given:
        return True
    if not (is_tame(gold) and is_tame(given)):
        return False
    if isinstance(gold, sympy.Expr) and isinstance(given, sympy.Expr):
        a, b = constant(gold), constant(given)
        if a is not None and b is not None:
            return same_constant(a, b) and same_exactly(gold, given) is not False
        given = _with_constant(gold, given)
        if not (gold.free_symbols | given.free_symbols):
            return False  # infinite, or no value to be had
        tried = _at_points(gold, given)
        if tried is not None:
            return tried and same_exactly(gold, given) is not False
        if not (is_tame(gold, 65) and is_tame(given, 65)):
            return False  # to prove it would take days
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
    """What is given, with its constant of integration named as the right answer's: + c for + C."""
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
    """True or False where the values at a few points tell; None where they can't be had."""
    symbols = sorted(gold.free_symbols | given.free_symbols, key=lambda s: s.name)
    if not symbols:
        return None
    agreeing = 0
    for point in _points(symbols):
        a, b = _evaluated(gold, point), _evaluated(given, point)
        if a is None or b is None:
            if (a is None) != (b is None) and agreeing == 0:
                continue
            continue
        if abs(a - b) > 1e-9 * max(abs(a), abs(b), 1e-300):
            return False
        agreeing += 1
    return True if agreeing >= 4 else None


def _same_inequality(gold: Any, given: Any) -> bool | None:
    """Whether inequalities in one letter hold for the same numbers; None where sympy can't tell."""
    if len(gold.free_symbols) != 1 or gold.free_symbols != given.free_symbols:
        return None
    try:
        return bool(gold.as_set() == given.as_set())
    except Exception:
        return None


def _same_equation(gold: Any, given: Any) -> bool | None:
    """Whether one equation is a multiple of the other; None where that does not tell."""
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
