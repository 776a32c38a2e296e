"""The run directory: what is on disk, in which state, and how it gets published.

    run.json               what this run is: fingerprint, settings, versions, input; written once
    attempts/1/            one launch: config.yaml, run.log, engine.log, metrics.jsonl
    shards/00000000.log    finished rows of a shard still being filled, appended as they come
    shards/00000000.parquet  a complete shard, sealed, in input order
    output.parquet         the published file (or output.path)
    summary.json           last of all: its presence means complete
    .lock                  held by the launch that has the directory open

A log is a sequence of frames; each holds rows as an Arrow record batch, with its length and
checksum, so a tail torn by a kill is recognised. Every other file is written under a temporary
name and renamed. Nothing here knows an engine.
"""

import itertools
import json
import os
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.errors import UserError
from rollout.records import Column, Result

if TYPE_CHECKING:
    import pyarrow as pa

FLUSH_ROWS = 64
FLUSH_S = 1.0
FLUSH_BYTES = 16 * 2**20
SHARD_ROWS = 1024
SHARD_BYTES = 64 * 2**20
ROW_GROUP_BYTES = 32 * 2**20
ROW_GROUP_ROWS = 65_536
BYTES_PER_TOKEN = 4  # of text, about
FRAME = struct.Struct("<4sIQ")  # magic, crc32, payload bytes
MAGIC = b"row1"
LOCK = ".lock"
OWN_FILES = (
    "run.json", "attempts", "shards", "output.parquet", "summary.json", "wandb", "wandb.json",
    "error.log",
)  # fmt: skip


