"""What an answer can be for scorer=math: numbers, words, groups, named values, formulas."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Number:
    """A number known exactly, as it was written."""

    value: Fraction  # of 50%: 50
    quantum: Fraction | None = None  # worth of the last digit of a decimal; None: exact
    is_scientific: bool = False
    is_percent: bool = False
    unit: str | None = None
    base: int | None = None  # 204_5: the base
    text: str = ""  # 204_5: its digits


@dataclass(frozen=True, slots=True)
class Words:
    """What is compared letter by letter: a word, a choice, a clock time, a date, a range."""

    text: str  # in normal form


@dataclass(frozen=True, slots=True)
class Group:
    """Several values: a list without brackets, or with them; a union; a matrix of rows."""

    kind: str  # list, tuple, set, bracket [..], interval (..] or [..), union, ratio, matrix, row
    items: tuple["Value", ...]
    ends: str = ""  # the interval's brackets


@dataclass(frozen=True, slots=True)
class Named:
    """x = 5, f(x) = 2x: a name and its value, and all of it as an equation."""

    name: str
    value: "Value"
    latex: str


@dataclass(frozen=True, slots=True)
class Either:
    """An exact value and the decimal said to be near it; or a value and its choice's letter."""

    exact: "Value"
    near: "Value"


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression, equation or inequality for math-verify, as LaTeX."""

    latex: str
    is_percent: bool = False
    unit: str | None = None


Value = Number | Words | Group | Named | Either | Formula
