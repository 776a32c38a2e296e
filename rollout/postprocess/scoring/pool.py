"""The pool of worker processes that mark responses.

Guarantees: marks come in the order of the items; the items read ahead are bounded; only an item
that exceeds its time limit or ends its worker gets a mark without a score; workers are restarted
only after a death, and none is left behind. Runs in the caller's thread. Must not know what a
scorer does or where rows come from.
"""

import os
import pickle
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import wait
from typing import Any

from rollout.config.sections.postprocess import Postprocess
from rollout.errors import RolloutError, UserError
from rollout.postprocess.scoring.process import Chunk, Lot, Worker
from rollout.postprocess.scoring.scorers import Mark, Verdict

POLL_S = 0.05
CHUNK_S = 0.25  # target duration of a chunk
MAX_CHUNK_ITEMS = 2048
MAX_CHUNK_BYTES = 1 << 20
AHEAD_BYTES = 64 << 20  # responses read ahead of the oldest one not yet marked
AHEAD_LOTS = 64
CLEANUP_S = 10.0
START_S = 300.0  # importing sympy from a cold disk may take a minute
SLOW_START = f"a worker did not start within {START_S:.0f} s; type the same command again"
GARBLED = "the scorer wrote to the pipe that carries its scores"
MAX_LOST = 3
MAX_IDLE_LOST = 20  # workers that died while idle, since the last mark


