"""Any schedule of finished rows, flushes, kills, added samples and rows, against a plain dict."""

import os
import random
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rollout.config.settings import Settings
from rollout.rows.columns import result_of
from rollout.rows.owed import OwedRow, Wanted
from rollout.rows.prompt import Prompt
from rollout.rows.request import Completion, Sample
from rollout.rows.result import Result
from rollout.runs.resume import standing_of
from rollout.store import frames
from rollout.store import store as store_module
from rollout.store.shards import Shards
from rollout.store.store import FLUSH_ROWS, FLUSH_S, Store
from rollout.system import disk

FIELDS = (
    "index", "row", "digest", "samples", "seed", "num_prompt_tokens", "num_cached_tokens", "error",
    "num_attempts",
)  # fmt: skip
MAX_ATTEMPTS = 3
CHANCE = st.integers(0, 2**32).map(random.Random)
FATE = st.tuples(st.integers(0, 12), st.floats(0, 0.99))  # writes to survive; share written


def stored(result: Result) -> list[str]:
    """Return all stored values of a row as texts; the seed only if there are samples."""
    names = (name for name in FIELDS if name != "seed" or result.samples)
    return [repr(getattr(result, name)) for name in names]


class Killed(BaseException):
    """Raised where the process is killed."""


class Model:
    """What must be on disk, as dicts of rows: a part and the frames of a log for each shard."""

    def __init__(self) -> None:
        self.parts: dict[int, dict[int, Result]] = {}
        self.logs: dict[int, list[tuple[int, dict[int, Result]]]] = {}  # end of the frame, rows

    def of(self, shard: int) -> dict[int, Result]:
        found = dict(self.parts.get(shard, {}))
        for _, rows in self.logs.get(shard, []):
            found |= rows
        return found

    @property
    def rows(self) -> dict[int, Result]:
        return {i: r for shard in {*self.parts, *self.logs} for i, r in self.of(shard).items()}


class MortalDisk:
    """Patches rollout.system.disk to update the model, and to kill the process on request."""

    def __init__(self, model: Model, patch: pytest.MonkeyPatch):
        self.fate: tuple[int, float] | None = None
        self._num_writes = 0
        append, append_frame = Shards.append, frames.append_frame
        rename, remove = disk.rename, disk.remove

        def append_noted(shards: Shards, shard: int, results: list[Result]) -> None:
            append(shards, shard, results)
            end = shards.log(shard).stat().st_size
            model.logs.setdefault(shard, []).append((end, {r.index: r for r in results}))

        def append_torn(path: Path, payload: memoryview) -> None:
            before = path.stat().st_size if path.exists() else 0
            append_frame(path, payload)
            if self._dies():
                size = path.stat().st_size - before
                os.truncate(path, before + int(self.fate[1] * size))
                raise Killed

        def rename_noted(old: Path, new: Path) -> None:
            if self._dies():
                raise Killed
            rename(old, new)
            model.parts[int(new.stem)] = model.of(int(new.stem))

        def remove_noted(path: Path) -> None:
            if self._dies():
                raise Killed
            remove(path)
            model.logs.pop(int(path.stem), None)

        patch.setattr(Shards, "append", append_noted)
        patch.setattr(frames, "append_frame", append_torn)
        patch.setattr(disk, "rename", rename_noted)
        patch.setattr(disk, "remove", remove_noted)

    def doom(self, fate: tuple[int, float] | None) -> None:
        self.fate, self._num_writes = fate, 0

    def _dies(self) -> bool:
        self._num_writes += 1
        return self.fate is not None and self._num_writes > self.fate[0]


