"""The run directory: what is on disk, and what of it each row has.

    run.json               what this run is: fingerprint, settings, input; written once
    attempts/1/            one launch: config.yaml, fingerprint.json, run.log, engine.log, ...
    shards/                finished rows, see shards.py
    output.parquet         the published file (or output.path); output/ with partition_rows
    published.json         which file that is, and what went into it
    written.json           all files that the run wrote for its user, see ledger.py
    summary.json           last of all: its presence means complete
    .rollout.lock          held by the launch that has the directory open

Every file is written under a temporary name and renamed, or appended to. Nothing here knows an
engine or decides what a run may go on with (see resume.py).
"""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.errors import UserError
from rollout.rows.columns import result_of
from rollout.rows.owed import OwedRow, Wanted
from rollout.rows.prompt import Prompt
from rollout.rows.result import Result
from rollout.store.run_dir import attempts
from rollout.store.shards import STATE_NAMES, Shards
from rollout.system import disk

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FORMAT = 4  # of run.json and shards
FLUSH_ROWS = 64
FLUSH_S = 1.0
FLUSH_BYTES = 16 * 2**20


class State:
    """What each row of a run has on disk, as arrays over the rows; about 40 bytes a row."""

    def __init__(self, num_rows: int):
        import numpy as np

        self.present = np.zeros(num_rows, bool)
        self.row = np.zeros(num_rows, np.int64)
        self.digest = np.zeros((num_rows, 16), np.uint8)
        self.num_samples = np.zeros(num_rows, np.int32)
        self.failed = np.zeros(num_rows, bool)
        self.shortest_cut = np.full(num_rows, -1, np.int32)
        self.num_attempts = np.zeros(num_rows, np.int32)
        self.num_beyond = 0  # rows on disk that the input no longer has

    def add(self, rows: "pa.Table") -> None:
        """Take in a shard's rows, of the columns STATE_NAMES."""
        import numpy as np

        index = rows.column("index").to_numpy()
        inside = index < len(self.present)
        self.num_beyond += int((~inside).sum())
        at = index[inside]
        self.present[at] = True
        for name in ("row", "num_samples", "failed", "shortest_cut", "num_attempts"):
            values = rows.column(name).to_numpy(zero_copy_only=False)
            getattr(self, name)[at] = values[inside]
        digests = rows.column("digest").combine_chunks().buffers()[-1]
        start = rows.column("digest").combine_chunks().offset * 16
        flat = np.frombuffer(digests, np.uint8, 16 * len(index), start)
        self.digest[at] = flat.reshape(-1, 16)[inside]

    def identity(self, index: int) -> tuple[int, bytes]:
        return int(self.row[index]), self.digest[index].tobytes()


