"""One worker process as the pool sees it: start it, assign it a chunk, end it and its children.

Never forks the caller, which may hold a loaded engine and threads. Must not know about the
schedule.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Pipe
from typing import Any

from rollout.config.sections.postprocess import Postprocess
from rollout.postprocess.scoring.scorers import Mark, Response
from rollout.postprocess.scoring.worker import PIPE_CLOSED, POSITION, command

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # one core each
Item = tuple[Response, dict[str, Any]]  # a response, and its row's columns


@dataclass(slots=True, eq=False)
class Lot:
    """Items that belong together, such as those of a batch, and their marks so far."""

    label: Any
    items: list[Item]
    num_bytes: int
    marks: list[Mark | None] = field(init=False)
    num_open: int = field(init=False)

    def __post_init__(self) -> None:
        self.marks = [None] * len(self.items)
        self.num_open = len(self.items)


@dataclass(slots=True)
class Chunk:
    """Items `start` to `stop` (exclusive) of a lot, for one worker."""

    lot: Lot
    start: int
    stop: int
    num_lost: int = 0  # workers that died with it between two items


class Worker:
    """A worker process. The caller ends it with `end`."""

    def __init__(self, settings: Postprocess, scratch: str):
        self.connection, theirs = Pipe()
        self._position = tempfile.TemporaryFile(prefix="rollout-")  # noqa: SIM115
        self._position.write(bytes(POSITION.size))
        self._position.flush()
        descriptors = (theirs.fileno(), self._position.fileno())
        try:
            self._process = subprocess.Popen(
                command(*descriptors),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,
                env=os.environ | ENVIRONMENT | {"TMPDIR": scratch},
            )
        except BaseException:
            self._position.close()
            self.connection.close()
            raise
        finally:
            theirs.close()
        self.is_ready = False
        self.chunk: Chunk | None = None
        self.offset = 0  # the chunk's first item in its lot when it was assigned
        self.num_received = 0  # marks of the chunk
        self.started_at = self.assigned_at = time.monotonic()
        with contextlib.suppress(OSError):
            self.connection.send(settings)

    def assign(self, chunk: Chunk) -> None:
        """Send a chunk to the worker."""
        self.chunk, self.offset, self.num_received = chunk, chunk.start, 0
        self.assigned_at = time.monotonic()
        with contextlib.suppress(OSError):  # it is dead, which the pool will see
            self.connection.send_bytes(pickle.dumps(chunk.lot.items[chunk.start : chunk.stop]))

    def position(self) -> tuple[int, float]:
        """Return the index of its current item in the chunk, and since when; 0: between items."""
        return POSITION.unpack(os.pread(self._position.fileno(), POSITION.size, 0))

    def has_ended(self) -> bool:
        """Return whether the process has ended; a fork of it may still hold the pipe open."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self._process.pid, how) is not None
        except ChildProcessError:
            return True

    def end(self) -> str:
        """Kill it and all its descendants; return how it ended, if it ended by itself."""
        waited_s = 1.0 if not self.has_ended() and _is_closing(self.connection) else 0.0
        until = time.monotonic() + waited_s
        while not self.has_ended() and time.monotonic() < until:
            time.sleep(0.01)
        by_itself, pid = self.has_ended(), self._process.pid
        if not by_itself:
            _kill_tree(pid)
        with contextlib.suppress(OSError):  # its children; until waited for, its id is not reused
            os.killpg(pid, signal.SIGKILL)
        code = self._process.wait()
        self.connection.close()
        self._position.close()
        if not by_itself:
            return "it was killed"
        if code == PIPE_CLOSED:
            return "the scorer closed the pipe that carries its scores"
        if code < 0:
            hint = " (out of memory?)" if -code == signal.SIGKILL else ""
            with contextlib.suppress(ValueError):
                return signal.Signals(-code).name + hint
        return f"exit code {code}"


def _is_closing(connection: Any) -> bool:
    """Return whether the other end is closed, so the process is about to end."""
    try:
        return connection.poll() and connection.recv_bytes() is None
    except (EOFError, OSError):
        return True


def _kill_tree(pid: int) -> None:
    """Kill a process and its descendants, after suspending it so that it starts no more."""
    import psutil

    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        process.suspend()
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
        process.kill()
