"""The rows of a published or scored file as the sample browser shows them, in either layout.

Reads the cheap columns first, then the texts of the rows asked for. Memory: a batch of rows, and a
few numbers per row. Must not know which rows are chosen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from rollout.inputs.columns import is_text, stored, values_of
from rollout.inputs.files import open_parquet, reading
from rollout.inputs.prompts import Prompts
from rollout.postprocess.export.agreement import is_list_of
from rollout.postprocess.scored_rows import texts_of
from rollout.report.asked import asked_messages, builder_in
from rollout.report.columns import OutputColumns
from rollout.report.prompt_texts import Messages, messages_from
from rollout.report.row_views import PER_SAMPLE, reference_of
from rollout.rows.column_paths import column_at, column_of
from rollout.system.formats.plain_types import decode, rebuild

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Row = dict[str, Any]

NO_PROMPTS = (
    "(no column of prompts was found; type python -m rollout.report FILE prompt_key=COLUMN)"
)


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row's prompt and columns, as `row_view` takes them."""

    position: int
    number: int
    messages: Messages
    columns: Row
    num_samples: int


class PublishedRows:
    """The rows of an output. A row's position counts prompts, from 0 in file order.

    `numbers` are the rows' numbers in the run's input; None: the column `row` in a file with one
    row per sample, else the positions.
    """

    def __init__(
        self,
        rows: Prompts,
        columns: OutputColumns,
        numbers: "Sequence[int] | None" = None,
        reads_as_asked: bool = True,
    ):
        self.source, self.columns = rows, columns
        self._asked = builder_in(rows.schema) if reads_as_asked else None
        self._lines = _Lines(rows, columns.row) if columns.is_per_sample else None
        self.num_rows = self._lines.num_rows if self._lines else rows.num_rows
        own = self._lines.numbers if self._lines else range(rows.num_rows)
        self.numbers = own if numbers is None else numbers

    def failed(self) -> list[int]:
        """Return the positions of the rows whose column `error` is not null, ascending."""
        name = self.columns.names.get("error")
        if name is None:
            return []
        import pyarrow.compute as pc

        lines, at = [], 0
        for table in cheap_columns(self.source, [name]):
            lines += (pc.indices_nonzero(pc.is_valid(table.column(0))).to_numpy() + at).tolist()
            at += table.num_rows
        if self._lines is None:
            return lines
        return sorted({self._lines.position_of(line) for line in lines})

    def read(self, positions: "np.ndarray", most: int) -> Iterator[RawRow]:
        """Yield the rows at ascending positions, with at least their first `most` samples."""
        if not len(positions):
            return
        if self._lines is None:
            for position, row in zip(positions.tolist(), self._read(positions), strict=True):
                yield self._raw(position, row, len(row[self.columns.responses] or ()))
            return
        import numpy as np

        spans = [self._lines.span(position, most) for position in positions.tolist()]
        lines = self._read(np.concatenate([np.arange(*span) for span in spans]))
        for position, (start, end) in zip(positions.tolist(), spans, strict=True):
            row = self._joined(list(islice(lines, end - start)))
            has_some = bool(row[self.columns.responses])
            yield self._raw(position, row, self._lines.num_lines(position) if has_some else 0)

    def samples(self, names: Sequence[str]) -> Iterator[tuple[list[Any] | None, ...]]:
        """Yield the values of these columns, a list per row each; None for a missing column."""
        columns = [self.columns.names.get(name) for name in names]
        lines = self._columns_of(list(filter(None, columns)), range(self.source.num_rows))
        rows: Iterator[Row] = lines
        if self._lines is not None:
            sizes = map(self._lines.num_lines, range(self.num_rows))
            rows = (self._joined(list(islice(lines, size))) for size in sizes)
        for row in rows:
            yield tuple(name and row[name] for name in columns)

    def _joined(self, lines: list[Row]) -> Row:
        """Return the lines of a prompt as one row, with lists of its samples' values."""
        names = self.columns.names
        # A prompt without samples has one line.
        has_none = len(lines) == 1 and lines[0][names["responses"]] is None
        columns = [names[name] for name in PER_SAMPLE if names.get(name) in lines[0]]
        samples = [] if has_none else lines
        return lines[0] | {column: [line[column] for line in samples] for column in columns}

    def _raw(self, position: int, row: Row, num_samples: int) -> RawRow:
        columns = self.columns
        found = {name: row[column] for name, column in columns.names.items()}
        keys = (columns.compared, columns.answer, columns.entry)
        found["reference"] = reference_of(*(row[key] if key else None for key in keys))
        number = int(self.numbers[position])
        return RawRow(position, number, self._messages(position, row), found, num_samples)

    def _messages(self, position: int, row: Row) -> Messages:
        """Return the prompt as the run asked it, else as its column holds it."""
        if self._asked is not None:
            return asked_messages(self._asked, position, row)
        key = self.columns.prompt
        return [("", NO_PROMPTS)] if key is None else messages_from(row[key])

    def _read(self, lines: "np.ndarray") -> Iterator[Row]:
        """Yield the columns that views need of these lines of the files."""
        columns = self.columns
        prompt = self._asked.columns if self._asked else [columns.prompt]
        others = [columns.compared, columns.answer, columns.entry]
        names = [n for n in dict.fromkeys([*columns.names.values(), *prompt, *others]) if n]
        return self._columns_of(names, lines)

    def _columns_of(self, names: list[str], lines: "Sequence[int]") -> Iterator[Row]:
        """Yield these columns of lines of the files."""
        import pyarrow as pa

        whole = self.source.schema
        tops = dict.fromkeys(column_of(whole, name) for name in names)
        schema = pa.schema([whole.field(name) for name in tops], whole.metadata)
        for batch in replace(self.source, schema=schema, rows=lines).batches():
            values = [_values(column_at(batch, name)) for name in names]
            for row in zip(*values, strict=True):
                yield dict(zip(names, row, strict=True))


