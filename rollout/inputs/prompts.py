"""Read parquet files as a stream of Prompt, and the same rows again for publishing.

Owns which rows `data.*` selects and how they are read. Guarantees: an error of the input as a whole
is a UserError within a second, found in the footers alone; an error of one row becomes that row's
`error` and stops nothing; rows come in input order; columns keep their types and the schema its
metadata; memory does not grow with the files. Must not know about engines, runs or what is written.
"""

import hashlib
import itertools
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.sections.data import Data
from rollout.errors import RolloutError, UserError
from rollout.inputs.columns import check_names, conform, unify, values_of
from rollout.inputs.files import find_files, open_parquet, reading, row_group_sizes, seal
from rollout.inputs.prompt_builder import PromptBuilder, open_prompt_builder
from rollout.inputs.prompt_columns import check_columns, check_printed
from rollout.inputs.unused_settings import refuse_unused
from rollout.rows.prompt import Prompt
from rollout.system.file_contents import Seen, Watched
from rollout.system.formats.row_batches import BATCH_ROWS, group_batches, take
from rollout.system.storage.paths import is_remote, of_each

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

RESUME = "finished rows are on disk: restore the input and type the same command again"


@dataclass(frozen=True, slots=True)
class RowGroup:
    """The location of some contiguous rows of the input."""

    path: Path
    number: int
    start: int  # position of its first row in the whole input
    num_rows: int


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """The selected rows of the input. Made by `open_prompts`; holds no open file."""

    files: list[Path]
    schema: "pa.Schema"  # of all columns, with the first file's metadata
    num_input_rows: int
    data: Data
    builder: PromptBuilder | None  # None: the rows are not read as prompts
    row_groups: list[RowGroup]
    rows: Sequence[int]  # positions in the whole input, ascending
    seals: dict[Path, bytes]
    watched: Watched

    @property
    def num_rows(self) -> int:
        """Number of rows selected by data.offset, data.limit and data.shuffle_seed."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Prompt]:
        """Stream the selected prompts in input order, reading only the columns they need."""
        return self.where(None)

    def where(self, wanted: "np.ndarray | None") -> Iterator[Prompt]:
        """Stream the prompts of a mask over the selected rows; skip batches without any."""
        for index, row in self.values(wanted):
            yield self.builder.prompt_of(index, int(self.rows[index]), row)

    def values(self, wanted: "np.ndarray | None" = None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Stream the index of each of these rows, and the values of the columns prompts need."""
        names = self.builder.columns
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

        Every batch has `schema`. Raises RolloutError if a file is damaged or has changed.
        """
        return (batch for _, batch in self._read(self.schema.names, num_rows))

    def take_digests(self) -> bool:
        """Digest the files; from now on, changes of any byte are detected, before only footers.

        Returns whether a file was touched since `open_prompts`. Raises RolloutError if one changed.
        """
        with reading(self.files[0], advice=RESUME):
            touched = self.watched.take_digests()
        deque(of_each(self._read_unchanged, touched), maxlen=0)
        return bool(touched)

    def contents(self) -> list[Seen]:
        """Return name, digest and stamp of each file as it was read.

        Raises RolloutError if one has changed since.
        """
        self.take_digests()
        deque(of_each(self._read_unchanged, self.files), maxlen=0)
        return [{"name": path.name} | self.watched.observe(path) for path in self.files]

    def _read_unchanged(self, path: Path) -> None:
        with reading(path, advice=RESUME):
            self._refuse_changed(path)

    def _refuse_changed(self, path: Path) -> None:
        if is_remote(path) and self.watched.is_untouched(path):
            return  # its version covers the footer, which takes four requests to read
        if not self.watched.is_unchanged(path) or seal(path) != self.seals[path]:
            raise RolloutError(f"{path} was changed during the run; {RESUME}")

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
            with reading(path, advice=RESUME):
                self._refuse_changed(path)
                with open_parquet(path) as file:
                    for group in wanted:
                        yield from self._read_group(file, group, schema, num_rows)

    def _read_group(self, file, group: RowGroup, schema, num_rows: int) -> Iterator[tuple]:
        import pyarrow as pa

        # One row group at a time: a batch across two fails if a dictionary is nested.
        start, end, last = group.start, group.start + group.num_rows, self.rows[-1]
        for batch in group_batches(file, group.number, schema.names, num_rows):
            if picked := self._picked(start, batch.num_rows):
                chosen = take(batch, [int(row) - start for row in self.rows[picked]])
                yield picked.start, conform(chosen, schema)
            start += batch.num_rows
            if start > last:
                return
        if start != end:  # Arrow silently ends early if a page is short
            raise pa.ArrowInvalid(f"row group {group.number} ends {end - start} rows early")

    def _picked(self, start: int, num_rows: int) -> slice | None:
        """Return which of the selected rows lie in this range of the input."""
        low = bisect_left(self.rows, start)
        high = bisect_left(self.rows, start + num_rows, low)
        return slice(low, high) if low < high else None


def open_prompts(data: Data, start_dir: Path | None = None) -> Prompts:
    """Find the input, check its footers and select its rows; paths are relative to `start_dir`.

    Raises UserError if there is no such input, file or column, a type can't hold prompts, files
    disagree or there are no rows. Also if a template, system prompt or tools can't be read or
    change no row: only for those are rows read, up to the first one they change.
    """
    start_dir = start_dir or Path.cwd()
    builder = open_prompt_builder(data, start_dir)
    whole = open_rows(find_files(data.input, start_dir), data, builder)
    with reading(whole.files[0], UserError):
        names = builder.template and builder.template.names
        check_columns(whole.schema, whole.files[0], data, names)
        if builder.template:
            printed = builder.template.printed
            check_printed(whole.schema, whole.files[0], "data.template", printed)
    prompts = replace(whole, rows=_select(whole.num_input_rows, data))
    refuse_unused(builder, prompts.values, prompts.num_rows)
    return prompts


def open_rows(files: list[Path], data: Data, builder: PromptBuilder | None = None) -> Prompts:
    """Check the footers and select all rows of the files. Raises UserError like `open_prompts`."""
    schema, groups, seals, num_rows = None, [], {}, 0
    watched = Watched(files)
    for path, (mark, found, sizes) in of_each(_footer, files):
        seals[path] = mark
        schema = found if schema is None else unify(schema, found, files[0], path)
        for number, size in enumerate(sizes):
            if size:
                groups.append(RowGroup(path, number, num_rows, size))
                num_rows += size
    return Prompts(files, schema, num_rows, data, builder, groups, range(num_rows), seals, watched)


def _footer(path: Path) -> "tuple[bytes, pa.Schema, list[int]]":
    """Return a file's seal, schema and row groups. Raises UserError."""
    with reading(path, UserError):
        mark = seal(path)
        with open_parquet(path) as file:
            found, sizes = file.schema_arrow, row_group_sizes(file)
        check_names(found, path)
        return mark, found, sizes


def _select(num_rows: int, data: Data) -> Sequence[int]:
    """Return the positions of the selected rows, ascending."""
    if not num_rows:
        raise UserError(f"data.input={data.input} has no rows")
    if data.offset >= num_rows:
        raise UserError(f"data.offset={data.offset} leaves no rows: the input has {num_rows}")
    window = slice(data.offset, None if data.limit is None else data.offset + data.limit)
    if data.shuffle_seed is None:
        return range(num_rows)[window]
    import numpy as np

    return np.sort(np.random.default_rng(data.shuffle_seed).permutation(num_rows)[window])
