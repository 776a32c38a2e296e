"""The table of a sweep's page: swept keys and the objective first, and no column that says nothing.

The columns that a page may have no room for are last: they can be scrolled to.

Guarantees: no figure is in two columns; values that all points share are said once, above.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rollout.report.page import Table, TableColumn, TableRow
from rollout.report.sweep.axes import UNSET, Axis, axes_of, constants_of
from rollout.report.sweep.columns import LABELS, score_names
from rollout.report.sweep.confidence import intervals_text, levels_of
from rollout.report.sweep.points import (
    SCORES,
    Point,
    interval_of,
    objective_of,
    scores_shown,
    shown,
)
from rollout.report.sweep.ranking import Ranking, value_shown
from rollout.report.sweep.status import status_text
from rollout.system.safe_text import printable

QUALITY = ("truncated_fraction", "distinct_fraction", "mean_response_tokens")
COSTS = ("output_tokens_per_s", "generate_s", "wall_s", "peak_memory_gib")
LAST = ("p95_response_tokens", "load_s")
COUNTS = ("num_rows", "num_samples", "num_failed", "num_sharing", "engine")
HELP = {
    "truncated_fraction": "share of responses that max_tokens or the context length cut off",
    "distinct_fraction": "share of responses that differ from the others of their prompt",
    "mean_response_tokens": "mean length of a response, in tokens",
    "p95_response_tokens": "95 % of the responses have at most this many tokens",
    "output_tokens_per_s": "output tokens per second of generation; side by side, its share of it",
    "peak_memory_gib": "peak memory of the GPU, on a CPU of the process",
    "generate_s": "seconds of generation", "load_s": "seconds to load the engine that it used",
    "wall_s": "seconds of its last launch", "num_failed": "rows without an answer",
    "num_sharing": "points side by side on its engine", "engine": "which load of an engine",
}  # fmt: skip
STYLES = {
    "failed": "failed", "waiting": "waiting", "running": "waiting", "interrupted": "waiting",
}  # fmt: skip
SAME = 1e-9
REPEATERS = ("mean", "best@n")  # equal pass@1 and pass@n where scores are 0 or 1


@dataclass(frozen=True, slots=True)
class Shown:
    """A column that may be on the page: its texts, and the numbers to sort by."""

    label: str
    texts: list[str]
    numbers: list[float | None] | None = None
    help: str = ""

    def sort_key(self, i: int) -> float | str | None:
        if self.numbers is None:
            return self.texts[i] or None
        number = self.numbers[i]
        return number if number is not None and math.isfinite(number) else None


def page_table(points: Sequence[Point], ranking: Ranking) -> tuple[Table, str]:
    """Return the table, and a sentence with the values that all points share."""
    keys = [_of_axis(axis) for axis in axes_of(points)]
    if not _tell_apart(keys, len(points)):
        keys.insert(0, Shown("point", [point.name for point in points]))
    figures, repeats = _figures(points, ranking.objective)
    counts = [_of_figure(points, name) for name in COUNTS]
    constant = [c for c in [*figures, *counts] if len(points) > 1 and _is_constant(c, points)]
    constant = [column for column in constant if column.label != "objective"]
    objective = _objective(points, ranking.objective)
    columns = [*keys, objective, *(c for c in [*figures, *counts] if c not in constant)]
    if any(point.status != "done" for point in points):
        statuses = [status_text(point.status) for point in points]
        columns.insert(len(keys), Shown("status", statuses))
    columns = [c for c in columns if any(c.texts)]
    rows = [_row(point, i, columns, point is ranking.star) for i, point in enumerate(points)]
    note = " ".join([*repeats, _star_note(ranking)]).strip()
    headers = [TableColumn(printable(c.label), c.numbers is not None, c.help) for c in columns]
    return Table(headers, rows, note), _shared_text(points, constant)


def _row(point: Point, i: int, columns: Sequence[Shown], is_best: bool) -> TableRow:
    cells = [printable(column.texts[i]) for column in columns]
    keys = [column.sort_key(i) for column in columns]
    if is_best:
        cells[0] += " ★"
    style = "best" if is_best else STYLES.get(point.status, "")
    return TableRow(cells, keys, style, point.error or "")


def _of_axis(axis: Axis) -> Shown:
    return Shown(axis.label, axis.texts, axis.numbers, axis.key)


def _tell_apart(keys: Sequence[Shown], number: int) -> bool:
    """Whether the swept values tell every point from the others."""
    values = [tuple(column.texts[i] for column in keys) for i in range(number)]
    return (
        bool(keys) and len(set(values)) == number and all(set(value) != {UNSET} for value in values)
    )


def _of_figure(points: Sequence[Point], name: str) -> Shown:
    if name == "engine":
        values = [None if p.engine is None else float(p.engine) for p in points]
    else:
        values = [objective_of(point.figures, name) for point in points]
    return Shown(LABELS.get(name, name), [shown(name, v) for v in values], values,
                 HELP.get(name, ""))  # fmt: skip


def _of_score(points: Sequence[Point], name: str) -> Shown:
    values = [objective_of(point.figures, f"{SCORES}.{name}") for point in points]
    have = [point for point in points if interval_of(point, name)]
    about = f"with {intervals_text(levels_of(have))}" if have else ""
    return Shown(name, scores_shown(points, name), values, about)


def _objective(points: Sequence[Point], objective: str) -> Shown:
    name = objective.removeprefix(f"{SCORES}.")
    if objective != name:
        return _of_score(points, name)
    if objective in HELP:
        return _of_figure(points, objective)
    texts = [value_shown(point, objective) for point in points]
    return Shown(objective, texts, [objective_of(p.figures, objective) for p in points])


def _figures(points: Sequence[Point], objective: str) -> tuple[list[Shown], list[str]]:
    """Return scores, quality and costs without the objective, and which scores repeat others.

    All pass@k stand side by side, before the other scores.
    """
    names = [name for name in score_names(points) if f"{SCORES}.{name}" != objective]
    names.sort(key=lambda name: not name.startswith("pass@"))
    kept = [objective.removeprefix(f"{SCORES}.")] if objective.startswith(f"{SCORES}.") else []
    scores, repeats = [], []
    for name in names:
        twin = next((k for k in kept if name in REPEATERS and _are_equal(points, k, name)), None)
        if twin:
            repeats.append(f"{printable(name)} is {printable(twin)} here.")
            continue
        kept.append(name)
        scores.append(_of_score(points, name))
    first, last = (
        [_of_figure(points, name) for name in names if name != objective]
        for names in ((*QUALITY, *COSTS), LAST)
    )
    return [*scores, *first, *last], repeats


def _are_equal(points: Sequence[Point], one: str, other: str) -> bool:
    pairs = [[objective_of(p.figures, f"{SCORES}.{name}") for name in (one, other)] for p in points]
    return all(a is b or (a is not None and b is not None and abs(a - b) <= SAME) for a, b in pairs)


def _is_constant(column: Shown, points: Sequence[Point]) -> bool:
    """Whether the points that have a result show the same text."""
    texts = {column.texts[i] for i, point in enumerate(points) if point.figures}
    return len(texts) <= 1


def _shared_text(points: Sequence[Point], constant: Sequence[Shown]) -> str:
    """Return `All points: 200 rows, 8 samples each, none failed; truncated 0.0%.`"""
    parts = [f"{label}={value}" for label, value in constants_of(points) if len(points) > 1]
    value_of = {c.label: next(filter(None, c.texts), "") for c in constant}
    rows, samples = value_of.pop("rows", ""), value_of.pop("samples", "")
    failed = value_of.pop("failed", "")
    if rows:
        parts.append(f"{rows} row" if rows == "1" else f"{rows} rows")
    if samples:
        parts.append(_samples_text(points, rows, samples))
    if failed:
        noun = "row" if failed == "1" else "rows"
        parts.append("no row failed" if failed == "0" else f"{failed} {noun} failed")
    side_by_side = value_of.pop("side by side", "")
    if side_by_side not in ("", "0", "1"):
        parts.append(f"{side_by_side} side by side on an engine")
    if value_of.pop("engine load", ""):
        parts.append("one engine load")
    parts += [f"{label} {text}" for label, text in value_of.items() if text]
    whose = "All points" if all(point.figures for point in points) else "All points with a result"
    return printable(f"{whose}: {', '.join(parts)}.") if parts else ""


def _samples_text(points: Sequence[Point], rows: str, samples: str) -> str:
    """Return `8 samples each` where every row has as many, else the total."""
    found = next(point.figures for point in points if point.figures)
    num_rows, num_samples = (objective_of(found, name) or 0 for name in ("num_rows", "num_samples"))
    if rows and num_rows and num_samples % num_rows == 0 and not found.get("num_failed"):
        return f"{num_samples / num_rows:,.0f} samples each"
    return f"{samples} samples"


def _star_note(ranking: Ranking) -> str:
    if ranking.star is None:
        return ""
    so_far = "" if ranking.is_finished else " so far"
    if ranking.is_best:
        return f"★ the best point{so_far}."
    return f"★ the {ranking.which} value{so_far}."