class Pool:
    """`num_workers` processes with the scorer loaded. Use it in a `with` block."""

    def __init__(
        self, settings: Postprocess, num_workers: int, poll: Callable[[], None] = lambda: None
    ):
        self._settings, self._num_workers, self._poll = settings, num_workers, poll
        # For scorer=code the worker ends programs itself and reports which tests they passed.
        self._limit_s = settings.timeout_s + (CLEANUP_S if settings.scorer == "code" else 0)
        self._workers: list[Worker] = []
        self._todo: deque[Chunk] = deque()
        self._item_s = CHUNK_S  # one item at first, so that all workers share a small file
        self._starts_lost = self._idle_lost = 0
        # A worker that is killed can't remove its temporary files.
        self._scratch = tempfile.TemporaryDirectory(prefix="rollout-", ignore_cleanup_errors=True)

    def __enter__(self) -> "Pool":
        """Start the first worker, which loads the scorer. Raises UserError if it can't."""
        try:
            while not any(worker.is_ready for worker in self._workers):
                if not self._workers:
                    self._start()
                self._step(POLL_S)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *exception: Any) -> None:
        self._close()

    def marked(self, lots: Iterable[Lot]) -> Iterator[Lot]:
        """Yield the lots in order, each with a mark for every item."""
        lots, held = iter(lots), deque()
        has_more, num_bytes = True, 0
        while held or has_more:
            while has_more and len(held) < AHEAD_LOTS and num_bytes < AHEAD_BYTES:
                if len(self._todo) > 2 * self._num_workers:  # enough to do: read later
                    break
                lot = next(lots, None)
                has_more = lot is not None
                if lot is not None:
                    held.append(lot)
                    num_bytes += lot.num_bytes
                    if lot.items:
                        self._todo.append(Chunk(lot, 0, len(lot.items)))
                self._step(0)
            if held and not held[0].num_open:
                lot = held.popleft()
                num_bytes -= lot.num_bytes
                yield lot
                continue
            if held:
                self._step(POLL_S)

    def _step(self, timeout_s: float) -> None:
        """Hand out work, receive marks and end stuck workers."""
        self._poll()
        for worker in list(self._workers):
            if worker.chunk is None and worker.is_ready and self._todo:
                worker.assign(self._next_chunk())
        if self._todo and len(self._workers) < self._num_workers:
            self._start()
        connections = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(connections), timeout_s):
            self._receive(connections[connection])
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.has_ended() and not worker.connection.poll():
                self._lost(worker, None)
                continue
            position = worker.position()
            _, since = position
            if worker.is_ready and worker.chunk and since and now - since > self._limit_s:
                # It may have finished in the meantime.
                while worker.connection.poll():
                    if not self._receive(worker):
                        break
                else:
                    if worker.position() == position:
                        self._lost(
                            worker, f"took longer than timeout_s={self._settings.timeout_s:g}"
                        )
            elif not worker.is_ready and now - worker.started_at > START_S:
                raise RolloutError(SLOW_START)

    def _start(self) -> None:
        try:
            self._workers.append(Worker(self._settings, self._scratch.name))
        except OSError as error:
            enough = len(self._workers) or 1
            raise RolloutError(
                f"a worker can't be started ({error.strerror}); type workers={enough}"
            ) from error

    def _next_chunk(self) -> Chunk:
        """Take about CHUNK_S of the oldest work."""
        chunk = self._todo.popleft()
        most = max(1, min(MAX_CHUNK_ITEMS, int(CHUNK_S / self._item_s)))
        stop, num_bytes = chunk.start, 0
        while stop < min(chunk.stop, chunk.start + most) and num_bytes < MAX_CHUNK_BYTES:
            num_bytes += len(chunk.lot.items[stop][0].text)
            stop += 1
        if stop < chunk.stop:
            self._todo.appendleft(Chunk(chunk.lot, stop, chunk.stop, chunk.num_lost))
        return Chunk(chunk.lot, chunk.start, stop, chunk.num_lost)

    def _receive(self, worker: Worker) -> bool:
        """Take what a worker sent, if anything; return False if the worker is lost."""
        try:
            if not worker.connection.poll():
                return True
            received = worker.connection.recv_bytes()
        except (EOFError, OSError):
            self._lost(worker, None)
            return False
        try:
            received = pickle.loads(received)
        except Exception:  # not a message of the worker
            self._lost(worker, GARBLED)
            return False
        if not worker.is_ready:
            if received is not None:
                raise UserError(received)
            worker.is_ready = True
            self._starts_lost = 0
            return True
        chunk = worker.chunk
        is_list = chunk is not None and isinstance(received, list)
        if not is_list or len(received) > chunk.stop - chunk.start:
            self._lost(worker, GARBLED)
            return False
        num_marks = len(received)
        chunk.lot.marks[chunk.start : chunk.start + num_marks] = received
        chunk.lot.num_open -= num_marks
        chunk.start += num_marks
        worker.num_received += num_marks
        self._idle_lost = 0
        if chunk.start == chunk.stop:
            took_s = (time.monotonic() - worker.assigned_at) / max(1, worker.num_received)
            self._item_s = max(1e-6, took_s, self._item_s / 4)
            worker.chunk = None
        return True

    def _lost(self, worker: Worker, reason: str | None) -> None:
        """End a worker; its current item gets `reason`, or how it died; the rest is requeued."""
        at, since = worker.position()
        self._workers.remove(worker)
        death = worker.end()
        chunk = worker.chunk
        if chunk is None and worker.is_ready:  # something an earlier item left behind ended it
            self._idle_lost += 1
            if self._idle_lost <= MAX_IDLE_LOST:
                return
        if chunk is None:
            self._starts_lost += 1
            if max(self._starts_lost, self._idle_lost - MAX_IDLE_LOST) > MAX_LOST:
                hint = f"is memory_gib={self._settings.memory_gib:g} enough?"
                if function := self._settings.python.function:
                    hint += f" Or does importing {function.rpartition(':')[0]} end the process?"
                raise RolloutError(
                    f"scorer={self._settings.scorer}: workers die while they start ({death}); "
                    f"{hint}"
                )
            return
        if reason == GARBLED and chunk.stop - chunk.start > 1:  # single items find the cause
            alone = [Chunk(chunk.lot, i, i + 1) for i in range(chunk.start, chunk.stop)]
            self._todo.extendleft(reversed(alone))
            return
        if reason is None and not since and chunk.num_lost < MAX_LOST:  # between two items
            chunk.num_lost += 1
            self._todo.appendleft(chunk)
            return
        blamed = min(max(worker.offset + at, chunk.start), chunk.stop - 1)
        chunk.lot.marks[blamed] = Mark(
            None, None, reason or f"its worker died: {death}", verdict=Verdict.error
        )
        chunk.lot.num_open -= 1
        # Items that hang come in clusters, such as a row's samples, so all workers share the rest.
        step = -(-(chunk.stop - blamed) // self._num_workers)
        rest = [Chunk(chunk.lot, chunk.start, blamed)] if chunk.start < blamed else []
        for start in range(blamed + 1, chunk.stop, step):
            rest.append(Chunk(chunk.lot, start, min(start + step, chunk.stop)))
        self._todo.extendleft(reversed(rest))

    def _close(self) -> None:
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.end()
        self._scratch.cleanup()


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
