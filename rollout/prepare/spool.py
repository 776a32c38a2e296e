"""Rows kept on disk until all are read, for random order, samples and splits.

An unnamed Arrow file, mapped into memory: the system drops its pages when memory is short, and the
file disappears however the process ends.
"""

import mmap
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rollout.system.formats.row_batches import take

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_ROWS = 4096
BLOCK_BYTES = 16 << 20


class Spool:
    """Rows written once, then read in any order. A context manager, which closes the file."""

    def __init__(self, schema: "pa.Schema", directory: Path):
        self._schema, self._directory = schema, directory
        self._file: IO[bytes] | None = None
        self._map: mmap.mmap | None = None
        self._batches: list[Any] = []
        self._starts: list[int] = []
        self.num_rows = 0

    def __enter__(self) -> "Spool":
        self._file = tempfile.TemporaryFile(dir=self._directory, prefix=".rollout-")
        return self

    def __exit__(self, *exception: Any) -> None:
        self._batches.clear()
        self._file.close()

    def fill(self, batches: "Iterator[pa.RecordBatch]") -> None:
        """Write all rows and open them for reading."""
        import pyarrow as pa

        with pa.ipc.new_file(pa.PythonFile(self._file, "w"), self._schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        self._file.flush()
        # The map outlives this object while rows that were taken point into it.
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        reader = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(self._map)))
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            self._starts.append(self.num_rows)
            self._batches.append(batch)
            self.num_rows += batch.num_rows

    def take(self, rows: Sequence[int]) -> "Iterator[pa.RecordBatch]":
        """Yield the rows at these positions, in this order, a block at a time."""
        row_bytes = max(1, len(self._map) // max(1, self.num_rows))
        block = max(1, min(BLOCK_ROWS, BLOCK_BYTES // row_bytes))
        for start in range(0, len(rows), block):
            yield self._block([int(row) for row in rows[start : start + block]])

    def _block(self, rows: list[int]) -> "pa.RecordBatch":
        """Take the rows batch by batch in ascending order, then restore the requested order."""
        import pyarrow as pa

        order = sorted(range(len(rows)), key=rows.__getitem__)
        pieces, at = [], 0
        while at < len(order):
            number = bisect_right(self._starts, rows[order[at]]) - 1
            first, batch = self._starts[number], self._batches[number]
            end = at
            while end < len(order) and rows[order[end]] < first + batch.num_rows:
                end += 1
            pieces.append(take(batch, [rows[i] - first for i in order[at:end]]))
            at = end
        gathered = pa.Table.from_batches(pieces).combine_chunks().to_batches()[0]
        places = [0] * len(order)
        for place, index in enumerate(order):
            places[index] = place
        return take(gathered, places)