class Schedule(RuleBasedStateMachine):
    """One run directory and its launches; the rules are what may happen."""

    @initialize(
        num_rows=st.integers(1, 150),
        rows_per_shard=st.sampled_from([1, 4, 16, 64, 1024]),
        n=st.integers(1, 3),
    )
    def begin(self, num_rows, rows_per_shard, n):
        self.directory = Path(tempfile.mkdtemp(prefix="schedule-"))
        self.num_rows, self.rows_per_shard, self.n, self.retry = num_rows, rows_per_shard, n, False
        self.now, self.model, self.patch = 1000.0, Model(), pytest.MonkeyPatch()
        self.patch.setattr(store_module.time, "monotonic", lambda: self.now)
        for name in ("fsync", "fdatasync"):  # slow, and nothing here looks at the disk itself
            self.patch.setattr(os, name, lambda descriptor: None)
        self.disk, self.is_damaged = MortalDisk(self.model, self.patch), False
        self.launch()

    def teardown(self):
        if hasattr(self, "patch"):
            self.patch.undo()
            shutil.rmtree(self.directory)

    def launch(self):
        """Open the directory as a launch does, and compare it with the model."""
        self.last_flush = self.now
        self.store = Store(self.directory, self.num_rows, self.rows_per_shard)
        standing = self.standing()
        lines: list[str] = []
        self.store.repair(lines.append)
        assert all(" is damaged (" in line for line in lines)
        assert self.is_damaged or not lines  # what a kill leaves is no damage
        self.is_damaged = False
        assert not list(self.directory.rglob("*.tmp"))
        self.store.expect(standing.owed)
        self.standing()
        wanted = Wanted(self.n, 1, 9)
        owed = np.flatnonzero(standing.owed).tolist()
        prompts = [Prompt(i, 2 * i + 1, f"prompt {i}") for i in owed]
        rows = self.store.owed_rows(prompts, standing.state, wanted)
        self.owed: list[OwedRow] = list(rows)
        self.pending: dict[int, Result] = {}
        before = {row.prompt.index: row.before and stored(row.before) for row in self.owed}
        there = self.model.rows
        assert before == {i: stored(there[i]) if i in there else None for i in self.model_owes()}

    def standing(self):
        state, there = self.store.state(), self.model.rows
        assert np.flatnonzero(state.present).tolist() == sorted(there)
        for index, result in there.items():
            assert state.identity(index) == (result.row, result.digest)
            assert state.num_samples[index] == len(result.samples)
            assert state.num_attempts[index] == result.num_attempts
        wanted = Settings(retry_failed=self.retry)
        wanted.sampling.n_samples, wanted.data.max_attempts = self.n, MAX_ATTEMPTS
        standing = standing_of(state, wanted, [])
        assert np.flatnonzero(standing.owed).tolist() == self.model_owes()
        return standing

    def model_owes(self):
        def is_owed(result):
            if result is None:
                return True
            if result.error:
                return self.retry and result.num_attempts < MAX_ATTEMPTS
            return len(result.samples) < self.n

        there = self.model.rows
        return [index for index in range(self.num_rows) if is_owed(there.get(index))]

    # The rules.

    @precondition(lambda self: self.owed)
    @rule(count=st.integers(1, 100), chance=CHANCE, failing=st.sampled_from([0.0, 0.0, 0.3]))
    def rows_finish_in_any_order(self, count, chance, failing):
        chance.shuffle(self.owed)
        rows, self.owed = self.owed[:count], self.owed[count:]
        results = [answer(row, chance, failing) for row in rows]
        self.pending |= {result.index: result for result in results}
        self.store.append(results)
        if len(self.pending) >= FLUSH_ROWS or self.now - self.last_flush >= FLUSH_S:
            self.all_is_flushed()

    @rule(seconds=st.sampled_from([0.1, 0.9, 1.0, 50.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def flush(self):
        self.store.flush()
        self.all_is_flushed()

    def all_is_flushed(self):
        there = self.model.rows
        assert all(there[index] is result for index, result in self.pending.items())
        self.pending, self.last_flush = {}, self.now

    @rule(
        fate=FATE, chance=CHANCE, opening=st.none() | FATE, more_rows=st.sampled_from([0, 0, 1, 9]),
        more_samples=st.sampled_from([0, 0, 1]), retry=st.booleans(),
    )  # fmt: skip
    def a_kill_and_another_launch(self, fate, chance, opening, more_rows, more_samples, retry):
        """Kill it while it writes, then perhaps while it opens the directory again."""
        self.disk.doom(fate)
        try:
            self.rows_finish_in_any_order(chance.randint(1, 100), chance, 0.1)
            self.store.flush()
        except Killed:
            pass
        self.damage(chance)
        self.num_rows += more_rows
        self.n += more_samples
        self.retry = retry
        self.disk.doom(opening)
        try:
            self.launch()
        except Killed:
            self.disk.doom(None)
            self.damage(chance)
            self.launch()
        self.disk.doom(None)

    def damage(self, chance):
        """Damage logs and temporary files as a kill or a crash of the machine may do."""
        shards = self.directory / "shards"
        for path in sorted(shards.glob("*.log")):
            whole = self.model.logs.get(int(path.stem), [])
            if chance.random() < 0.3:
                size = chance.randint(0, path.stat().st_size)
                os.truncate(path, size)
                whole[:] = [(end, rows) for end, rows in whole if end <= size]
            if whole and chance.random() < 0.2:  # the last frame, written but not all there
                end, _ = whole.pop()
                at = chance.randrange(whole[-1][0] if whole else 0, end)
                data = bytearray(path.read_bytes())
                data[at] ^= 1 << chance.randrange(8)
                path.write_bytes(data)
                self.is_damaged = True
            if chance.random() < 0.3:
                with path.open("ab") as log:
                    log.write(chance.choice([b"", frames.MAGIC]) + chance.randbytes(40))
                self.is_damaged = True
        if chance.random() < 0.3:
            (shards / ".00000000.parquet.77.tmp").write_bytes(b"half")
            (self.directory / ".run.json.77.tmp").write_bytes(b"half")

    @rule(chance=CHANCE)
    def all_rows_finish(self, chance):
        """Check that every row is there once, in input order, as last written."""
        while self.owed:
            self.rows_finish_in_any_order(50, chance, 0.1)
        self.flush()
        rows = [result_of(record) for part in self.store.parts() for record in part.to_pylist()]
        assert [row.index for row in rows] == list(range(self.num_rows))
        there = self.model.rows
        assert [stored(row) for row in rows] == [stored(there[i]) for i in range(self.num_rows)]
        names = sorted(path.name for path in (self.directory / "shards").iterdir())
        num_shards = -(-self.num_rows // self.rows_per_shard)
        assert names == [f"{shard:08d}.parquet" for shard in range(num_shards)]


def answer(row: OwedRow, chance: random.Random, failing: float) -> Result:
    """Return a result that an engine might give for a row."""
    if chance.random() < failing:
        return row.result([], f"failed {chance.random()}")
    completions = []
    for request in row.requests():
        samples = [
            Sample(
                f"{row.prompt.index}.{request.sample_index + i} {chance.random()} é\0",
                chance.choice(["stop", "length"]),
                i + 1,
                chance.choice([None, "</s>"]),
                [7] * (i + 1),
                chance.choice([None, -1.5]),
            )
            for i in range(request.n_samples)
        ]
        completions.append(Completion(request, samples, [1, 2, 3], chance.choice([None, 2])))
    return row.result(completions)


def test_flushed_rows_are_never_lost_and_each_row_is_published_once():
    run_state_machine_as_test(
        Schedule,
        settings=settings(
            max_examples=60,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.generate, Phase.shrink),
        ),
    )
