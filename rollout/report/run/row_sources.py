"""Read the finished rows of a run: from its shards, or from the published file if they are gone.

Yields tables of the same columns, one shard or batch at a time. Guarantees: the rows are those on
disk at this moment, also while another process appends; a shard that can't be read is left out and
named in `faults`. Must not know what is counted.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.errors import UserError
from rollout.report.published import local_file, read_shard
from rollout.report.run.records import RunRecords
from rollout.store.shards import Shards
from rollout.store.store import FORMAT

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    "index", "row", "num_samples", "error", "finish_reason", "num_response_tokens", "latency_s",
    "num_distinct", "num_repetitive",
)  # fmt: skip
BATCH_ROWS = 1024


class RowSource:
    """The rows on disk. `faults`: what could not be read, one sentence each, filled by reading."""

    def __init__(self, records: RunRecords):
        self.faults: list[str] = []
        self._records = records
        self._shards = Shards(records.run_dir / "shards")
        self._found = self._list_shards()

    @property
    def note(self) -> str:
        """Where the rows are from, if it is not the shards."""
        if self._found or self._output is None or self._is_per_sample:
            return ""
        return (
            f"shards/ is gone: rows are counted in {self._output}, and numbered as they stand there"
        )

    @property
    def is_unknown(self) -> bool:
        """Whether rows were published that can't be counted any more."""
        if self._found or not self._records.published:
            return False
        return self._output is None or self._is_per_sample

    @property
    def _is_per_sample(self) -> bool:
        return self._records.published.get("layout") == "per_sample"

    @property
    def has_shards(self) -> bool:
        return bool(self._found)

    def tables(self, further: Sequence[str] = ()) -> "Iterator[pa.Table]":
        """Yield all finished rows with the columns COLUMNS; of shards, `further` ones too."""
        if self._found:
            yield from self._from_shards(tuple(dict.fromkeys((*COLUMNS, *further))))
        elif self._output is not None:
            yield from self._from_output()

    def texts(self) -> "Iterator[pa.ChunkedArray]":
        """Yield the responses of all finished rows, as lists."""
        if self._found:
            tables = self._from_shards(("index", "responses"))
            yield from (table.column("responses") for table in tables)
        elif self._output is not None:
            yield from self._published_texts()

    def _list_shards(self) -> list[int]:
        if self._records.first.get("format", FORMAT) != FORMAT:
            self.faults.append(
                f"the rows were written by rollout {self._records.first.get('rollout')} in another "
                "format, which this version can't count"
            )
            return []
        try:
            return self._shards.found()
        except UserError as error:
            self.faults.append(str(error.args[0]))
            return []

    def _from_shards(self, names: Sequence[str]) -> "Iterator[pa.Table]":
        for shard in self._found:
            try:
                yield read_shard(self._shards, shard, names)
            except (UserError, OSError) as error:
                self.faults.append(f"rows are left out: {error}")

    # The published file, without what only the shards have.

    @property
    def _output(self) -> Path | None:
        """The published file or directory, if this machine can read it."""
        return local_file(self._records.published.get("path"), self._records.run_dir)

    def _batches(self, wanted: Sequence[str]) -> "Iterator[pa.Table]":
        """Yield the columns `wanted`, without the run's prefix, for a row per prompt."""
        import pyarrow as pa
        import pyarrow.dataset as ds

        prefix = self._records.published.get("prefix", "")
        written = self._records.published.get("columns")  # others of these names are the input's
        own = [name for name in wanted if name in written] if isinstance(written, list) else wanted
        dataset = ds.dataset(str(self._output), format="parquet")
        names = [name for name in own if prefix + name in dataset.schema.names]
        columns = {name: ds.field(prefix + name) for name in names}
        for batch in dataset.to_batches(columns=columns, batch_size=BATCH_ROWS):
            yield pa.Table.from_batches([batch])

    def _from_output(self) -> "Iterator[pa.Table]":
        import pyarrow as pa

        if self._is_per_sample:
            self.faults.append(
                "shards/ is gone, and an output with a row for each sample is not counted"
            )
            return
        at = 0
        wanted = ("responses", *(name for name in COLUMNS if name not in ("index", "row")))
        for table in self._batches(wanted):
            numbers = pa.array(range(at, at + table.num_rows), pa.int64())
            at += table.num_rows
            yield _completed(table, numbers)

    def _published_texts(self) -> "Iterator[pa.ChunkedArray]":
        if not self._is_per_sample:
            yield from (table.column("responses") for table in self._batches(("responses",)))


def _completed(table: "pa.Table", numbers: "pa.Array") -> "pa.Table":
    """Return published rows with the columns COLUMNS; those that the file lacks are null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = {
        "error": pa.string(), "finish_reason": pa.list_(pa.string()),
        "num_response_tokens": pa.list_(pa.int32()), "latency_s": pa.float64(),
        "num_repetitive": pa.int32(),
    }  # fmt: skip
    responses = table.column("responses")
    made: dict[str, Any] = {
        "index": numbers,
        "row": numbers,
        "num_samples": pc.fill_null(pc.list_value_length(responses), 0),
        "num_distinct": _num_distinct(responses),
    }
    for name, kind in kinds.items():
        is_there = name in table.column_names
        made[name] = table.column(name) if is_there else pa.nulls(table.num_rows, kind)
    return pa.table({name: made[name] for name in COLUMNS})


def _num_distinct(responses: "pa.ChunkedArray") -> "pa.Array":
    """Return the number of different responses of each row."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    sizes = pc.fill_null(pc.list_value_length(responses), 0).to_numpy()
    row_of = pa.array(np.repeat(np.arange(len(sizes)), sizes))
    pairs = pa.table({"row": row_of, "text": pc.list_flatten(responses)})
    different = pairs.group_by(["row", "text"]).aggregate([])
    counts = np.bincount(different.column("row").to_numpy(), minlength=len(sizes))
    return pa.array(counts, pa.int32())
