"""A sweep's table as files: parquet, CSV and a page.

Guarantees: each file is complete, either the old or the new one; responses that can't be read are
null and raise nothing.
"""

import csv
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rollout.report.sweep.columns import (
    COUNTS,
    ENDS,
    LABELS,
    MEASURES,
    Column,
    columns_of,
    score_names,
    swept_keys,
)
from rollout.report.sweep.page import MAX_POINTS, Answer, Row, first_answers, page, utf8
from rollout.report.sweep.points import SCORES, Point, score_shown, shown, status_counts
from rollout.report.sweep.ranking import Ranking
from rollout.store.ledger import Ledger
from rollout.store.places import Writer, table_place
from rollout.system.disk import path_of
from rollout.system.safe_text import printable_text

HELD_BYTES = 32 << 20  # of responses, before they are written
FORMULA = ("=", "+", "-", "@")  # how one begins in a spreadsheet


def write_tables(sweep_dir: Path, points: Sequence[Point], ranking: Ranking) -> None:
    """Write sweep.parquet, sweep.csv and sweep.html, each replaced atomically.

    Raises FileExistsError if one of them was changed since a sweep wrote it; it is left as it is.

    sweep.parquet has one more column, `responses`: the first rows of each point's published file
    (see `first_answers`); null if the point is not done or the file can't be read.
    """
    writer, columns = Writer(ledger=Ledger(sweep_dir)), columns_of(points, ranking)
    best = ranking.ranked[0] if ranking.ranked else None
    side: list[tuple[Point, list[Answer]]] = []
    passed_over: list[Point] = []

    def answers() -> Iterator[list[Answer] | None]:
        """Yield each point's answers, read once; keep the first ones and the best for the page."""
        for point in points:
            found = _answers(point)
            if found and point is best and len(side) == MAX_POINTS:
                passed_over.append(side.pop()[0])
            if found:
                is_shown = len(side) < MAX_POINTS
                side.append((point, found)) if is_shown else passed_over.append(point)
            yield found

    with writer.written(table_place(sweep_dir, "sweep.parquet")) as temporary:
        _write_parquet(temporary, columns, answers())
    with writer.written(table_place(sweep_dir, "sweep.csv")) as temporary:
        _write_csv(temporary, columns)
    lines = _page_lines(points, ranking)
    headers, rows = _page_table(points, columns, ranking.objective)
    beside = [(point.name, found) for point, found in side]
    html = page(sweep_dir.name, lines, headers, rows, beside, len(passed_over))
    with writer.written(table_place(sweep_dir, "sweep.html")) as temporary:
        temporary.write_text(html, encoding="utf-8", errors="backslashreplace")


def _answers(point: Point) -> list[Answer] | None:
    path = point.figures.get("output_path")
    if point.status != "done" or not isinstance(path, str):
        return None
    try:
        return first_answers(path_of(path), point.prompt_key, f"{point.prefix}responses")
    except Exception:  # gone, replaced, damaged in any way: the table is worth more than this
        return None


def _write_parquet(
    path: Path, columns: list[Column], answers: Iterable[list[Answer] | None]
) -> None:
    """Write the columns and the answers, a few points at a time: together they may be gigabytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    answer = {"row": pa.int64(), "prompt": pa.string(), "responses": pa.list_(pa.string())}
    responses = pa.list_(pa.struct(answer))
    kinds = [pa.type_for_alias(column.kind) for column in columns]
    names = [column.name for column in columns]
    schema = pa.schema([*zip(names, kinds, strict=True), ("responses", responses)])
    start, held, num_bytes = 0, [], 0
    with pa.OSFile(os.fsencode(path), "wb") as file, pq.ParquetWriter(file, schema) as writer:
        for end, found in enumerate(answers, 1):
            held.append(pa.array([found], responses))
            num_bytes += held[-1].nbytes
            if end < len(columns[0].values) and num_bytes < HELD_BYTES:
                continue
            part = [
                pa.array(map(_encodable, column.values[start:end]), kind)
                for column, kind in zip(columns, kinds, strict=True)
            ]
            rows = pa.Table.from_arrays([*part, pa.concat_arrays(held)], schema=schema)
            writer.write_table(rows)
            start, held, num_bytes = end, [], 0


def _encodable(value: Any) -> Any:
    return utf8(value) if isinstance(value, str) else value


def _write_csv(path: Path, columns: list[Column]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([_harmless(column.name) for column in columns])
        for row in zip(*(column.values for column in columns), strict=True):
            writer.writerow([_harmless(value) for value in row])


def _harmless(value: Any) -> Any:
    """Return a cell that no spreadsheet reads as a formula, with invisible characters escaped."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    value = printable_text(value)
    if not unicodedata.normalize("NFKC", value).lstrip().startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def _page_lines(points: Sequence[Point], ranking: Ranking) -> list[str]:
    noun = "point" if len(points) == 1 else "points"
    lines = [f"{len(points):,} {noun}: {status_counts(points)}"]
    if ranking.headline:
        lines.append(("★ " if ranking.star else "") + ranking.headline)
    return lines + ranking.notes


def _page_table(
    points: Sequence[Point], columns: list[Column], objective: str
) -> tuple[list[tuple[str, str, bool]], list[Row]]:
    """Return headers and rows of the page's table, without empty columns."""
    typed = dict(zip((c.name for c in columns[1:]), swept_keys(points), strict=False))
    scores = score_names(points)
    hidden = {"error", "is_best", "differs_from_best", "run_dir"}
    hidden |= {name + end for name in scores for end in ENDS}
    if objective in {*COUNTS, *MEASURES, *(f"{SCORES}.{name}" for name in scores)}:
        hidden.add("objective")
    headers, cells = [], []
    for column in columns:
        if column.name in hidden or all(value is None for value in column.values):
            continue
        if column.name in typed:
            label = typed[column.name]
            texts = [point.values.get(label, "") for point in points]
        else:
            name = objective if column.name == "objective" else column.name
            label = LABELS.get(name, name)
            texts = [shown(name, v) if column.is_number else v or "" for v in column.values]
            if name in scores:
                texts = [score_shown(point, name) for point in points]
        headers.append((label, column.name, column.is_number))
        cells.append(texts)
    is_best = next(column.values for column in columns if column.name == "is_best")
    rows = [
        Row([texts[i] for texts in cells], point.status, point.error, is_best[i])
        for i, point in enumerate(points)
    ]
    return headers, rows