def shard_rows(n_samples: int, max_tokens: int) -> int:
    """Rows of a shard: as many as hold SHARD_BYTES of text at full length, 1 to SHARD_ROWS."""
    row_bytes = n_samples * max_tokens * BYTES_PER_TOKEN
    return max(1, min(SHARD_ROWS, SHARD_BYTES // row_bytes))


@contextmanager
def written_whole(path: Path, replace: bool = True) -> Iterator[Path]:
    """Give a temporary name to write to; on success rename it to `path`, else remove it.

    With `replace` false, raises FileExistsError where `path` has appeared meanwhile.
    """
    temporary = path.with_name(f".{path.name[:64]}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            _rename_to_new(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename, but never over a file: a hard link fails where one is."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(f"{path} has appeared meanwhile") from None
        temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


class Store:
    """One run's directory, while it is being filled. Append from one thread only."""

    def __init__(self, run_dir: Path, columns: list[Column], num_rows: int, rows_per_shard: int):
        self.run_dir = run_dir
        self.num_rows = num_rows
        self.rows_per_shard = rows_per_shard
        self._columns = columns
        self._shards = run_dir / "shards"
        self._pending: list[Result] = []
        self._pending_bytes = 0
        self._last_flush = time.monotonic()
        self._num_flushed: dict[int, int] = {}  # open shards -> rows in their logs

    @classmethod
    def create(
        cls,
        run_dir: Path,
        record: dict[str, Any],
        columns: list[Column],
        num_rows: int,
        rows_per_shard: int,
        start_over: bool = False,
    ) -> "Store":
        """Open a fresh run in `run_dir` and write run.json.

        With `start_over` an old run there is moved aside, see `moved_to`; else it is refused
        with a UserError. So is a directory that another launch has open.
        """
        run_dir.mkdir(parents=True, exist_ok=True)
        store = cls(run_dir, columns, num_rows, rows_per_shard)
        store._hold()
        store.moved_to = move_aside(run_dir) if start_over else None
        refuse_used(run_dir)
        store._shards.mkdir(exist_ok=True)
        write_json(run_dir / "run.json", record)
        return store

    def _hold(self) -> None:
        """Take the directory's lock until `close`. Raises UserError where another launch has it."""
        import fcntl

        self._lock = (self.run_dir / LOCK).open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"run_dir={self.run_dir} is in use by another launch; wait for it, or type "
                "another run_dir="
            ) from None

    def close(self) -> None:
        """Let the directory go; the lock of a dead process goes by itself."""
        self._lock.close()

    # Filling.

    def append(self, results: Iterable[Result]) -> None:
        """Take finished rows; they are on disk after at most FLUSH_S and FLUSH_ROWS."""
        for result in results:
            self._pending.append(result)
            self._pending_bytes += sum(len(s.text) for s in result.samples)
        if (
            len(self._pending) >= FLUSH_ROWS
            or self._pending_bytes >= FLUSH_BYTES
            or (self._pending and time.monotonic() - self._last_flush >= FLUSH_S)
        ):
            self.flush()

    def flush(self) -> None:
        """Append what is pending to its shards' logs; seal the shards that are complete."""
        self._last_flush = time.monotonic()
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        by_shard: dict[int, list[Result]] = {}
        for result in pending:
            by_shard.setdefault(result.index // self.rows_per_shard, []).append(result)
        for shard, results in by_shard.items():
            payload = self._batch(results).serialize()
            frame = FRAME.pack(MAGIC, zlib.crc32(payload), payload.size)
            with self._log(shard).open("ab") as log:
                log.write(frame + payload.to_pybytes())
            flushed = self._num_flushed.pop(shard, 0) + len(results)
            if flushed == self._size_of(shard):
                self._seal(shard)
            else:
                self._num_flushed[shard] = flushed

    def _seal(self, shard: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_batches(self._frames(shard), self._schema)
        with written_whole(self._part(shard)) as temporary:
            pq.write_table(table.sort_by("index"), temporary, compression="zstd")
        self._log(shard).unlink()

    def _frames(self, shard: int) -> "Iterator[pa.RecordBatch]":
        """The whole frames of a shard's log, in the order written; a torn tail ends them."""
        import pyarrow as pa

        with self._log(shard).open("rb") as log:
            while len(head := log.read(FRAME.size)) == FRAME.size:
                magic, checksum, size = FRAME.unpack(head)
                payload = log.read(size)
                if magic != MAGIC or len(payload) != size or zlib.crc32(payload) != checksum:
                    return
                yield pa.ipc.read_record_batch(pa.py_buffer(payload), self._schema)

    # Publishing.

    def publish(
        self,
        batches: "Iterable[pa.RecordBatch]",
        schema: "pa.Schema",
        path: Path,
        prefix: str = "",
        skip_failed: bool = False,
        replace: bool = False,
    ) -> int:
        """Write the input's rows with their results to `path`, in input order, at once.

        `batches` are the selected input rows, of `schema`. Returns the rows written. Raises
        FileExistsError where `path` has appeared meanwhile and `replace` is false.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        fields = [pa.field(prefix + c.name, arrow_type(c)) for c in self._columns]
        full = pa.schema([*schema, *fields], metadata=schema.metadata)
        path.parent.mkdir(parents=True, exist_ok=True)
        num_written = 0
        with written_whole(path, replace) as temporary, pq.ParquetWriter(temporary, full) as writer:
            for group in _row_groups(self._joined(batches, full), skip_failed):
                writer.write_table(group, row_group_size=max(1, group.num_rows))
                num_written += group.num_rows
        return num_written

    def _joined(
        self, batches: "Iterable[pa.RecordBatch]", schema: "pa.Schema"
    ) -> "Iterator[tuple[pa.Table, pa.Array]]":
        """Input rows beside their results, with a mask of the rows that succeeded."""
        import pyarrow as pa
        import pyarrow.compute as pc

        parts = (self._read_part(s) for s in range(self._shard_count))
        results = next(parts, None)
        for batch in batches:
            table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
            while table.num_rows:
                while results is not None and results.num_rows == 0:
                    results = next(parts, None)
                assert results is not None, "more input rows than results"
                n = min(table.num_rows, results.num_rows)
                here = results.slice(0, n)
                added = [here.column(c.name) for c in self._columns]
                joined = pa.Table.from_arrays([*table.slice(0, n).columns, *added], schema=schema)
                yield joined, pc.is_null(here.column("error"))
                table, results = table.slice(n), results.slice(n)

    def _read_part(self, shard: int) -> "pa.Table":
        import pyarrow.parquet as pq

        table = pq.read_table(self._part(shard), memory_map=False)
        assert table.num_rows == self._size_of(shard), f"{self._part(shard)} is incomplete"
        return table

    # Shapes and names.

    @property
    def _schema(self) -> "pa.Schema":
        import pyarrow as pa

        identity = [("index", pa.int64()), ("row", pa.int64()), ("digest", pa.binary(16))]
        return pa.schema([*identity, *((c.name, arrow_type(c)) for c in self._columns)])

    def _batch(self, results: list[Result]) -> "pa.RecordBatch":
        import pyarrow as pa

        arrays = [
            pa.array([r.index for r in results], pa.int64()),
            pa.array([r.row for r in results], pa.int64()),
            pa.array([r.digest for r in results], pa.binary(16)),
        ]
        for column in self._columns:
            values = [column.of(r) for r in results]
            arrays.append(pa.array(values, arrow_type(column)))
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    @property
    def _shard_count(self) -> int:
        return -(-self.num_rows // self.rows_per_shard)

    def _size_of(self, shard: int) -> int:
        return min(self.rows_per_shard, self.num_rows - shard * self.rows_per_shard)

    def _log(self, shard: int) -> Path:
        return self._shards / f"{shard:08d}.log"

    def _part(self, shard: int) -> Path:
        return self._shards / f"{shard:08d}.parquet"


def arrow_type(column: Column) -> "pa.DataType":
    """The Arrow type a column declares as text: `list<string>`, `int32`."""
    import pyarrow as pa

    inner, depth = column.arrow_type, 0
    while inner.startswith("list<"):
        inner, depth = inner[5:-1], depth + 1
    kind = pa.type_for_alias(inner)
    for _ in range(depth):
        kind = pa.list_(kind)
    return kind


def _row_groups(
    joined: "Iterable[tuple[pa.Table, pa.Array]]", skip_failed: bool
) -> "Iterator[pa.Table]":
    """Gather pieces into row groups of about ROW_GROUP_BYTES."""
    import pyarrow as pa

    held: list[pa.Table] = []
    num_bytes = num_rows = 0
    for table, succeeded in joined:
        if skip_failed:
            table = _kept(table, succeeded.to_pylist())
        held.append(table)
        num_bytes += table.nbytes
        num_rows += table.num_rows
        if num_bytes >= ROW_GROUP_BYTES or num_rows >= ROW_GROUP_ROWS:
            yield pa.concat_tables(held)
            held, num_bytes, num_rows = [], 0, 0
    if num_rows:
        yield pa.concat_tables(held)


def _kept(table: "pa.Table", keep: list[bool]) -> "pa.Table":
    """The rows to keep. Not Table.filter, which has no kernel for view types."""
    import pyarrow as pa

    pieces, start = [table.slice(0, 0)], 0
    for kept, run in itertools.groupby(keep):
        size = len(list(run))
        pieces += [table.slice(start, size)] if kept else []
        start += size
    return pa.concat_tables(pieces)


def is_a_run(run_dir: Path) -> bool:
    """Whether run.json is there and ours. Raises UserError where it is somebody else's."""
    path = run_dir / "run.json"
    if not os.path.lexists(path):
        return False
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not {"rollout", "fingerprint"} <= set(found):
        raise UserError(f"{path} was not written by rollout; type another run_dir=")
    return True


def refuse_used(run_dir: Path) -> None:
    """Raise UserError where `run_dir` is no directory, or holds finished rows of a run.

    A launch that ended before its first row left nothing to lose: its directory is free.
    """
    if run_dir.exists() and not run_dir.is_dir():
        raise UserError(f"run_dir={run_dir} is a file; type another run_dir=")
    is_a_run(run_dir)
    shards = run_dir / "shards"
    if (run_dir / "summary.json").exists() or (shards.is_dir() and any(shards.iterdir())):
        state = "finished" if (run_dir / "summary.json").exists() else "unfinished"
        raise UserError(
            f"run_dir={run_dir} holds a run already ({state}); type another run_dir=, "
            "or resume=fresh to move the old one aside and start over"
        )


def next_attempt(run_dir: Path) -> Path:
    """Make the directory of this launch: attempts/1, attempts/2, ..."""
    attempts = run_dir / "attempts"
    taken = [int(d.name) for d in attempts.glob("*") if d.name.isdigit()]
    attempt = attempts / str(max(taken, default=0) + 1)
    attempt.mkdir(parents=True)
    return attempt


def move_aside(run_dir: Path) -> Path | None:
    """Move what a run left in `run_dir` to a free directory beside it; return that, or None.

    Other files that stand there are the user's and stay.
    """
    if not is_a_run(run_dir):
        return None
    taken = {path.name for path in run_dir.parent.glob(f"{run_dir.name}.old-*")}
    number = next(n for n in itertools.count(1) if f"{run_dir.name}.old-{n}" not in taken)
    old = run_dir.with_name(f"{run_dir.name}.old-{number}")
    old.mkdir()
    for name in OWN_FILES:
        if os.path.lexists(run_dir / name):
            (run_dir / name).rename(old / name)
    return old