class _Lines:
    """The lines of each prompt in files with one row per sample; they stand together."""

    def __init__(self, rows: Prompts, row_column: str | None):
        import numpy as np

        starts, numbers, at, last = [], [], 0, None
        names = [row_column] if row_column else []
        for table in cheap_columns(rows, names) if names else ():
            found = _row_numbers(table.column(0))
            if not len(found):
                continue
            is_new = np.r_[last is None or found[0] != last, found[1:] != found[:-1]]
            begins = np.flatnonzero(is_new)
            starts.append(begins + at)
            numbers.append(found[begins])
            at, last = at + len(found), found[-1]
        if not names:  # nothing says which lines belong together
            starts, numbers = [np.arange(rows.num_rows)], [np.arange(rows.num_rows)]
        empty = [np.empty(0, dtype=np.int64)]
        self._starts = np.concatenate([*(starts or empty), [rows.num_rows]]).astype(np.int64)
        self.numbers = np.concatenate(numbers or empty)
        self.num_rows = len(self._starts) - 1

    def span(self, position: int, most: int) -> tuple[int, int]:
        """Return the first line of a prompt, and the end of its first `most` lines."""
        start = int(self._starts[position])
        return start, start + min(most, self.num_lines(position))

    def num_lines(self, position: int) -> int:
        return int(self._starts[position + 1] - self._starts[position])

    def position_of(self, line: int) -> int:
        import numpy as np

        return int(np.searchsorted(self._starts, line, side="right")) - 1


def cheap_columns(rows: Prompts, names: list[str]) -> "Iterator[pa.Table]":
    """Yield these columns of all rows, a row group at a time; for numbers and short texts."""
    for path in rows.files:
        with reading(path), open_parquet(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=names, use_threads=False)


def _row_numbers(column: "pa.ChunkedArray") -> "np.ndarray":
    """Return whole numbers of any width as int64; those above wrap around, and null is -1."""
    import pyarrow as pa

    plain = [rebuild(chunk, decode(chunk.type)) for chunk in column.chunks]
    wide = [chunk.cast(pa.int64(), safe=False).fill_null(-1) for chunk in plain]
    return pa.chunked_array(wide, pa.int64()).to_numpy()


def _values(column: "pa.Array") -> list[Any]:
    """Return plain values; bytes that are not UTF-8 are replaced in texts and lists of texts."""
    import pyarrow as pa

    if is_list_of(column.type, is_text) and not pa.types.is_null(stored(column.type)):
        return texts_of(column)
    if not is_text(column.type):
        return list(values_of(column))
    plain = rebuild(column, decode(column.type))
    try:
        return plain.to_pylist()
    except UnicodeDecodeError:
        texts = plain.cast(pa.binary()).to_pylist()
        return [text if text is None else text.decode(errors="replace") for text in texts]
