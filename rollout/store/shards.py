"""The shards of a run: finished rows in append-only logs and sealed parts.

    00000000.log      rows of shard 0 in the order they finished, in frames with a checksum
    00000000.parquet  all rows of the shard, in input order, with page checksums

A row may be in both, or several times in a log (with added samples, or retried). The last one
written counts, and a log's before a part's. So sealing twice, or a kill between renaming the part
and removing the log, changes nothing. A torn tail of a log is cut off. A damaged part is a
UserError that says how to generate its rows again. Must not know about settings or the input.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.errors import UserError
from rollout.rows.columns import COLUMNS, Column, result_of
from rollout.rows.owed import is_cut
from rollout.rows.result import Result
from rollout.rows.signs import num_distinct_in, num_repetitive_in
from rollout.store import frames
from rollout.system import disk

if TYPE_CHECKING:
    import pyarrow as pa

SHARD_ROWS = 1024
SHARD_BYTES = 64 * 2**20
LONG_RESPONSE = 8192  # tokens, where the context is the only limit
BYTES_PER_TOKEN = 4  # of text, roughly

# Besides the row's identity, these decide what it is owed.
STATE = (
    Column("num_samples", "int32", "samples it has", lambda r: len(r.samples)),
    Column("failed", "bool", "whether it ended in an error", lambda r: r.error is not None),
    Column(
        "shortest_cut",
        "int32",
        "fewest tokens of a sample that was cut off; -1: none was",
        lambda r: min((s.num_tokens for s in r.samples if is_cut(s)), default=-1),
    ),
)
# Not output columns, but needed for derived columns and the run's totals.
INTERNAL = (
    Column(
        "opens_reasoning", "bool", "the prompt ended within the reasoning",
        lambda r: r.opens_reasoning,
    ),
    Column("num_repetitive", "int32", "responses that are repetitive", num_repetitive_in),
    Column("num_distinct", "int32", "different responses", num_distinct_in),
)  # fmt: skip
STORED = (*STATE, *INTERNAL, *(column for column in COLUMNS.values() if not column.is_derived))
FILE = re.compile(r"[0-9]{8}\.(log|parquet)")
IDENTITY = ("index", "row", "digest")
STATE_NAMES = (*IDENTITY, *(c.name for c in STATE), "num_attempts")


def shard_rows(n_samples: int, max_tokens: int | None) -> int:
    """Return the rows of a shard: SHARD_BYTES of text at full length, but 1 to SHARD_ROWS rows."""
    max_tokens = max_tokens or LONG_RESPONSE
    row_bytes = n_samples * max_tokens * BYTES_PER_TOKEN
    return max(1, min(SHARD_ROWS, SHARD_BYTES // row_bytes))


class Shards:
    """The shard files in one directory."""

    def __init__(self, directory: Path):
        self.directory = directory

    def log(self, shard: int) -> Path:
        return self.directory / f"{shard:08d}.log"

    def part(self, shard: int) -> Path:
        return self.directory / f"{shard:08d}.parquet"

    def found(self) -> list[int]:
        """Return the shards that have any file, ascending."""
        names = (path.name for path in self.directory.glob("*"))
        ours = {name for name in names if FILE.fullmatch(name)}
        for name in ours:  # a pipe would block, and the target of a broken link may come back
            if not (self.directory / name).is_file():
                raise UserError(
                    f"{self.directory / name} is not a file, but should hold finished rows; put "
                    f"it back as it was, or to generate its rows again type: rm -r "
                    f"'{self.directory / name}' and the same command"
                )
        return sorted({int(name[:8]) for name in ours})

    def append(self, shard: int, results: list[Result]) -> None:
        """Append finished rows to the shard's log, in one frame."""
        payload = memoryview(_batch(results).serialize())
        frames.append_frame(self.log(shard), payload)

    def seal(self, shard: int) -> None:
        """Write all rows of the shard to its part, and remove its log."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = self.read(shard)
        with (
            disk.atomic_write(self.part(shard)) as temporary,
            pa.OSFile(os.fsencode(temporary), "wb") as file,  # a name may not be UTF-8
        ):
            pq.write_table(rows, file, compression="zstd", write_page_checksum=True)
        disk.remove(self.log(shard))

    def read(self, shard: int, names: Iterable[str] | None = None) -> "pa.Table":
        """Return the shard's rows as last written, in input order; all columns, or those named."""
        import pyarrow as pa

        names = list(names or _schema().names)
        has_log = self.log(shard).exists()
        needed = [*names, *({"index"} - {*names} if has_log else ())]
        tables = [self._read_part(shard, needed)] if self.part(shard).exists() else []
        if not has_log:
            return tables[0] if tables else _schema().empty_table().select(names)
        tables.append(self._read_log(shard).select(needed))
        return _last_of_each(pa.concat_tables(tables)).select(names)

    def results(self, shard: int) -> dict[int, Result]:
        """Return the shard's rows by index."""
        return {record["index"]: result_of(record) for record in self.read(shard).to_pylist()}

    def repair(self, shard: int) -> int:
        """Cut a torn tail off the shard's log; return the damaged bytes."""
        log = self.log(shard)
        if not log.exists():
            return 0
        payloads, good_end, damaged = frames.read_frames(log)
        if payloads:
            frames.cut(log, good_end)
        else:
            disk.remove(log)
        return damaged

    def _read_log(self, shard: int) -> "pa.Table":
        import pyarrow as pa

        log, schema = self.log(shard), _schema()
        payloads, _, _ = frames.read_frames(log)
        try:
            batches = [pa.ipc.read_record_batch(pa.py_buffer(p), schema) for p in payloads]
            table = pa.Table.from_batches(batches, schema)
            table.validate()
        except (pa.ArrowException, OSError) as error:
            raise _damaged(log, error) from error
        return table

    def _read_part(self, shard: int, names: list[str]) -> "pa.Table":
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.part(shard)
        try:
            with (
                pa.OSFile(os.fsencode(path)) as source,
                pq.ParquetFile(source, page_checksum_verification=True) as file,
            ):
                rows, schema = file.read(names, use_threads=False), _schema()
                if rows.schema.types != [schema.field(name).type for name in names]:
                    raise ValueError("its columns are not those of a shard")
                if any(rows.column(n).null_count for n in STATE_NAMES if n in names):
                    raise ValueError("a required value is missing")
                return rows
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError | PermissionError):
                raise
            raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    first_line = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return UserError(
        f"{path} is damaged ({first_line}); to generate its rows again, type: rm '{path}' and the "
        "same command"
    )


