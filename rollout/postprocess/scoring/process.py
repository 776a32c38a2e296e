"""One worker process as the pool sees it: started apart, given a chunk, ended with all it started.

Never a fork of the caller, which may hold a loaded engine and threads. Must not know a schedule.
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
from rollout.postprocess.scoring.worker import AT, CUT_OFF, command

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # one core each
Item = tuple[Response, dict[str, Any]]  # a response, and its row's columns


@dataclass(slots=True, eq=False)
class Lot:
    """Items that came together, such as a batch's, and their marks as they become known."""

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
    """Items of a lot from `start` up to `stop`, for one worker."""

    lot: Lot
    start: int
    stop: int
    num_lost: int = 0  # workers that died with it between two items


class Worker:
    """One process, seen from the pool."""

    def __init__(self, settings: Postprocess, scratch: str):
        self.connection, theirs = Pipe()
        self._place = tempfile.TemporaryFile(prefix="rollout-")  # noqa: SIM115
        self._place.write(bytes(AT.size))
        self._place.flush()
        descriptors = (theirs.fileno(), self._place.fileno())
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
            self._place.close()
            self.connection.close()
            raise
        finally:
            theirs.close()
        self.is_ready = False
        self.chunk: Chunk | None = None
        self.offset = 0  # the chunk's first item in its lot, as it was given
        self.num_heard = 0
        self.started = self.given = time.monotonic()
        with contextlib.suppress(OSError):
            self.connection.send(settings)

    def give(self, chunk: Chunk) -> None:
        """Have it mark a chunk."""
        self.chunk, self.offset, self.num_heard = chunk, chunk.start, 0
        self.given = time.monotonic()
        with contextlib.suppress(OSError):  # it is dead; its closed pipe says so
            self.connection.send_bytes(pickle.dumps(chunk.lot.items[chunk.start : chunk.stop]))

    def at(self) -> tuple[int, float]:
        """Which item of its chunk it is at, and since when; 0: at none."""
        return AT.unpack(os.pread(self._place.fileno(), AT.size, 0))

    def has_ended(self) -> bool:
        """Whether it is gone, which its pipe does not tell where a fork of it holds that open."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self._process.pid, how) is not None
        except ChildProcessError:
            return True

    def end(self) -> str:
        """Kill it and all it started, and say how it ended where it ended by itself."""
        waited_s = 1.0 if not self.has_ended() and _is_closing(self.connection) else 0.0
        until = time.monotonic() + waited_s
        while not self.has_ended() and time.monotonic() < until:
            time.sleep(0.01)
        by_itself, pid = self.has_ended(), self._process.pid
        if not by_itself:
            _kill_tree(pid)
        with contextlib.suppress(OSError):  # what it left; not waited for, its number is its own
            os.killpg(pid, signal.SIGKILL)
        code = self._process.wait()
        self.connection.close()
        self._place.close()
        if not by_itself:
            return "it was ended"
        if code == CUT_OFF:
            return "the scorer closed the pipe that its scores go through"
        if code < 0:
            hint = " (was memory short?)" if -code == signal.SIGKILL else ""
            with contextlib.suppress(ValueError):
                return signal.Signals(-code).name + hint
        return f"exit code {code}"


def _is_closing(connection: Any) -> bool:
    """Whether the other end is closed, so that the process is about to be gone."""
    try:
        return connection.poll() and connection.recv_bytes() is None
    except (EOFError, OSError):
        return True


def _kill_tree(pid: int) -> None:
    """Kill a process and its descendants; stopped first, so that it starts no more."""
    import psutil

    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        process.suspend()
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
        process.kill()
