"""The kinds of answers of scorer=math: numbers, words, groups, named values, formulas."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Number:
    """A number with its exact value and its notation."""

    value: Fraction  # 50 for 50%
    quantum: Fraction | None = None  # place value of the last digit of a decimal; None: exact
    is_scientific: bool = False
    is_percent: bool = False
    unit: str | None = None
    base: int | None = None  # 5 for 204_5
    text: str = ""  # 204 for 204_5


@dataclass(frozen=True, slots=True)
class Words:
    """An answer compared as text: a word, a choice, a clock time, a date, a range."""

    text: str  # normalized


@dataclass(frozen=True, slots=True)
class Group:
    """Several values: a list with or without brackets, a union, a matrix of rows."""

    kind: str  # list, tuple, set, bracket [..], interval (..] or [..), union, ratio, matrix, row
    items: tuple["Value", ...]
    ends: str = ""  # an interval's brackets


@dataclass(frozen=True, slots=True)
class Named:
    """A name and its value (x = 5, f(x) = 2x), and both as an equation."""

    name: str
    value: "Value"
    latex: str


@dataclass(frozen=True, slots=True)
class Either:
    """An exact value and its decimal approximation; or a value and the letter of its choice."""

    exact: "Value"
    near: "Value"


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression, equation or inequality for math-verify, as LaTeX."""

    latex: str
    is_percent: bool = False
    unit: str | None = None


Value = Number | Words | Group | Named | Either | Formula
