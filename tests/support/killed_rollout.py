"""`python -m rollout` that ends itself with SIGKILL at its K-th write, and keeps a journal.

    DRILL_DIR      only writes under this directory count
    DRILL_AT       K, from 1; unset: it runs to its end
    DRILL_JOURNAL  file of lines: `write K WHAT` before each write, `rows I J ...` after each step
                   of the engine that finished rows; after a kill it holds everything written

Every change of a name (open for writing, rename, link, mkdir, remove) is a boundary, which an audit
hook sees before it happens. So are the pieces of a frame and of a file written whole, which the
hook cannot see. The code under test is the real one: only rollout.system.disk and the driver are
wrapped here, and their behavior is unchanged.
"""

import functools
import os
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
NAMES = {"os.rename": 2, "os.link": 2, "os.mkdir": 1, "os.rmdir": 1, "os.remove": 1,
         "os.truncate": 1}  # fmt: skip


class Journal:
    """An unbuffered file: what was written before a SIGKILL is there after it."""

    def __init__(self, path: str):
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())


class Boundaries:
    """Counts writes, and ends the process at one of them."""

    def __init__(self, directory: str, kill_at: int, journal: Journal):
        self._directory, self._kill_at, self._journal = directory, kill_at, journal
        self._count = 0

    def reached(self, what: str, spoil: Callable[[], object] = lambda: None) -> None:
        """Count one more; if it is the chosen one, `spoil` the last write and die."""
        self._count += 1
        self._journal.write(f"write {self._count} {what}")
        if self._count == self._kill_at:
            spoil()
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, args: tuple) -> None:
        """Count an event for sys.addaudithook, which calls this before the event happens."""
        if event == "open":
            if isinstance(args[2], int) and args[2] & WRITING and self._is_ours(args[0]):
                self.reached(f"open {self._short(args[0])}")
        elif event in NAMES and self._is_ours(args[NAMES[event] - 1]):
            self.reached(f"{event.removeprefix('os.')} {self._short(args[NAMES[event] - 1])}")

    def _is_ours(self, path: object) -> bool:
        is_path = isinstance(path, str | bytes | os.PathLike)
        # Not Path.resolve, which reads the disk and would be audited itself.
        full = is_path and os.path.abspath(os.fsdecode(path))  # noqa: PTH100
        return bool(full) and full.startswith(self._directory)

    def _short(self, path: str | bytes | os.PathLike) -> str:
        return os.path.relpath(os.fsdecode(path), self._directory)


def wrap_disk(boundaries: Boundaries) -> None:
    """Make boundaries inside a frame, and inside a file written whole."""
    from rollout.store import frames
    from rollout.system import disk

    append_frame, written_whole = frames.append_frame, disk.atomic_write

    @functools.wraps(append_frame)
    def append_torn(path: Path, payload: memoryview) -> None:
        before = path.stat().st_size if path.exists() else 0
        append_frame(path, payload)
        size = path.stat().st_size - before
        for part in sorted({0, 1, frames.FRAME.size, size // 2, size - 1}):
            cut = functools.partial(os.truncate, path, before + part)
            boundaries.reached(f"frame torn at {part} of {size} bytes in {path.name}", cut)
        boundaries.reached(f"frame whole in {path.name}")

    @contextmanager
    @functools.wraps(written_whole)
    def written_half(path: Path, *rest, **more):
        with written_whole(path, *rest, **more) as temporary:
            yield temporary
            half = functools.partial(os.truncate, temporary, temporary.stat().st_size // 2)
            boundaries.reached(f"half of {path.name}", half)

    frames.append_frame, disk.atomic_write = append_torn, written_half


def wrap_driver(journal: Journal) -> None:
    """Record the rows that each step of the engine finished."""
    from rollout.engines.flight import Flight

    step = Flight.step

    def noted_step(self):
        finished = step(self)
        if finished:
            journal.write("rows " + " ".join(str(result.index) for result in finished))
        return finished

    Flight.step = noted_step


def main() -> None:
    journal = Journal(os.environ["DRILL_JOURNAL"])
    directory = os.path.realpath(os.environ["DRILL_DIR"])
    boundaries = Boundaries(directory, int(os.environ.get("DRILL_AT", "0")), journal)
    assert "rollout.run" not in sys.modules, "it would keep the functions that are not wrapped"
    wrap_disk(boundaries)
    wrap_driver(journal)
    sys.addaudithook(boundaries.audit)
    from rollout.__main__ import main as rollout_main

    try:
        rollout_main()
    finally:
        boundaries.reached("the end")


if __name__ == "__main__":
    main()
