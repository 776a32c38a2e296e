"""The layout of the published rows: one per prompt, with lists; or one per sample.

Owns which columns are added to the input's, their names and types, and how rows are reshaped.
Guarantees: both layouts hold the same values in the same order; a piece stays near PIECE_BYTES, no
matter how often a prompt is repeated. Must not know about files or settings.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rollout.rows.columns import Column
from rollout.rows.reasoning import Splitter, splitter_by
from rollout.store.shards import arrow_type
from rollout.system.formats.plain_types import take_values

if TYPE_CHECKING:
    import pyarrow as pa

PIECE_BYTES = 32 * 2**20  # of repeated values


def added_names(columns: list[Column], per_sample: bool) -> list[str]:
    """Return the columns added to the input's, in order, without output.prefix."""
    if not per_sample:
        return [column.name for column in columns]
    own = ["response" if column.name == "responses" else column.name for column in columns]
    return ["row", "sample_index", *own]


def added_types(columns: list[Column], per_sample: bool) -> "list[pa.DataType]":
    """Return the types of `added_names`."""
    import pyarrow as pa

    kinds = [arrow_type(column) for column in columns]
    if not per_sample:
        return kinds
    own = [
        kind.value_type if column.is_per_sample else kind
        for column, kind in zip(columns, kinds, strict=True)
    ]
    return [pa.int64(), pa.int32(), *own]


def with_derived(
    results: "pa.Table", columns: list[Column], tags: Sequence[str], splitter: Splitter | None
) -> "pa.Table":
    """Add those of `columns` that are derived from the responses; each response is split once.

    Without a `splitter`, split by the `tags`, and only for columns that are missing.
    """
    import pyarrow as pa

    known = results.column_names if splitter is None else ()
    derived = [column for column in columns if column.is_derived and column.name not in known]
    if not derived:
        return results
    splitter = splitter or splitter_by(tags)
    rows = zip(
        results.column("responses").to_pylist(),
        results.column("opens_reasoning").to_pylist(),
        strict=True,
    )
    splits = [[splitter(text, opened) for text in texts or ()] for texts, opened in rows]
    for column in derived:
        values = pa.array([column.of(row) for row in splits], arrow_type(column))
        if column.name in results.column_names:
            results = results.drop_columns(column.name)
        results = results.append_column(column.name, values)
    return results


def shaped(
    rows: "pa.Table",
    results: "pa.Table",
    columns: list[Column],
    schema: "pa.Schema",
    per_sample: bool,
) -> "Iterator[pa.Table]":
    """Yield input rows with their results, as tables of `schema`: input, then `added_names`."""
    import pyarrow as pa

    if per_sample:
        yield from _per_sample(rows, results, columns, schema)
    else:
        added = [results.column(column.name) for column in columns]
        yield pa.Table.from_arrays([*rows.columns, *added], schema=schema)


def _per_sample(
    rows: "pa.Table", results: "pa.Table", columns: list[Column], schema: "pa.Schema"
) -> "Iterator[pa.Table]":
    """Yield one row per sample; a prompt without samples gives a single row without one."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not rows.num_rows:
        return
    counts = pc.fill_null(pc.list_value_length(results.column("responses")), 0).to_numpy()
    times = np.maximum(counts, 1)
    whole = [results.column(c.name) for c in columns if not c.is_per_sample]
    most = max(1, PIECE_BYTES // max(1, sum(map(_num_bytes, [*rows.columns, *whole]))))
    if rows.num_rows > 1 and times.max() > most:
        half = rows.num_rows // 2
        for part in ((0, half), (half,)):
            yield from _per_sample(rows.slice(*part), results.slice(*part), columns, schema)
        return

    total = int(times.sum())
    row_of = np.repeat(np.arange(rows.num_rows), times)
    sample_of = np.arange(total) - np.repeat(np.cumsum(times) - times, times)
    has_none = np.repeat(counts == 0, times)
    flat_of = np.arange(total) - np.cumsum(has_none)  # position among the existing samples
    flat = {c.name: pc.list_flatten(results.column(c.name)) for c in columns if c.is_per_sample}
    for name, values in flat.items():
        assert len(values) == counts.sum(), f"column {name} does not have one value per sample"
    step = total if rows.num_rows > 1 else most
    for start in range(0, total, step):
        here = slice(start, start + step)
        row = pa.array(row_of[here])
        sample = pa.array(flat_of[here], mask=has_none[here])
        added = [
            take_values(flat[c.name], sample)
            if c.name in flat
            else take_values(results.column(c.name), row)
            for c in columns
        ]
        index = pa.array(sample_of[here], pa.int32(), mask=has_none[here])
        numbers = [take_values(results.column("row"), row), index]
        repeated = [take_values(column, row) for column in rows.columns]
        yield pa.Table.from_arrays([*repeated, *numbers, *added], schema=schema)


def _num_bytes(column: "pa.ChunkedArray") -> int:
    """Return the bytes that repeating a column copies; dictionaries are shared."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        return sum(chunk.indices.nbytes for chunk in column.chunks)
    return column.nbytes
