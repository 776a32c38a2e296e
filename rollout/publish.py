"""Publishing: the input's rows beside their results, streamed into one file or several.

Owns the join of input and shards, the files' row groups and sizes, and the counts of the rows.
Knows no engine and no settings. Memory is bounded by a shard and a row group.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.health import is_repetitive, is_unclosed
from rollout.layout import added_names, added_types, shaped, with_derived
from rollout.metrics import Totals, percentile
from rollout.parquet_writer import Writer
from rollout.partition import file_of
from rollout.reasoning import TAGS, Splitter
from rollout.records import Column

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ROW_GROUP_BYTES = 32 * 2**20
ROW_GROUP_ROWS = 65_536
BLOCK = 1024  # texts looked at one by one
JOINED_ROWS = 1024  # at once: a batch of the input has few, and each join costs
JOINED_BYTES = 16 * 2**20


class RowCounter:
    """Counts the rows of a run, some at a time. Keeps one number a length, and no row.

    Unclosed reasoning goes by `tags`; None: it is not counted.
    """

    def __init__(self, tags: Sequence[str] | None = None) -> None:
        import numpy as np

        self._tags = tags
        self._totals = Totals(num_distinct=0, num_repetitive=0)
        self._totals.num_unclosed = 0 if tags else None
        self._num_of_length = np.zeros(0, np.int64)  # how many samples are i tokens long

    def add(self, results: "pa.Table") -> "pa.Table":
        """Count some rows of a shard; they come back with the column is_reasoning_closed.

        That is by the tags, where there are any.
        """
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        totals, responses = self._totals, results.column("responses")
        texts = pc.list_flatten(responses)
        reasons = pc.list_flatten(results.column("finish_reason"))
        lengths = pc.list_flatten(results.column("num_response_tokens"))
        totals.num_rows += results.num_rows
        totals.num_failed += results.num_rows - results.column("error").null_count
        totals.num_samples += len(lengths)
        totals.num_output_tokens += pc.sum(lengths).as_py() or 0
        totals.num_prompt_tokens += pc.sum(results.column("num_prompt_tokens")).as_py() or 0
        totals.num_truncated += pc.sum(pc.equal(reasons, "length")).as_py() or 0
        totals.num_empty += pc.sum(pc.equal(texts, "")).as_py() or 0
        totals.max_response_tokens = max(totals.max_response_tokens, pc.max(lengths).as_py() or 0)
        totals.num_distinct += _num_distinct(responses, texts)
        self._add_lengths(pc.drop_null(lengths).to_numpy())
        known, closed = pc.fill_null(texts, ""), []
        if not self._tags:
            for some in _blocks(known):
                totals.num_repetitive += sum(map(is_repetitive, some))
            return results
        opened = results.column("opens_reasoning").take(pa.array(_row_of(responses)))
        for some, is_open in zip(_blocks(known), _blocks(opened), strict=True):
            totals.num_repetitive += sum(map(is_repetitive, some))
            pairs = zip(some, is_open, strict=True)
            closed += [not is_unclosed(text, opens, self._tags) for text, opens in pairs]
        totals.num_unclosed += len(closed) - sum(closed)
        ends = np.cumsum(pc.fill_null(pc.list_value_length(responses), 0).to_numpy())
        lists = pa.ListArray.from_arrays([0, *ends.tolist()], pa.array(closed, pa.bool_()))
        return results.append_column("is_reasoning_closed", lists)

    def _add_lengths(self, lengths: "np.ndarray") -> None:
        import numpy as np

        known, more = self._num_of_length, np.bincount(lengths)
        longer, shorter = (more, known) if len(more) > len(known) else (known, more)
        longer[: len(shorter)] += shorter
        self._num_of_length = longer

    def totals(self) -> Totals:
        """What has been counted so far."""
        return replace(self._totals, p95_response_tokens=percentile(self._num_of_length, 95))


def _num_distinct(responses: "pa.ChunkedArray", texts: "pa.ChunkedArray") -> int:
    """Different texts of each row, summed over the rows; `texts` are the flattened responses."""
    import pyarrow as pa
    import pyarrow.compute as pc

    codes = pc.dictionary_encode(texts, null_encoding="encode")  # one dictionary for all chunks
    codes = pa.chunked_array([chunk.indices for chunk in codes.chunks], pa.int32()).to_numpy()
    rows = _row_of(responses)
    return pc.count_distinct(pa.array(rows * (len(codes) + 1) + codes)).as_py()


def _blocks(values: "pa.ChunkedArray") -> Iterator[list]:
    """The values as Python's own, some at a time."""
    for start in range(0, len(values), BLOCK):
        yield values.slice(start, BLOCK).to_pylist()


def _row_of(responses: "pa.ChunkedArray") -> "np.ndarray":
    """The row of each of the flattened responses."""
    import numpy as np
    import pyarrow.compute as pc

    # Not list_parent_indices, which counts what a null row hides.
    sizes = pc.fill_null(pc.list_value_length(responses), 0).to_numpy()
    return np.repeat(np.arange(len(sizes)), sizes)


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
) -> Totals:
    """Write the input's rows with their results to `path`, in input order.

    `batches` are the selected input rows, of `schema`; `parts` the results of the same rows. With
    `partition_rows`, `path` is a directory that gets files of at most so many rows. Derived
    columns are what `splitter` makes of the responses, or the `tags` do; by these unclosed
    reasoning is counted, too. `annotated` may add to the metadata of the fields that are added.
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
        return counter.totals()
    cut = _cut(row_groups(pieces), partition_rows)
    number = -1
    for number, groups in itertools.groupby(cut, key=lambda piece: piece[0]):
        write_parquet(file_of(path, number), full, (group for _, group in groups))
    if number < 0:  # a reader finds the columns all the same
        write_parquet(file_of(path, 0), full, [])
    return counter.totals()


def write_parquet(path: Path, schema: "pa.Schema", groups: "Iterable[pa.Table]") -> int:
    """Stream tables into one file, a row group each; how many rows they were."""
    import pyarrow as pa

    num_rows = 0
    # By bytes, since Arrow takes no text that is not UTF-8.
    with pa.OSFile(os.fsencode(path), "wb") as file, Writer(file, schema) as writer:
        for group in groups:
            writer.write_table(group, row_group_size=max(1, group.num_rows))
            num_rows += group.num_rows
    return num_rows


def _cut(groups: "Iterable[pa.Table]", size: int) -> "Iterator[tuple[int, pa.Table]]":
    """The groups cut at every `size` rows, each with the number of its file."""
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
    """Input rows, and the results of the same rows."""
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
    """The rows to keep. Not Table.filter, which has no kernel for view types."""
    import pyarrow as pa

    pieces, start = [table.slice(0, 0)], 0
    for kept, run in itertools.groupby(keep):
        size = len(list(run))
        pieces += [table.slice(start, size)] if kept else []
        start += size
    return pa.concat_tables(pieces)
