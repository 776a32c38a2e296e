"""A sweep's table as files: parquet, CSV and a page.

Guarantees: each file is complete, either the old or the new one; responses that can't be read are
null and raise nothing.
"""

import csv
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rollout.report.sweep.answers import Answer, first_answers
from rollout.report.sweep.columns import Column, columns_of
from rollout.report.sweep.page_file import PAGE, page_text, write_page
from rollout.report.sweep.points import Point
from rollout.report.sweep.ranking import Ranking
from rollout.store.ledger import Ledger
from rollout.store.places import Writer, table_place
from rollout.system.disk import path_of
from rollout.system.safe_text import printable_text

HELD_BYTES = 32 << 20  # of responses, before they are written
FORMULA = ("=", "+", "-", "@")  # how one begins in a spreadsheet


def write_tables(sweep_dir: Path, points: Sequence[Point], ranking: Ranking) -> str:
    """Write sweep.parquet, sweep.csv and sweep.html, each replaced atomically.

    Returns why the page could not be made; empty if it was. Raises FileExistsError if one of them
    was changed since a sweep wrote it; it is left as it is.

    sweep.parquet has one more column, `responses`: the first rows of each point's published file
    (see `first_answers`); null if the point is not done or the file can't be read.
    """
    writer, columns = Writer(ledger=Ledger(sweep_dir)), columns_of(points, ranking)
    with writer.written(table_place(sweep_dir, "sweep.parquet")) as temporary:
        _write_parquet(temporary, columns, (_answers(point) for point in points))
    with writer.written(table_place(sweep_dir, "sweep.csv")) as temporary:
        _write_csv(temporary, columns)
    try:
        html = page_text(sweep_dir, points, ranking)
    except Exception as error:  # it can be made again from the records; the tables are there
        return f"{sweep_dir / PAGE} could not be made ({type(error).__name__}: {error})"
    write_page(sweep_dir, html)
    return ""


def _answers(point: Point) -> list[Answer] | None:
    path = point.figures.get("output_path")
    if point.status != "done" or not isinstance(path, str):
        return None
    try:
        return first_answers(path_of(path), point.prompt_keys[0], f"{point.prefix}responses")
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
                pa.array(column.values[start:end], kind)
                for column, kind in zip(columns, kinds, strict=True)
            ]
            rows = pa.Table.from_arrays([*part, pa.concat_arrays(held)], schema=schema)
            writer.write_table(rows)
            start, held, num_bytes = end, [], 0


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
