"""The swept keys as axes of charts: which of them vary, their values, and what a point is called.

Reads and writes no file. Must not know about figures.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rollout.report.sweep.columns import swept_column, swept_keys
from rollout.report.sweep.points import Point

UNSET = "–"  # of a key that another command swept
LOG_FROM, LOG_STEP = 8, 1.5  # whole numbers such as 8, 16, 64: the axis is logarithmic


@dataclass(frozen=True, slots=True)
class Axis:
    """A swept key that differs between points; one text and one number for each point."""

    key: str
    label: str  # the last part of the key, if that is unique
    texts: list[str]
    numbers: list[float | None] | None  # None if some value is not a number

    @property
    def is_number(self) -> bool:
        return self.numbers is not None

    @property
    def ticks(self) -> list[str]:
        """Return the different texts: by number, or in the order of launch; unset ones last."""
        order = {text: i for i, text in enumerate(dict.fromkeys(self.texts))}
        if self.numbers:
            numbers = dict(zip(self.texts, self.numbers, strict=True))
            order = {t: numbers[t] if numbers[t] is not None else float("inf") for t in order}
        return sorted(order, key=lambda text: (text == UNSET, order[text]))

    @property
    def is_log(self) -> bool:
        """Whether its numbers are whole and grow by factors, such as 8, 32, 256."""
        known = sorted({number for number in self.numbers or () if number is not None})
        if not known or known[0] <= 0 or not all(map(float.is_integer, known)):
            return False
        steps = [b / a for a, b in itertools.pairwise(known)]
        return known[-1] / known[0] >= LOG_FROM and min(steps) >= LOG_STEP


def axes_of(points: Sequence[Point]) -> list[Axis]:
    """Return the keys that vary: numbers first, of those the ones with most values first.

    Seeds come last: their order says nothing.
    """
    keys = swept_keys(points)
    found = []
    for key, label in zip(keys, labels_of(keys), strict=True):
        texts = [point.values.get(key, UNSET) for point in points]
        if len(set(texts)) > 1:
            found.append(Axis(key, label, texts, _numbers(points, key)))

    def place(axis: Axis) -> tuple[bool, bool, int]:
        return axis.key.endswith("seed"), not axis.is_number, -len(set(axis.texts))

    return sorted(found, key=place)


def _numbers(points: Sequence[Point], key: str) -> list[float | None] | None:
    column = swept_column(points, key)
    if not column.is_number:
        return None
    return [None if value is None else float(value) for value in column.values]


def constants_of(points: Sequence[Point]) -> list[tuple[str, str]]:
    """Return label and value of the swept keys that have one value at all points."""
    keys = swept_keys(points)
    return [
        (label, points[0].values[key])
        for key, label in zip(keys, labels_of(keys), strict=True)
        if {point.values.get(key) for point in points} == {points[0].values.get(key)}
    ]


def labels_of(keys: Iterable[str]) -> list[str]:
    """Return the last part of each key; the whole key where two would be alike."""
    keys = list(keys)
    last = [key.rpartition(".")[2] for key in keys]
    taken = Counter(last)
    return [
        short if taken[short] == 1 and short else key for key, short in zip(keys, last, strict=True)
    ]


def combinations_of(axes: Sequence[Axis], number: int) -> list[tuple[str, ...]]:
    """Return each of `number` points' texts on these axes."""
    return [tuple(axis.texts[i] for axis in axes) for i in range(number)]


def combination_text(axes: Sequence[Axis], texts: Sequence[str]) -> str:
    """Return `top_p=0.9, seed=1`."""
    return ", ".join(f"{axis.label}={text}" for axis, text in zip(axes, texts, strict=True))
