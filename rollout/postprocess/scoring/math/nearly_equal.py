"""Compare two numbers for scorer=math: exactly, rounded, as percentages and with units.

Integers and fractions are compared exactly. A decimal equals another number if it is that number
rounded to at least six decimals (six significant digits below 1 or with a power of ten).
If both have a known unit, the units must agree.
"""

from fractions import Fraction

from rollout.postprocess.scoring.math.formula import TOLERANCE
from rollout.postprocess.scoring.math.units import measure
from rollout.postprocess.scoring.math.values import Number


def same_quantity(gold: Number, given: Number) -> bool:
    """Whether two numbers are equal, with their units, percent signs and bases."""
    if gold.base or given.base:
        if gold.base and given.base is None:
            return given.value == int(gold.text) and given.quantum is None
        return gold.base is not None and gold.value == given.value
    if gold.is_percent or given.is_percent:
        return _same_percent(gold, given)
    a, b = (measure(n.unit) if n.unit else None for n in (gold, given))
    if a and b:
        return a[0] == b[0] and nearly_equal(scaled(gold, a[1]), scaled(given, b[1]))
    return nearly_equal(gold, given)


def _same_percent(gold: Number, given: Number) -> bool:
    """Whether two numbers are equal: 50% is 0.5, and 50 without the sign, but 0.5% is not 0.5."""
    hundredth = Fraction(1, 100)
    if gold.is_percent and given.is_percent:
        return nearly_equal(gold, given)
    one, other = (gold, given) if gold.is_percent else (given, gold)
    if nearly_equal(scaled(one, hundredth), other):
        return True
    return nearly_equal(one, other) and (gold.is_percent or abs(gold.value) > 1)


def scaled(number: Number, factor: Fraction) -> Number:
    """Return the number times a factor, without its unit and percent sign."""
    quantum = None if number.quantum is None else number.quantum * abs(factor)
    return Number(number.value * factor, quantum, number.is_scientific)


def nearly_equal(a: Number, b: Number) -> bool:
    """Whether two numbers are equal, or one is the other rounded."""
    if a.value == b.value:
        return True
    decimals = [n for n in (a, b) if n.quantum is not None]
    difference, size = abs(a.value - b.value), max(abs(a.value), abs(b.value))
    if not decimals:
        return False
    if difference <= TOLERANCE * size:
        return True
    rounded = max(decimals, key=lambda n: n.quantum or 0)
    quantum = rounded.quantum or Fraction(1)
    is_fine = quantum <= Fraction(1, 10**6) or size < 1 or rounded.is_scientific
    has_digits = abs(rounded.value) >= quantum * 10**5  # six significant digits
    other = b if rounded is a else a
    is_finer = other.quantum is None or other.quantum < quantum
    return is_fine and has_digits and is_finer and difference <= quantum / 2
