"""A figure against the swept keys: curves with intervals, and heat maps of two keys.

Guarantees: every number drawn is one point's; nothing is averaged over points. Reads and writes no
file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rollout.postprocess.export.score_texts import between
from rollout.report.charts import Chart, Format, HeatMap, Kind, Series
from rollout.report.page import Note
from rollout.report.sweep.axes import UNSET, Axis, combination_text, combinations_of
from rollout.report.sweep.measures import Measure, ends_of
from rollout.report.sweep.points import Point, is_share, shown
from rollout.system.safe_text import printable

MAX_SERIES, MAX_MAPS = 8, 6


@dataclass(frozen=True, slots=True)
class Field:
    """The points of a sweep, the keys that vary, and the order in which points matter."""

    points: Sequence[Point]
    axes: Sequence[Axis]
    place: dict[int, int]  # of a ranked point's position in `points`: 0 is the best

    def foremost(self, groups: dict[tuple, list[int]], most: int) -> list[tuple]:
        """Return the `most` groups with the best points, in the order of `groups`."""
        last = len(self.points)
        rank = {g: min(self.place.get(i, last) for i in where) for g, where in groups.items()}
        kept = set(sorted(groups, key=lambda group: rank[group])[:most])
        return [group for group in groups if group in kept]


def curve(field: Field, measure: Measure, name: str) -> Chart | None:
    """Return the figure against one key, a series for each combination of the others.

    The key is the number with the most values, else the text with the most. None with fewer than
    two points to draw. At most MAX_SERIES series: those with the best points.
    """
    if not field.axes:
        return None
    axis, *others = field.axes
    is_line = axis.is_number
    x_of = axis.numbers if is_line else [axis.ticks.index(text) for text in axis.texts]
    drawn = [i for i, value in enumerate(measure.values) if value is not None]
    there = [i for i in drawn if x_of[i] is not None]
    if len({x_of[i] for i in there}) < 2:
        return None
    texts = combinations_of(others, len(field.points))
    groups: dict[tuple, list[int]] = {}
    for i in sorted(there, key=lambda i: [o.ticks.index(o.texts[i]) for o in others]):
        number = 1  # a second point with the same values, of another directory, has its own series
        while any(x_of[j] == x_of[i] for j in groups.get((*texts[i], number), ())):
            number += 1
        groups.setdefault((*texts[i], number), []).append(i)
    kept = field.foremost(groups, MAX_SERIES)
    xs = sorted({x_of[i] for group in kept for i in groups[group]})
    if not is_line:
        xs = list(range(len(axis.ticks)))
    series = [_series(field, measure, others, group, groups[group], x_of, xs) for group in kept]
    return Chart(
        name,
        f"{measure.title} by {printable(axis.label)}",
        printable(axis.label),
        measure.label,
        xs,
        series,
        ticks=None if is_line else [printable(tick) for tick in axis.ticks],
        x_format=Format.log if axis.is_log else Format.number,
        y_format=measure.format,
        note=_note(measure, len(groups) - len(kept), len(drawn) - len(there), axis),
    )


def _series(
    field: Field,
    measure: Measure,
    others: Sequence[Axis],
    group: tuple,
    where: list[int],
    x_of: Sequence[float | None],
    xs: Sequence[float],
) -> Series:
    *texts, number = group
    name = combination_text(others, texts) or measure.label
    at = {x_of[i]: i for i in where}
    low, high = ends_of([measure.spans[at[x]] if x in at else None for x in xs])
    return Series(
        printable(name if number == 1 else f"{name} ({number})"),
        [measure.values[at[x]] if x in at else None for x in xs],
        Kind.line if field.axes[0].is_number else Kind.points,
        low,
        high,
        [printable(field.points[at[x]].name) if x in at else "" for x in xs],
    )


def _note(measure: Measure, num_left_out: int, num_unset: int, axis: Axis) -> str:
    notes = [measure.note] if measure.note else []
    if num_left_out:
        notes.append(
            f"The {MAX_SERIES} combinations with the best points; {num_left_out:,} more are in the "
            "table."
        )
    if num_unset:
        notes.append(f"{num_unset:,} points have no {printable(axis.label)}, so they are not here.")
    return " ".join(notes)


def heat_maps(field: Field, measure: Measure, name: str) -> list[HeatMap | Note]:
    """Return the figure for each pair of values of two keys: a map per value of the other keys.

    Empty with fewer than two keys. At most MAX_MAPS maps: those with the best points; a note counts
    the others.
    """
    if len(field.axes) < 2:
        return []
    x_axis, y_axis, *others = field.axes
    texts = combinations_of(others, len(field.points))
    groups: dict[tuple, list[int]] = {}
    for i in sorted(range(len(texts)), key=lambda i: [o.ticks.index(o.texts[i]) for o in others]):
        if measure.values[i] is not None:
            groups.setdefault(texts[i], []).append(i)
    kept = field.foremost(groups, MAX_MAPS)
    found: list[HeatMap | Note] = []
    for number, group in enumerate(kept, 1):
        where = combination_text(others, group)
        title = f"{measure.title} by {x_axis.label} and {y_axis.label}"
        title += f" at {where}" if where else ""
        pairs = [(x_axis.texts[i], y_axis.texts[i]) for i in groups[group]]
        if len(set(pairs)) < len(pairs):
            found.append(Note(printable(f"{title}: several points have the same pair of values, "
                                        "so there is no map; see the table.")))  # fmt: skip
            continue
        file_name = name if len(kept) == 1 else f"{name}-{number}"
        found.append(_heat_map(measure, x_axis, y_axis, groups[group], file_name, title))
    if left := len(groups) - len(kept):
        found.append(Note(f"{left:,} more combinations of the other keys are in the table only."))
    return found


def _heat_map(
    measure: Measure, x_axis: Axis, y_axis: Axis, where: list[int], name: str, title: str
) -> HeatMap:
    x_ticks = [t for t in x_axis.ticks if any(x_axis.texts[i] == t for i in where)]
    y_ticks = [t for t in y_axis.ticks if any(y_axis.texts[i] == t for i in where)]
    at = {(y_axis.texts[i], x_axis.texts[i]): i for i in where}
    cells = [[at.get((y, x)) for x in x_ticks] for y in y_ticks]
    has_unset = UNSET in (*x_ticks, *y_ticks)
    return HeatMap(
        name,
        printable(title),
        printable(x_axis.label),
        printable(y_axis.label),
        [printable(tick) for tick in x_ticks],
        [printable(tick) for tick in y_ticks],
        [[None if i is None else measure.values[i] for i in row] for row in cells],
        [["" if i is None else _cell_text(measure, i) for i in row] for row in cells],
        measure.format,
        f"{UNSET}: the key was not swept there." if has_unset else "",
    )


def _cell_text(measure: Measure, i: int) -> str:
    text, span = shown(measure.name, measure.values[i]), measure.spans[i]
    if span is None:
        return text
    is_percent = measure.format is Format.percent or is_share(measure.name)
    return f"{text} ({between(*span, is_percent)})"
