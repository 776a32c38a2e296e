"""Prompts: parquet files become a stream of Prompt, and the same rows again for publishing.

Owns which rows `data.*` selects and how they are read. Promises: a fault of the input as a whole
is a UserError within a second, found in the footers alone; a fault of one row is that row's
`error` and stops nothing; rows come in input order; columns keep their types and the schema its
metadata; memory does not grow with the files. Must not know engines, runs or where anything is
written.
"""

import hashlib
import itertools
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.sections.data import Data
from rollout.errors import RolloutError, UserError
from rollout.inputs.columns import check_names, conform, unify, values_of
from rollout.inputs.files import find_files, open_parquet, reading, row_group_sizes, seal
from rollout.inputs.idle import refuse_idle
from rollout.inputs.prompt_columns import check_columns, check_printed
from rollout.inputs.wording import Wording, read_wording
from rollout.rows.prompt import Prompt
from rollout.system.contents import Seen, Watched
from rollout.system.formats.row_batches import BATCH_ROWS, group_batches, take

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

GO_ON = "finished rows are on disk: give the input as it was and type the same command once more"


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Where some contiguous rows of the input lie."""

    path: Path
    number: int
    start: int  # position of its first row in the whole input
    num_rows: int


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """The selected rows of the input. Made by `open_prompts`; holds no open file."""

    files: list[Path]
    schema: "pa.Schema"  # of all columns, those of the first file
    num_input_rows: int
    data: Data
    wording: Wording | None  # None: nothing is asked
    row_groups: list[RowGroup]
    rows: Sequence[int]  # positions in the whole input, ascending
    seals: dict[Path, bytes]
    watched: Watched

    @property
    def num_rows(self) -> int:
        """Rows selected by data.offset, data.limit and data.shuffle_seed."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Prompt]:
        """Stream the selected prompts in input order, reading only the columns they are made of."""
        return self.where(None)

    def where(self, wanted: "np.ndarray | None") -> Iterator[Prompt]:
        """The same for the rows of a mask over the selected rows; batches with none are skipped."""
        for index, row in self.values(wanted):
            yield self.wording.prompt_of(index, int(self.rows[index]), row)

    def values(self, wanted: "np.ndarray | None" = None) -> Iterator[tuple[int, dict[str, Any]]]:
        """The index of each of these rows, and the values of the columns prompts are made of."""
        names = self.wording.columns
        for first, batch in self._read(names, BATCH_ROWS):
            indexes: Sequence[int] = range(first, first + batch.num_rows)
            if wanted is not None:
                indexes = (first + wanted[first : first + batch.num_rows].nonzero()[0]).tolist()
                if not indexes:
                    continue
                if len(indexes) < batch.num_rows:
                    batch = take(batch, [index - first for index in indexes])
            columns = [values_of(column) for column in batch.columns]
            for index, values in zip(indexes, zip(*columns, strict=True), strict=True):
                yield index, dict(zip(names, values, strict=True))

    def batches(self, num_rows: int = BATCH_ROWS) -> "Iterator[pa.RecordBatch]":
        """Stream all columns of the selected rows in input order, at most `num_rows` at a time.

        Every batch has `schema`. Raises RolloutError where a file broke or changed since.
        """
        return (batch for _, batch in self._read(self.schema.names, num_rows))

    def take_digests(self) -> bool:
        """Read the files once; from here on they are held to every byte, before to their footers.

        Gives whether one was touched since `open_prompts`. Raises RolloutError where one changed.
        """
        with reading(self.files[0], advice=GO_ON):
            touched = self.watched.take_digests()
        for path in touched:
            with reading(path, advice=GO_ON):
                self._refuse_changed(path)
        return bool(touched)

    def contents(self) -> list[Seen]:
        """The files, each with its name, as all that was read of them found them.

        Raises RolloutError where one holds anything else by now.
        """
        self.take_digests()
        for path in self.files:
            with reading(path, advice=GO_ON):
                self._refuse_changed(path)
        return [{"name": path.name} | self.watched.seen(path) for path in self.files]

    def _refuse_changed(self, path: Path) -> None:
        if not self.watched.holds(path) or seal(path) != self.seals[path]:
            raise RolloutError(f"{path} was changed during the run; {GO_ON}")

    def digest(self) -> str:
        """Identify the input without reading it: names, sizes and footers (rows, types, stats)."""
        found = hashlib.blake2b(digest_size=16)
        for path in self.files:
            found.update(path.name.encode("utf-8", "surrogateescape") + b"\0" + self.seals[path])
        return found.hexdigest()

    def _read(self, columns: list[str], num_rows: int) -> "Iterator[tuple[int, pa.RecordBatch]]":
        """Stream the selected rows, each batch with the index of its first row."""
        import pyarrow as pa

        schema = pa.schema([self.schema.field(c) for c in columns], self.schema.metadata)
        for path, groups in itertools.groupby(self.row_groups, lambda group: group.path):
            wanted = [g for g in groups if self._picked(g.start, g.num_rows)]
            if not wanted:
                continue
            with reading(path, advice=GO_ON):
                self._refuse_changed(path)
                with open_parquet(path) as file:
                    for group in wanted:
                        yield from self._read_group(file, group, schema, num_rows)

    def _read_group(self, file, group: RowGroup, schema, num_rows: int) -> Iterator[tuple]:
        import pyarrow as pa

        # One row group at a time: a batch across two fails where a dictionary is nested.
        start, end, last = group.start, group.start + group.num_rows, self.rows[-1]
        for batch in group_batches(file, group.number, schema.names, num_rows):
            if picked := self._picked(start, batch.num_rows):
                chosen = take(batch, [int(row) - start for row in self.rows[picked]])
                yield picked.start, conform(chosen, schema)
            start += batch.num_rows
            if start > last:
                return
        if start != end:  # Arrow ends early, and says nothing, where a page is short
            raise pa.ArrowInvalid(f"row group {group.number} ends {end - start} rows early")

    def _picked(self, start: int, num_rows: int) -> slice | None:
        """Which of the selected rows lie in this stretch of the input."""
        low = bisect_left(self.rows, start)
        high = bisect_left(self.rows, start + num_rows, low)
        return slice(low, high) if low < high else None


