"""Publish the input's rows with their results, streamed into one file or several.

Owns the join of input and shards, the files' row groups and sizes, and the counting of rows.
Memory use never exceeds one shard and one row group. Must not know about engines or settings.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.rows.columns import Column
from rollout.rows.reasoning import TAGS, Splitter
from rollout.store.counts import RowCounter
from rollout.store.row_layout import added_names, added_types, shaped, with_derived
from rollout.system.disk import file_of
from rollout.system.formats.parquet_writer import Writer

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_BYTES = 32 * 2**20
ROW_GROUP_ROWS = 65_536
JOINED_ROWS = 1024  # at once: batches of the input are small, and each join has a cost
JOINED_BYTES = 16 * 2**20


def write_output(
    path: Path,
    batches: "Iterable[pa.RecordBatch]",
    schema: "pa.Schema",
    parts: "Iterable[pa.Table]",
    columns: list[Column],
    prefix: str = "",
    skip_failed: bool = False,
    per_sample: bool = False,
    partition_rows: int | None = None,
    tags: Sequence[str] = TAGS,
    splitter: Splitter | None = None,
    annotated: "Callable[[pa.Schema], pa.Schema]" = lambda schema: schema,
) -> RowCounter:
    """Write the input's rows with their results to `path`, in input order; return their counts.

    `batches` are the selected input rows, of `schema`; `parts` the results of the same rows. With
    `partition_rows`, `path` is a directory for files of at most that many rows. Derived columns are
    made by `splitter`, else by `tags`; unclosed reasoning is always counted by `tags`. `annotated`
    may add metadata to the added fields.
    """
    import pyarrow as pa

    names = [prefix + name for name in added_names(columns, per_sample)]
    fields = list(map(pa.field, names, added_types(columns, per_sample)))
    full = annotated(pa.schema([*schema, *fields], metadata=schema.metadata))
    counter = RowCounter(tags)
    pieces = (
        piece
        for rows, results in _joined(batches, parts, counter, skip_failed)
        for piece in shaped(
            rows, with_derived(results, columns, tags, splitter), columns, full, per_sample
        )
    )
    if partition_rows is None:
        write_parquet(path, full, row_groups(pieces))
        return counter
    cut = _cut(row_groups(pieces), partition_rows)
    number = -1
    for number, groups in itertools.groupby(cut, key=lambda piece: piece[0]):
        write_parquet(file_of(path, number), full, (group for _, group in groups))
    if number < 0:  # no rows: readers still find the columns
        write_parquet(file_of(path, 0), full, [])
    return counter


def write_parquet(path: Path, schema: "pa.Schema", groups: "Iterable[pa.Table]") -> int:
    """Stream tables into one file, one row group each; return the number of rows."""
    import pyarrow as pa

    num_rows = 0
    # As bytes, since Arrow refuses text that is not UTF-8.
    with pa.OSFile(os.fsencode(path), "wb") as file, Writer(file, schema) as writer:
        for group in groups:
            writer.write_table(group, row_group_size=max(1, group.num_rows))
            num_rows += group.num_rows
    return num_rows


def _cut(groups: "Iterable[pa.Table]", size: int) -> "Iterator[tuple[int, pa.Table]]":
    """Cut the groups at every `size` rows; yield each piece with the number of its file."""
    at = 0
    for group in groups:
        start = 0
        while start < group.num_rows:
            here = group.slice(start, size - at % size)
            yield at // size, here
            at, start = at + here.num_rows, start + here.num_rows


def _joined(
    batches: "Iterable[pa.RecordBatch]",
    parts: "Iterable[pa.Table]",
    counter: RowCounter,
    skip_failed: bool,
) -> "Iterator[tuple[pa.Table, pa.Table]]":
    """Yield input rows together with the results of the same rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    remaining = iter(parts)
    results = None
    tables = (pa.Table.from_batches([batch]) for batch in batches)
    for table in row_groups(tables, JOINED_ROWS, JOINED_BYTES):
        while table.num_rows:
            while results is None or results.num_rows == 0:
                results = counter.add(next(remaining))
            n = min(table.num_rows, results.num_rows)
            rows, here = table.slice(0, n), results.slice(0, n)
            if skip_failed:
                succeeded = pc.is_null(here.column("error")).to_pylist()
                rows, here = _kept(rows, succeeded), _kept(here, succeeded)
            yield rows, here
            table, results = table.slice(n), results.slice(n)


def row_groups(
    pieces: "Iterable[pa.Table]", most_rows: int = ROW_GROUP_ROWS, most_bytes: int = ROW_GROUP_BYTES
) -> "Iterator[pa.Table]":
    """Gather pieces into tables of about `most_rows` or `most_bytes`, whichever comes first."""
    import pyarrow as pa

    held: list[pa.Table] = []
    num_bytes = num_rows = 0
    for table in pieces:
        held.append(table)
        num_bytes += table.nbytes
        num_rows += table.num_rows
        if num_bytes >= most_bytes or num_rows >= most_rows:
            yield pa.concat_tables(held)
            held, num_bytes, num_rows = [], 0, 0
    if num_rows:
        yield pa.concat_tables(held)


def _kept(table: "pa.Table", keep: list[bool]) -> "pa.Table":
    """Return the rows to keep. Not Table.filter, which has no kernel for view types."""
    import pyarrow as pa

    pieces, start = [table.slice(0, 0)], 0
    for kept, run in itertools.groupby(keep):
        size = len(list(run))
        pieces += [table.slice(start, size)] if kept else []
        start += size
    return pa.concat_tables(pieces)
