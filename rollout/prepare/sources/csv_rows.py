"""Read rows of CSV; the first row has the column names.

Guarantees that a row that is not CSV, or has too many or too few cells, is an error of its own line
only: reading continues with the next line, even after an unclosed quote. Must not know about files.
"""

import csv
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO

from rollout.prepare.sources.row_text import MAX_ITEM_CHARS, Broken, Row, fault_of_text

MAX_ROW_CHARS = 8 << 20  # within which a quote must close


class _Lines:
    """The lines of a text; those of an unfinished row can be read again."""

    def __init__(self, text: TextIO):
        self._text = text
        self._again: deque[str] = deque()
        self.of_row: list[str] = []
        self._num_chars = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._num_chars > MAX_ROW_CHARS:
            raise csv.Error(f"a row of more than {MAX_ROW_CHARS:,} characters")
        line = self._again.popleft() if self._again else self._text.readline(MAX_ITEM_CHARS + 1)
        if not line:
            raise StopIteration
        if len(line) > MAX_ITEM_CHARS:
            raise Broken(f"a line is longer than {MAX_ITEM_CHARS:,} characters")
        self.of_row.append(line)
        self._num_chars += len(line)
        return line

    def forget(self) -> None:
        """Drop the lines of a finished row."""
        self.of_row, self._num_chars = [], 0

    def step_back(self) -> None:
        """Read the lines of the unfinished row again, except the first."""
        self._again.extendleft(reversed(self.of_row[1:]))
        self.forget()


def cells_by(delimiter: str) -> Callable[[TextIO], Iterable[Row]]:
    """Return a reader of rows with this delimiter."""

    def rows(text: TextIO) -> Iterator[Row]:
        csv.field_size_limit(MAX_ROW_CHARS)
        lines = _Lines(text)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        names: Sequence[str] | None = None
        line = 1
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                if names is None:
                    raise Broken(f"line {line}: not CSV: {error}") from None
                # The end of an open quote is unknown, so the line's end is taken for it.
                first = lines.of_row[0]
                yield line, len(first), None, fault_of_text(first) or f"not CSV: {error}"
                lines.step_back()
                reader = csv.reader(lines, delimiter=delimiter, strict=True)
                line += 1
                continue
            if cells is None:
                return
            bad = fault_of_text("".join(lines.of_row))
            if not cells:  # an empty line
                pass
            elif names is None:
                names = cells
                if bad:
                    raise Broken(f"line {line}: {bad}")
                if twice := [name for name, count in Counter(names).items() if count > 1]:
                    raise Broken(f"line {line}: two columns named {twice[0]!r}; rename one")
            elif bad or len(cells) != len(names):
                fault = bad or f"{len(cells)} cells, but {len(names)} columns"
                yield line, 1, None, fault
            else:
                row = dict(zip(names, cells, strict=True))
                yield line, sum(map(len, cells)), row, None
            line += len(lines.of_row)
            lines.forget()

    return rows
