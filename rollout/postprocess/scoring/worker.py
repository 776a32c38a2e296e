"""The worker process: mark one response after another until the pipe closes.

Guarantees: the worker is never a fork of the caller (which may hold a loaded engine and threads)
and dies with it. It records in shared memory its current response and since when, so that the
caller can end it and blame that response. Its output is discarded.
"""

import contextlib
import json
import math
import mmap
import os
import pickle
import signal
import struct
import sys
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rollout.errors import UserError
from rollout.postprocess.scoring.scorers import (
    Mark,
    Response,
    Scorer,
    Unscorable,
    Verdict,
    error_text,
    load_scorer,
)

FLUSH_S = 0.05  # marks are sent this often, so a death repeats little work
MAX_ERROR = 500  # characters kept of an error
MAX_TRACE = 20_000  # characters kept of a traceback
MAX_FRAMES = 20
HERE = Path(__file__).parent
POSITION = struct.Struct("qd")  # current item, since when (monotonic seconds; 0: between items)
PR_SET_PDEATHSIG = 1
PIPE_CLOSED = 97  # exit code of a worker whose pipe the scorer has closed


def command(pipe: int, position: int) -> list[str]:
    """Return the command of a worker with these inherited descriptors and this import path."""
    code = (
        "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
        "from rollout.postprocess.scoring.worker import main; main(*map(int, sys.argv[2:]))"
    )
    path = json.dumps([entry or str(os.getcwd()) for entry in sys.path])  # noqa: PTH109
    return [sys.executable, "-c", code, path, str(pipe), str(position), str(os.getpid())]


def main(pipe: int, position: int, parent: int) -> None:
    """Load the scorer, then send the marks of each received list of (response, row), in order."""
    die_with(parent)
    # In its own session it gets no Ctrl-C; a SIGTERM to the whole container ends it by default.
    connection, at = Connection(pipe), mmap.mmap(position, POSITION.size)
    os.close(position)
    try:
        own, settings = os.getpid(), connection.recv()
        limit_memory(settings.memory_gib)
        try:
            score = load_scorer(settings)
        except UserError as error:
            connection.send(str(error))
            return
        if os.getpid() != own:  # a fork made while the scorer was loaded
            os._exit(0)
        connection.send(None)
        while True:
            mark_all(score, connection.recv(), connection, at)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def mark_all(
    score: Scorer,
    items: list[tuple[Response, dict[str, Any]]],
    connection: Connection,
    at: mmap.mmap,
) -> None:
    """Send the marks of these items in order, in several messages."""
    marks, flushed = [], time.monotonic()
    identity = _identity(connection)
    for number, (response, row) in enumerate(items):
        now = time.monotonic()
        if now - flushed > FLUSH_S and marks:
            connection.send_bytes(pickle.dumps(marks))
            marks, flushed = [], now
        POSITION.pack_into(at, 0, number, now)
        marks.append(mark(score, response, row))
        if os.getpid() != identity[0]:  # a fork by the scorer, which would send marks twice
            os._exit(0)
        if _identity(connection) != identity:
            os._exit(PIPE_CLOSED)
        POSITION.pack_into(at, 0, number, 0.0)
    connection.send_bytes(pickle.dumps(marks))


def _identity(connection: Connection) -> tuple[int, ...]:
    """Return the ids of this process and of its pipe, which a scorer may close or reuse."""
    try:
        found = os.fstat(connection.fileno())
    except OSError:
        return (os.getpid(),)
    return os.getpid(), found.st_dev, found.st_ino


def mark(score: Scorer, response: Response, row: dict[str, Any]) -> Mark:
    """Return the scorer's mark, or why there is none; no exception of a scorer ends the worker."""
    try:
        found = score(response, row)
        if found.score is not None and not math.isfinite(found.score):
            raise ValueError(f"the score is {found.score}, not a finite number")
        return found._replace(
            extracted=_clean(found.extracted),
            error=_clean(found.error, MAX_ERROR),
            compared=_clean(found.compared),
            trace=_clean(found.trace, MAX_TRACE),
        )
    except Unscorable as reason:
        return Mark(None, None, _clean(str(reason), MAX_ERROR), verdict=Verdict.unjudged)
    except BaseException as error:  # including SystemExit and KeyboardInterrupt
        return _failed(error)


def _failed(error: BaseException) -> Mark:
    """Return the mark of a response on which the scorer raised."""
    reason = error_text(error, MAX_ERROR)
    if isinstance(error, MemoryError):
        reason = "MemoryError: more than memory_gib was needed"
    try:
        trace = _trace(error)
    except BaseException:  # its __str__ may do anything
        trace = reason
    return Mark(
        None, None, _clean(reason, MAX_ERROR), None, Verdict.error, _clean(trace, MAX_TRACE)
    )


def _trace(error: BaseException) -> str:
    """Return the traceback without our frames above the user's, if it has frames of the user."""
    frames = list(traceback.walk_tb(error.__traceback__))
    ours = [HERE in Path(frame.f_code.co_filename).parents for frame, _ in frames]
    num_ours = next((i for i, is_ours in enumerate(ours) if not is_ours), 0)
    limit = -min(MAX_FRAMES, len(frames) - num_ours)
    return "".join(traceback.format_exception(error, limit=limit))


def _clean(text: str | None, most: int | None = None) -> str | None:
    """Return text that a file can hold; JSON and users' functions may yield lone surrogates."""
    if text is None:
        return None
    return str.encode(str.__getitem__(text, slice(most)), errors="replace").decode()


def die_with(parent: int) -> None:
    """Have this process killed when the parent ends, in whatever way. Linux only."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has already ended
        os._exit(1)


def limit_memory(gib: float) -> None:
    """Limit this process's memory, so that exceeding it is a MemoryError here only."""
    import resource

    size = int(gib * 2**30)
    with contextlib.suppress(ValueError, OSError):
        # Only data: libraries reserve address space that they never use.
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
