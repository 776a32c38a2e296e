"""Lock a run directory, so that only one process runs in it.

Uses `flock` on `.rollout.lock`, which the kernel releases when the holder dies; the file names the
holder. NFS supports `flock`. Some cluster file systems refuse it: there only the file's text
counts, for processes of this machine.
"""

import errno
import json
import os
import platform
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rollout.errors import UserError
from rollout.system.disk import read_json

NAME = ".rollout.lock"
PROCESSES = Path("/proc")
ENDED = "ended"
START = '{"pid": '  # the beginning of a holder's text
PATIENCE_S = 10.0  # the engine processes of a killed launch share its lock until they end
NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def held(run_dir: Path, say: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Hold the lock during the block.

    Raises UserError if another launch holds it, naming that, or if the file of that name is not a
    lock. The lock of a dead process is taken over.
    """
    with _opened(run_dir) as file:
        if not _lock(file):
            holder = _holder(file)
            if holder and not _is_alive(holder):
                say(f"process {holder['pid']} has died; waiting for its engine to end ...")
            end = time.monotonic() + PATIENCE_S
            while not _lock(file):
                holder = _holder(file)
                # A holder without a name is about to write it, or to release the lock.
                if (holder and _is_alive(holder)) or time.monotonic() > end:
                    raise UserError(_refusal(run_dir, holder))
                time.sleep(0.2)
        if not _is_lock(file):
            raise _not_ours(run_dir)
        file.seek(0)
        file.truncate()
        holder = {
            "pid": os.getpid(),
            "host": platform.node(),
            "started": time.strftime("%Y-%m-%d %H:%M:%S"),
            "ticks": _ticks(os.getpid()),
        }
        file.write(json.dumps(holder) + "\n")
        file.flush()
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that a lock names."""

    pid: int
    host: str
    is_here: bool  # on this machine
    is_alive: bool  # may be running; of one on another machine nobody here knows


def holder_of(run_dir: Path) -> Holder | None:
    """Return the launch that has the directory open by the lock's text; take and write nothing.

    None if the lock was released, never taken, or is unreadable.
    """
    found = _as_holder(read_json(run_dir / NAME))
    if found is None:
        return None
    host = str(found.get("host"))
    return Holder(found["pid"], host, host == platform.node(), _is_alive(found))


def _opened(run_dir: Path) -> TextIO:
    """Open or create the lock file. Refuse a link, or anything but a regular file."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(run_dir / NAME, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR):
            raise _not_ours(run_dir) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_ours(run_dir)
    return os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace")


def _is_lock(file: TextIO) -> bool:
    """Whether the file holds a launch's text, which may be cut off."""
    file.seek(0)
    return START.startswith(file.read(len(START)).rstrip("\0"))


def _not_ours(run_dir: Path) -> UserError:
    return UserError(
        f"run_dir={run_dir} has a {NAME} that rollout did not create; move it elsewhere, or type "
        "another run_dir="
    )


def _lock(file: Any) -> bool:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_FLOCK:
            raise
        holder = _holder(file)
        return holder is None or not _is_alive(holder)
    return True


def _holder(file: Any) -> dict[str, Any] | None:
    """Return the holder; None if nothing readable is written yet."""
    file.seek(0)
    try:
        found = json.loads(file.read())
    except (ValueError, RecursionError):
        return None
    return _as_holder(found)


def _as_holder(found: Any) -> dict[str, Any] | None:
    return found if isinstance(found, dict) and isinstance(found.get("pid"), int) else None


def _is_alive(holder: dict[str, Any]) -> bool:
    """Whether the holder's process may be running. One on another machine may be."""
    if holder.get("host") == platform.node():
        try:
            os.kill(holder["pid"], 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            pass
        ticks = _ticks(holder["pid"])
        return ticks != ENDED and (None in (ticks, was := holder.get("ticks")) or ticks == was)
    return True


def _ticks(pid: int) -> str | None:
    """Return when a process started, in ticks since boot: a later one may have its number.

    ENDED if only its parent still has to take note, None where the system does not tell.
    """
    try:
        stat = (PROCESSES / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # a program's name may hold anything; see proc(5)
    return ENDED if fields[0] in ("Z", "X") else fields[19]


def _refusal(run_dir: Path, holder: dict[str, Any] | None) -> str:
    who = "another launch"
    if holder:
        host, started = holder.get("host"), holder.get("started")
        who += f" (process {holder['pid']} on {host}, since {started})"
    return f"run_dir={run_dir} is in use by {who}; wait for it, or type another run_dir="
