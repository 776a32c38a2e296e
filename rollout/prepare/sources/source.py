"""The interface of a source: a schema, and its rows in order, a chunk at a time.

Owns the counts and the progress of a preparation. Must not know about formats.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.errors import UserError
from rollout.inputs.columns import values_of
from rollout.system.file_contents import Watched

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 1024
SKIP = "type on_error=skip to skip such rows"


@dataclass(slots=True)
class Tally:
    """The counts and the progress of a preparation."""

    num_read: int = 0
    num_bad: int = 0
    num_filtered: int = 0
    num_duplicates: int = 0
    num_written: int = 0
    faults: Counter = field(default_factory=Counter)  # of bad rows: reason -> rows
    left_out: Counter = field(default_factory=Counter)  # members of batch lines that are ignored
    skips: bool = False  # whether bad rows are skipped and counted
    remedy: str = SKIP  # the end of the message for a bad row that is not skipped
    work: float = 0.0  # work done, in the units of `total_work`: bytes or rows
    total_work: float = 0.0  # 0: unknown
    tick: Callable[[], None] = lambda: None  # called after every chunk; may raise Interrupted

    def bad(self, where: str, fault: str) -> None:
        """Count a bad row. Raises UserError unless bad rows are skipped."""
        if not self.skips:
            raise UserError(f"{where}: {fault}; {self.remedy}")
        self.num_bad += 1
        if len(self.faults) < 1000 or fault in self.faults:
            self.faults[fault] += 1


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some rows: as Arrow, to be written, and as plain values, to be rendered."""

    batch: "pa.RecordBatch"
    where: Callable[[int], str]  # returns a row's file and line or row, for messages
    raw: Sequence[dict[str, Any]] | None = None  # the rows as read; None: take Arrow's values
    faults: dict[int, str] = field(default_factory=dict)  # errors of rows that make no prompt

    def rows(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield each row's values of these columns."""
        if self.raw is not None:
            for row in self.raw:
                yield {name: row.get(name) for name in names}
            return
        columns = [values_of(self.batch.column(name)) for name in names]
        if not columns:
            yield from ({} for _ in range(self.batch.num_rows))
            return
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Rows to make prompts from. `chunks()` reads them once; every batch has `schema`."""

    name: str  # for messages
    schema: "pa.Schema"
    chunks: Callable[[], Iterator[Chunk]]
    files: list[Path] = field(default_factory=list)
    prompt_column: str | None = None  # of the prompts, if the source fixes it
    notes: list[str] = field(default_factory=list)
    mixed: frozenset[str] = frozenset()  # columns of text whose raw rows may hold lists
    read_by: dict[str, str] = field(default_factory=dict)  # column -> setting to read it in a run
    watched: Watched | None = None  # the files, if they are read twice


def first_line(error: Exception) -> str:
    """Return the first line of an error, or its type if it has no text."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def name_of(files: list[Path]) -> str:
    """Return the name of a source of files, for messages."""
    return str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