def open_prompts(data: Data, start_dir: Path | None = None) -> Prompts:
    """Find the input, check its footers and select its rows; relative paths hang on `start_dir`.

    Raises UserError: no such input, not parquet, no such column, a type no prompt has, files
    that disagree, no rows; a template, system prompt or tools that can't be read, or that change
    no row: only for those are rows read, up to the first that they change.
    """
    start_dir = start_dir or Path.cwd()
    wording = read_wording(data, start_dir)
    whole = open_rows(find_files(data.input, start_dir), data, wording)
    with reading(whole.files[0], UserError):
        names = wording.template and wording.template.names
        check_columns(whole.schema, whole.files[0], data, names)
        if wording.template:
            printed = wording.template.printed
            check_printed(whole.schema, whole.files[0], "data.template", printed)
    prompts = replace(whole, rows=_select(whole.num_input_rows, data))
    refuse_idle(wording, prompts.values, prompts.num_rows)
    return prompts


def open_rows(files: list[Path], data: Data, wording: Wording | None = None) -> Prompts:
    """All rows of these files, their footers checked. Raises UserError as `open_prompts` does."""
    schema, groups, seals, num_rows = None, [], {}, 0
    watched = Watched(files)
    for path in files:
        with reading(path, UserError):
            seals[path] = seal(path)
            with open_parquet(path) as file:
                found, sizes = file.schema_arrow, row_group_sizes(file)
            check_names(found, path)
            schema = found if schema is None else unify(schema, found, files[0], path)
        for number, size in enumerate(sizes):
            if size:
                groups.append(RowGroup(path, number, num_rows, size))
                num_rows += size
    return Prompts(files, schema, num_rows, data, wording, groups, range(num_rows), seals, watched)


def _select(num_rows: int, data: Data) -> Sequence[int]:
    """Positions of the rows to answer, ascending."""
    if not num_rows:
        raise UserError(f"data.input={data.input} has no rows")
    if data.offset >= num_rows:
        raise UserError(f"data.offset={data.offset} leaves nothing: the input has {num_rows} rows")
    window = slice(data.offset, None if data.limit is None else data.offset + data.limit)
    if data.shuffle_seed is None:
        return range(num_rows)[window]
    import numpy as np

    return np.sort(np.random.default_rng(data.shuffle_seed).permutation(num_rows)[window])
