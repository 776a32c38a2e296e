"""A worker: a process that marks one response after another until its pipe closes.

Promises: it is never a fork of the caller (which may hold a loaded engine and threads), it dies
with the caller, and it says in shared memory which response it is at and since when, so that the
caller can end it and knows whose fault that was. What is printed in it is thrown away.
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
    load_scorer,
    told,
)

FLUSH_S = 0.05  # marks are sent at least so often: little is marked twice after a death
MAX_ERROR = 500  # characters kept of an error
MAX_TRACE = 20_000  # and of its traceback
MAX_FRAMES = 20
HERE = Path(__file__).parent
AT = struct.Struct("qd")  # the item it is at, and since when (monotonic seconds; 0: at none)
PR_SET_PDEATHSIG = 1
CUT_OFF = 97  # the exit code of a worker whose pipe the scorer has closed


def command(pipe: int, place: int) -> list[str]:
    """What starts a worker with these inherited descriptors, and this process's import path."""
    code = (
        "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
        "from rollout.postprocess.scoring.worker import main; main(*map(int, sys.argv[2:]))"
    )
    path = json.dumps([entry or str(os.getcwd()) for entry in sys.path])  # noqa: PTH109
    return [sys.executable, "-c", code, path, str(pipe), str(place), str(os.getpid())]


def main(pipe: int, place: int, parent: int) -> None:
    """Load the scorer, then answer each list of (response, row) with marks, in order."""
    die_with(parent)
    # In a session of its own it gets no Ctrl-C; SIGTERM to a whole container ends it by default.
    connection, at = Connection(pipe), mmap.mmap(place, AT.size)
    os.close(place)
    try:
        own, settings = os.getpid(), connection.recv()
        limit_memory(settings.memory_gib)
        try:
            score = load_scorer(settings)
        except UserError as error:
            connection.send(str(error))
            return
        if os.getpid() != own:  # a fork that the scorer made as it was loaded
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
    """Send the marks of these items in pieces, in order."""
    marks, flushed = [], time.monotonic()
    here = _place(connection)
    for number, (response, row) in enumerate(items):
        now = time.monotonic()
        if now - flushed > FLUSH_S and marks:
            connection.send_bytes(pickle.dumps(marks))
            marks, flushed = [], now
        AT.pack_into(at, 0, number, now)
        marks.append(mark(score, response, row))
        if os.getpid() != here[0]:  # a fork of the scorer's: its mark would come twice
            os._exit(0)
        if _place(connection) != here:
            os._exit(CUT_OFF)
        AT.pack_into(at, 0, number, 0.0)
    connection.send_bytes(pickle.dumps(marks))


def _place(connection: Connection) -> tuple[int, ...]:
    """This process, and which pipe its marks go through: a scorer may close or reuse it."""
    try:
        found = os.fstat(connection.fileno())
    except OSError:
        return (os.getpid(),)
    return os.getpid(), found.st_dev, found.st_ino


def mark(score: Scorer, response: Response, row: dict[str, Any]) -> Mark:
    """The scorer's mark, or why there is none. Nothing a scorer raises ends the worker."""
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
    except BaseException as error:  # sys.exit() and KeyboardInterrupt, too
        return _failed(error)


def _failed(error: BaseException) -> Mark:
    """The mark of a response on which the scorer raised."""
    reason = told(error, MAX_ERROR)
    if isinstance(error, MemoryError):
        reason = "MemoryError: it took more than memory_gib"
    try:
        trace = _trace(error)
    except BaseException:  # its own __str__ may do anything
        trace = reason
    return Mark(
        None, None, _clean(reason, MAX_ERROR), None, Verdict.error, _clean(trace, MAX_TRACE)
    )


def _trace(error: BaseException) -> str:
    """The traceback without our own frames above the user's, where there are any of the user's."""
    frames = list(traceback.walk_tb(error.__traceback__))
    ours = [HERE in Path(frame.f_code.co_filename).parents for frame, _ in frames]
    num_ours = next((i for i, is_ours in enumerate(ours) if not is_ours), 0)
    limit = -min(MAX_FRAMES, len(frames) - num_ours)
    return "".join(traceback.format_exception(error, limit=limit))


def _clean(text: str | None, most: int | None = None) -> str | None:
    """Plain text that a file can hold: JSON and user's functions make lone surrogates."""
    if text is None:
        return None
    return str.encode(str.__getitem__(text, slice(most)), errors="replace").decode()


def die_with(parent: int) -> None:
    """Be killed when the parent is gone, however it went. Linux only."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before
        os._exit(1)


def limit_memory(gib: float) -> None:
    """Turn a blow-up into a MemoryError of this process alone."""
    import resource

    size = int(gib * 2**30)
    with contextlib.suppress(ValueError, OSError):
        # Data alone: libraries reserve address space that they never touch.
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
