"""Compare expressions and constants exactly, for scorer=math, if that is cheap.

Expressions of integers and variables with + - * / ^ ! and binomials are evaluated modulo large
numbers, so 2^100 - 1 differs from 2^100 at any length. Other constants are compared to a hundred
decimals. Decimals are not exact, so equal.py compares them with a tolerance.
"""

import math
from typing import Any

_MODULI = (10**18 + 9, 10**24 + 7, 10**30 + 57)
MAX_DIGITS = 10_000  # of a number evaluated in full
MAX_TERMS = 1000  # of a sum
MAX_FACTORIAL = 20_000


def same_exactly(gold: Any, given: Any) -> bool | None:
    """Whether two sympy expressions are equal; None if that can't be decided exactly."""
    import sympy

    try:
        if gold.has(sympy.Float, sympy.zoo, sympy.nan) or given.has(sympy.Float):
            return None
        is_same = _same_modulo(gold, given)
        if is_same is not None or gold.free_symbols or given.free_symbols:
            return is_same
        return _same_digits(gold, given)
    except Exception:  # sympy raises many types for expressions that it can't evaluate
        return None


def _same_modulo(gold: Any, given: Any) -> bool | None:
    letters = sorted(gold.free_symbols | given.free_symbols, key=lambda s: s.name)
    for modulus in _MODULI:
        point = {s: pow(7, 101 + 13 * i, modulus) for i, s in enumerate(letters)}
        a, b = (_modulo(value, modulus, point) for value in (gold, given))
        if a is None or b is None:
            return None
        if a != b:
            return False
    return True


def _modulo(value: Any, modulus: int, point: dict[Any, int]) -> int | None:
    """Return an expression modulo a large number; None if it is not a fraction of integers."""
    import sympy

    if value.is_Rational:
        return int(value.p) * pow(int(value.q), -1, modulus) % modulus
    if value.is_Symbol:
        return point.get(value)
    if isinstance(value, sympy.Add | sympy.Mul):
        total = 0 if value.is_Add else 1
        for arg in value.args:
            part = _modulo(arg, modulus, point)
            if part is None:
                return None
            total = (total + part if value.is_Add else total * part) % modulus
        return total
    if isinstance(value, sympy.Pow):
        power, base = _whole(value.exp), _modulo(value.base, modulus, point)
        return None if power is None or base is None else pow(base, power, modulus)
    if isinstance(value, sympy.factorial | sympy.binomial):
        numbers = [_whole(arg) for arg in value.args]
        if any(n is None or not 0 <= n <= MAX_FACTORIAL for n in numbers):
            return None
        function = math.factorial if len(numbers) == 1 else math.comb
        return function(*numbers) % modulus  # type: ignore[operator,arg-type]
    if isinstance(value, sympy.Sum) and len(value.limits) == 1:
        letter, *ends = value.limits[0]
        low, high = (_whole(end) for end in ends)
        if low is None or high is None or high - low > MAX_TERMS or _is_long(value, letter):
            return None
        terms = [
            _modulo(value.function.subs(letter, i), modulus, point) for i in range(low, high + 1)
        ]
        return None if None in terms else sum(terms) % modulus  # type: ignore[arg-type]
    return None


def _is_long(value: Any, letter: Any) -> bool:
    """Whether a long sum has its index in a factorial or a binomial."""
    import sympy

    is_short = abs(_whole(value.limits[0][2]) or 0) <= 200
    return not is_short and any(
        f.has(letter) for f in value.function.atoms(sympy.factorial, sympy.binomial)
    )


def _whole(value: Any) -> int | None:
    """Return the value of an expression that is an integer below 10**40, else None."""
    import sympy

    if value.is_Integer:
        return int(value)
    if value.free_symbols or not value.is_integer or not abs(sympy.N(value, 15)) < 10**40:
        return None
    return int(sympy.N(value, 60).round())


def _same_digits(gold: Any, given: Any) -> bool | None:
    """Whether two constants agree to a hundred decimals; None if that can't be computed."""
    import sympy

    if any(v.has(sympy.Sum, sympy.Product, sympy.Integral, sympy.Limit) for v in (gold, given)):
        return None
    sizes = [abs(sympy.N(value, 15)) for value in (gold, given)]
    if not all(size.is_Float or size.is_Integer for size in sizes):
        return None
    digits = max(0, *(int(sympy.ceiling(sympy.log(size + 1, 10))) for size in sizes)) + 100
    if digits > MAX_DIGITS:  # leading digits alone do not make an answer right
        return False if gold.is_integer and given.is_integer else None
    a, b = (sympy.N(value, digits, maxn=2 * digits) for value in (gold, given))
    return bool(abs(sympy.N(a - b, digits)) < sympy.Float(10, 30) ** -90)
