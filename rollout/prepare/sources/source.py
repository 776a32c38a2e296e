"""What a source is to the rest: a schema, and its rows in order, a chunk at a time.

Owns the counts of a preparation and how far its reading is. Must not know formats.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.errors import UserError
from rollout.inputs.columns import values_of
from rollout.system.contents import Watched

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 1024
SKIP = "on_error=skip leaves such rows out"


@dataclass(slots=True)
class Tally:
    """How many rows came to what, and how far the reading is."""

    num_read: int = 0
    num_bad: int = 0
    num_filtered: int = 0
    num_duplicates: int = 0
    num_written: int = 0
    faults: Counter = field(default_factory=Counter)  # of bad rows: reason -> rows
    left_out: Counter = field(default_factory=Counter)  # members of a row that are not taken
    skips: bool = False  # bad rows are counted, and end nothing
    way_out: str = SKIP  # what to do about a bad row that ends it
    work: float = 0.0  # units of `total_work`: bytes, or rows
    total_work: float = 0.0  # 0: nobody knows
    tick: Callable[[], None] = lambda: None  # called after every chunk; may raise Interrupted

    def bad(self, where: str, fault: str) -> None:
        """Count a row that can't serve. Raises UserError where such rows end the work."""
        if not self.skips:
            raise UserError(f"{where}: {fault}; {self.way_out}")
        self.num_bad += 1
        if len(self.faults) < 1000 or fault in self.faults:
            self.faults[fault] += 1


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some rows: as Arrow, which is written, and as plain values, which are rendered."""

    batch: "pa.RecordBatch"
    where: Callable[[int], str]  # what to call a row in a message
    raw: Sequence[dict[str, Any]] | None = None  # the rows as they were read; None: Arrow's
    faults: dict[int, str] = field(default_factory=dict)  # of rows that make no prompt

    def rows(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Each row's values of these columns."""
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
    """Rows to make prompts of. `chunks()` reads them once; every batch has `schema`."""

    name: str  # for messages
    schema: "pa.Schema"
    chunks: Callable[[], Iterator[Chunk]]
    files: list[Path] = field(default_factory=list)
    prompt_column: str | None = None  # what holds the prompts, where the source itself knows
    notes: list[str] = field(default_factory=list)
    mixed: frozenset[str] = frozenset()  # columns of text whose rows, as read, may hold lists
    read_by: dict[str, str] = field(default_factory=dict)  # column: what a run types to read it
    watched: Watched | None = None  # the files, where they are read twice