def _last_of_each(table: "pa.Table") -> "pa.Table":
    """Return the last occurrence of each row, by ascending index."""
    import numpy as np

    indexes = table.column("index").to_numpy()
    _, back = np.unique(indexes[::-1], return_index=True)
    return table.take(len(indexes) - 1 - back)


def _schema() -> "pa.Schema":
    import pyarrow as pa

    identity = [("index", pa.int64()), ("row", pa.int64()), ("digest", pa.binary(16))]
    columns = [(c.name, arrow_type(c)) for c in STORED]
    return pa.schema(identity + columns)


def warm_up() -> None:
    """Import what the first batch needs: pyarrow imports pandas then, for 0.3 s or more."""
    _batch([])


def _batch(results: list[Result]) -> "pa.RecordBatch":
    import pyarrow as pa

    arrays: list[Any] = [
        pa.array([r.index for r in results], pa.int64()),
        pa.array([r.row for r in results], pa.int64()),
        pa.array([r.digest for r in results], pa.binary(16)),
    ]
    for column in STORED:
        arrays.append(pa.array([column.of(r) for r in results], arrow_type(column)))
    return pa.RecordBatch.from_arrays(arrays, schema=_schema())


def arrow_type(column: Column) -> "pa.DataType":
    """Return the Arrow type that a column declares as text: `list<string>`, `int32`."""
    import pyarrow as pa

    inner, depth = column.arrow_type, 0
    while inner.startswith("list<"):
        inner, depth = inner[5:-1], depth + 1
    kind = pa.type_for_alias(inner)
    for _ in range(depth):
        kind = pa.list_(kind)
    return kind
