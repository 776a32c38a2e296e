"""A sweep's table on a terminal: lines at the end, and a live table while it runs."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rollout.postprocess.export.score_texts import telling
from rollout.report.sweep.columns import LABELS, MEASURES, score_names, swept_column, swept_keys
from rollout.report.sweep.points import (
    SCORES,
    STATUSES,
    Point,
    objective_of,
    scores_shown,
    shown,
    status_counts,
)
from rollout.report.sweep.ranking import Ranking
from rollout.system.safe_text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

IMPORTANCE = (  # on a narrow terminal the last one goes first
    "output_tokens_per_s", "mean_response_tokens", "truncated_fraction", "generate_s",
    "distinct_fraction", "p95_response_tokens", "load_s", "peak_memory_gib", "wall_s",
)  # fmt: skip
STYLES = {"running": "bold", "failed": "red", "interrupted": "yellow", "waiting": "dim"}
MAX_LINES, MAX_LIVE_LINES = 40, 20  # points on a terminal
MAX_CELL = 32  # characters of a swept value there


def table_lines(points: Sequence[Point], ranking: Ranking, width: int = 100) -> list[str]:
    """Return the table as lines of at most `width` cells; a `*` marks the ranking's star.

    Columns are left out rather than wrapped. Of more than MAX_LINES points the best are listed,
    best first, and the last line counts the others.
    """
    listed = list(points)
    if len(listed) > MAX_LINES:
        place = {id(point): i for i, point in enumerate(ranking.ranked)}
        listed.sort(key=lambda point: place.get(id(point), len(place)))
    listed, rest = listed[:MAX_LINES], listed[MAX_LINES:]
    marks = ["* " if point is ranking.star else "  " for point in listed]
    lines = _lines(_terminal_columns(listed, ranking.objective), marks, width)
    if rest:
        more = f"  and {len(rest):,} more ({status_counts(rest)}), see sweep.csv"
        lines.append(more[:width])
    return lines


def live_table(
    points: Sequence[Point], progress: Mapping[str, tuple[int, int, float | None]]
) -> "RenderableType":
    """Return the table of a running sweep, as wide as the terminal.

    `progress`: a point's name -> finished rows, all rows, output tokens/s so far; None:
    unknown. Of more than MAX_LIVE_LINES points, it lists those that are running, then those that
    failed or were interrupted, the last ones done, and the next ones; the last line counts the
    others.
    """
    by_status = {status: [p for p in points if p.status == status] for status in STATUSES}
    urgent = [p for status in STATUSES[1:4] for p in by_status[status]][:MAX_LIVE_LINES]
    done = by_status["done"][max(0, len(by_status["done"]) - MAX_LIVE_LINES + len(urgent)) :]
    listed = [*urgent, *done, *by_status["waiting"]][:MAX_LIVE_LINES]
    there = {id(point) for point in listed}
    rest = [point for point in points if id(point) not in there]
    more = f"and {len(rest):,} more ({status_counts(rest)})" if rest else ""
    columns = _terminal_columns(listed, "", progress)
    return _LiveTable(columns, [point.status for point in listed], more)


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """A column on a terminal. Columns of the highest rank are left out first."""

    label: str
    cells: list[str]
    rank: int
    is_number: bool = True


@dataclass(frozen=True, slots=True)
class _LiveTable:
    columns: list[_Shown]
    statuses: list[str]
    more: str

    def __rich_console__(self, console: Any, options: Any) -> "Iterator[RenderableType]":
        from rich.text import Text

        lines = _lines(self.columns, [""] * len(self.statuses), options.max_width)
        styles = ["bold", *(STYLES.get(status, "") for status in self.statuses), "dim"]
        for line, style in zip([*lines, *filter(None, [self.more])], styles, strict=False):
            yield Text(line, style, no_wrap=True, overflow="ellipsis")


def _terminal_columns(
    points: Sequence[Point],
    objective: str,
    progress: Mapping[str, tuple[int, int, float | None]] | None = None,
) -> list[_Shown]:
    keys = swept_keys(points)
    columns = [
        _Shown(
            label,
            [_cell(p.values.get(key, "")) for p in points],
            i,
            swept_column(points, key).is_number,
        )
        for i, (key, label) in enumerate(zip(keys, _short(keys), strict=True))
    ]
    if not all(point.values for point in points):
        columns.insert(0, _Shown("point", [_cell(p.name) for p in points], 0, False))
    columns.append(_Shown("status", [_cell(p.status) for p in points], 1000, False))
    figures = {name: [objective_of(p.figures, name) for p in points] for name in MEASURES}
    if progress is not None:
        now = [progress.get(p.name) if p.status == "running" else None for p in points]
        num_rows = [shown("num_rows", objective_of(p.figures, "num_rows")) for p in points]
        rows = [f"{n[0]:,}/{n[1]:,}" if n else r for n, r in zip(now, num_rows, strict=True)]
        columns.append(_Shown("rows", rows, 1001))
        rates = figures["output_tokens_per_s"]
        rates[:] = [n[2] if n else rate for n, rate in zip(now, rates, strict=True)]
    elif objective not in MEASURES:
        values = [shown(objective, objective_of(p.figures, objective)) for p in points]
        if objective.startswith(f"{SCORES}."):
            values = scores_shown(points, objective.removeprefix(f"{SCORES}."))
        columns.append(_Shown(_cell(objective.rpartition(".")[2]), values, 1001))
    for i, name in enumerate(_telling(points)):
        if objective != f"{SCORES}.{name}":
            columns.append(_Shown(_cell(name), scores_shown(points, name, i == 0), 1002))
    for name in (name for name in LABELS if name in MEASURES):
        rank = 1001 if name == objective else 1002 + IMPORTANCE.index(name)
        columns.append(_Shown(LABELS[name], [shown(name, v) for v in figures[name]], rank))
    return columns


def _telling(points: Sequence[Point]) -> list[str]:
    """Return the names of the scores that repeat no other at some point."""
    names = score_names(points)
    told = set()
    for point in points:
        values = {name: objective_of(point.figures, f"{SCORES}.{name}") for name in names}
        told.update(telling({name: v for name, v in values.items() if v is not None}))
    return [name for name in names if name in told]


def _short(keys: list[str]) -> list[str]:
    """Return the last part of each key; the whole key if another column has that label."""
    last = [key.rpartition(".")[2] for key in keys]
    taken = Counter([*last, "point", "status", "rows", *LABELS.values()])
    return [_cell(s if taken[s] == 1 else key) for key, s in zip(keys, last, strict=True)]


def _cell(text: str) -> str:
    """Return text without control characters, cut in the middle: values often differ at the end."""
    text = printable(text)
    if len(text) > 8 and re.fullmatch(r"-?\d+\.\d+", text):
        return f"{float(text):.5g}"
    return text if len(text) <= MAX_CELL else f"{text[:10]}…{text[11 - MAX_CELL :]}"


def _lines(columns: list[_Shown], marks: list[str], width: int) -> list[str]:
    """Return a header and a line for each mark, with as many columns as fit."""
    from rich.cells import cell_len, set_cell_size

    if not marks:
        return []
    sized = [
        (max(map(cell_len, [column.label, *column.cells])), column)
        for column in columns
        if any(column.cells)
    ]
    margin = len(marks[0])
    while len(sized) > 1 and margin + sum(size + 2 for size, _ in sized) - 2 > width:
        sized.remove(max(sized, key=lambda pair: pair[1].rank))

    def line(mark: str, texts: Iterable[str]) -> str:
        padded = [
            " " * (size - cell_len(text)) + text if column.is_number else set_cell_size(text, size)
            for text, (size, column) in zip(texts, sized, strict=True)
        ]
        text = (mark + "  ".join(padded)).rstrip()
        return text if cell_len(text) <= width else set_cell_size(text, width).rstrip()

    header = line(" " * margin, (column.label for _, column in sized))
    return [header, *(line(m, (c.cells[i] for _, c in sized)) for i, m in enumerate(marks))]
