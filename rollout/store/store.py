"""The run directory: the rows on disk, and how new ones are added.

    run.json               describes the rows: fingerprint, settings, input
    attempts/1/            one launch: config.yaml, fingerprint.json, run.log, engine.log, ...
    shards/                finished rows, see shards.py
    output.parquet         the published file (or output.path); output/ with partition_rows
    published.json         where it was published, and from what
    written.json           all files the run wrote for the user, see ledger.py
    summary.json           written last: its presence means complete
    .rollout.lock          held by the launch that has the directory open

Every file is written under a temporary name and renamed, or appended to. Must not know about
engines, or decide how a run may be resumed (see resume.py).
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
from rollout.store import frames
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
    """The state of each row on disk, as arrays over the rows; about 40 bytes per row."""

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
        """Add a shard's rows, with the columns STATE_NAMES."""
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

    def state(self) -> State:
        """Read the state of every row. Raises UserError if a part is damaged."""
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
            f"{self.shards.part(shard)} (or its .log) holds rows of another shard; it was copied "
            "from elsewhere, or rows_per_shard in run.json was changed; put it back as it was, or "
            "type resume=fresh"
        )

    def tidy(self) -> None:
        """Remove the temporary files of killed writes."""
        for directory in (self.run_dir, *attempts(self.run_dir), self.shards.directory):
            disk.remove_leftovers(directory)

    def repair(self, say: Callable[[str], None]) -> None:
        """Cut torn tails off logs, and remove the temporary files of killed writes."""
        self.shards.directory.mkdir(exist_ok=True)
        self.tidy()
        for shard in self.shards.found():
            if damaged := self.shards.repair(shard):
                say(
                    f"{self.shards.log(shard)} is damaged ({damaged:,} bytes); the rows there "
                    "are generated again"
                )

    def expect(self, owed: "np.ndarray") -> None:
        """Set the rows that will be appended, as a mask; seal the shards that are complete."""
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
        """Yield the owed prompts with their rows on disk, in input order; read shard by shard."""
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
        """Add finished rows; they are on disk after FLUSH_ROWS rows or FLUSH_S at most."""
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
        """Append pending rows to their shards' logs; seal the shards that are complete."""
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
                frames.sync(self.shards.log(shard))
            self._unsynced.clear()

    def parts(self) -> "Iterator[pa.Table]":
        """Yield all rows in input order, a shard at a time; every shard is sealed.

        Raises UserError if a shard does not hold exactly its own rows.
        """
        import numpy as np

        for start in range(0, self.num_rows, self.rows_per_shard):
            shard = start // self.rows_per_shard
            end = min(start + self.rows_per_shard, self.num_rows)
            rows = self.shards.read(shard)
            if not np.array_equal(rows.column("index").to_numpy(), np.arange(start, end)):
                raise self._foreign(shard)
            yield rows

    def first_results(self, count: int) -> list[Result]:
        """Return the first rows, for a preview."""
        found: list[Result] = []
        for part in self.parts():
            found += map(result_of, part.slice(0, count - len(found)).to_pylist())
            if len(found) >= count:
                break
        return found