class Store:
    """One run's rows, while this launch holds the directory. Append from one thread only."""

    def __init__(self, run_dir: Path, num_rows: int, rows_per_shard: int):
        self.run_dir = run_dir
        self.num_rows = num_rows
        self.rows_per_shard = rows_per_shard
        self.shards = Shards(run_dir / "shards")
        self.before_first_write: Callable[[], None] | None = None
        self._pending: list[Result] = []
        self._pending_bytes = 0
        self._last_flush = self._last_sync = time.monotonic()
        self._unsynced: set[int] = set()
        self._num_owed: dict[int, int] = {}  # shard -> rows it still lacks

    # What is there.

    def state(self) -> State:
        """Read what every row has. Raises UserError where a part is damaged."""
        state = State(self.num_rows)
        for shard in self.shards.found():
            rows = self.shards.read(shard, STATE_NAMES)
            index = rows.column("index").to_numpy()
            if len(index) and (index // self.rows_per_shard != shard).any():
                raise self._foreign(shard)
            state.add(rows)
        return state

    def _foreign(self, shard: int) -> UserError:
        return UserError(
            f"{self.shards.part(shard)} (or the .log beside it) holds other rows than its own; it "
            "was copied from elsewhere, or rows_per_shard in run.json was changed: put back what "
            "was there, or type resume=fresh"
        )

    def tidy(self) -> None:
        """Remove what a killed write left."""
        for directory in (self.run_dir, *attempts(self.run_dir), self.shards.directory):
            disk.remove_leftovers(directory)

    def repair(self, say: Callable[[str], None]) -> None:
        """Cut torn tails off, and remove what a killed write left."""
        self.shards.directory.mkdir(exist_ok=True)
        self.tidy()
        for shard in self.shards.found():
            if damaged := self.shards.repair(shard):
                say(
                    f"{self.shards.log(shard)} is damaged in its middle ({damaged:,} bytes); the "
                    "rows that stood there are asked again"
                )

    # Filling.

    def expect(self, owed: "np.ndarray") -> None:
        """Say which rows will be appended, as a mask; seal the shards that lack none."""
        import numpy as np

        shard_of = np.flatnonzero(owed) // self.rows_per_shard
        shards, counts = np.unique(shard_of, return_counts=True)
        self._num_owed = dict(zip(shards.tolist(), counts.tolist(), strict=True))
        for shard in self.shards.found():
            if shard not in self._num_owed and self.shards.log(shard).exists():
                self.shards.seal(shard)

    def owed_rows(
        self, prompts: Iterable[Prompt], state: State, wanted: Wanted
    ) -> Iterator[OwedRow]:
        """The owed prompts with what their rows have, in input order; reads a shard at a time."""
        number, results = -1, {}
        for prompt in prompts:
            index = prompt.index
            before = None
            if state.present[index]:
                if index // self.rows_per_shard != number:
                    number = index // self.rows_per_shard
                    results = self.shards.results(number)
                before = results.pop(index)
            yield OwedRow(prompt, wanted, before)

    def append(self, results: Iterable[Result]) -> None:
        """Take finished rows; they are on disk after at most FLUSH_S and FLUSH_ROWS."""
        for result in results:
            self._pending.append(result)
            for sample in result.samples:
                self._pending_bytes += len(sample.text) + 4 * len(sample.token_ids or ())
        if (
            len(self._pending) >= FLUSH_ROWS
            or self._pending_bytes >= FLUSH_BYTES
            or (self._pending and time.monotonic() - self._last_flush >= FLUSH_S)
        ):
            self.flush()

    def flush(self) -> None:
        """Append what is pending to its shards' logs; seal the shards that are complete."""
        if self.before_first_write and self._pending:
            self.before_first_write()
            self.before_first_write = None
        now = self._last_flush = time.monotonic()
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        by_shard: dict[int, list[Result]] = {}
        for result in pending:
            by_shard.setdefault(result.index // self.rows_per_shard, []).append(result)
        for shard, results in by_shard.items():
            self.shards.append(shard, results)
            self._unsynced.add(shard)
            self._num_owed[shard] -= len(results)
            if self._num_owed[shard] == 0:
                del self._num_owed[shard]
                self._unsynced.discard(shard)
                self.shards.seal(shard)
        if now - self._last_sync >= FLUSH_S:
            self._last_sync = now
            for shard in self._unsynced:
                disk.sync(self.shards.log(shard))
            self._unsynced.clear()

    def parts(self) -> "Iterator[pa.Table]":
        """All rows in input order, a shard at a time; every shard is sealed.

        Raises UserError where a shard does not hold exactly its own rows.
        """
        import numpy as np

        for start in range(0, self.num_rows, self.rows_per_shard):
            shard, end = (
                start // self.rows_per_shard,
                min(start + self.rows_per_shard, self.num_rows),
            )
            rows = self.shards.read(shard)
            if not np.array_equal(rows.column("index").to_numpy(), np.arange(start, end)):
                raise self._foreign(shard)
            yield rows

    def first_results(self, count: int) -> list[Result]:
        """The first rows, for people to look at."""
        found: list[Result] = []
        for part in self.parts():
            found += map(result_of, part.slice(0, count - len(found)).to_pylist())
            if len(found) >= count:
                break
        return found


# Directories.
