"""Read a parquet file's rows in batches bounded by their decoded size.

A footer has only a column's stored size, and a repeated long text is stored once. So a batch has
few rows, and fewer once these turn out to be large. Must not know what the rows are.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rollout.system.formats.plain_types import take_values

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 64  # the decoded size of a first batch is known only afterwards
BATCH_BYTES = 16 << 20


def group_batches(
    file: "pq.ParquetFile",
    number: int,
    columns: Sequence[str] | None = None,
    most: int = BATCH_ROWS,
) -> "Iterator[pa.RecordBatch]":
    """Stream a row group's rows, at most `most` and about BATCH_BYTES at a time.

    A batch is larger only if it is the first with such large rows, or a single row.
    """
    group = file.metadata.row_group(number)
    row_bytes = group.total_byte_size / max(1, group.num_rows)
    size = max(1, min(most, BATCH_ROWS, int(BATCH_BYTES / max(1, row_bytes))))
    done, is_over = 0, False
    while not is_over:
        is_over, start = True, 0
        for batch in file.iter_batches(size, [number], columns, use_threads=False):
            fresh = batch.slice(max(0, done - start))
            start += batch.num_rows
            if not fresh.num_rows:
                continue
            done = start
            num_bytes = fresh.nbytes
            yield fresh
            if num_bytes > BATCH_BYTES and size > 1:  # read on from here with fewer
                size = max(1, min(size // 2, BATCH_BYTES * fresh.num_rows // num_bytes))
                is_over = False
                break


def take(batch: "pa.RecordBatch", rows: list[int]) -> "pa.RecordBatch":
    """Return these rows of a batch, in this order."""
    import pyarrow as pa

    if rows == list(range(rows[0], rows[0] + len(rows))):
        return batch.slice(rows[0], len(rows))
    positions = pa.array(rows, pa.int64())
    columns = [take_values(column, positions) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
