"""Limit the time and memory of untrusted work that may never end: Jinja templates.

Owns SIGPROF while such work runs in the main thread: a timer of processor time, which costs nothing
between its ticks and leaves SIGALRM free. A tick beyond the limit ends the work, including loops
within one C call that checks for signals (regular expressions, multiplication, powers). Guarantees
to restore the previous timer and handler, and to catch no other exception. In other threads, a
timer thread ends the work, by time only.
"""

import atexit
import ctypes
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, TypeVar

from rollout.errors import UserError

LIMIT_S = 10.0
LIMIT_BYTES = 512 << 20  # by which the process may grow
NUM_TRIES = 3
MAX_KEPT = 1000
LOOK_S = 5.0
TICK_S = 0.25  # of processor time
Result = TypeVar("Result")


class OverLimit(ValueError):
    """The work has taken too long, or too much memory; the message lacks a subject."""


class _Ended(BaseException):
    """Ends the work; not an Exception, which the work might catch."""


class _Watch:
    """The timer, and the work that it limits."""

    def __init__(self) -> None:
        self.since: float | None = None  # when the work began; None: no work is running
        self.is_armed = False
        self.looked_s = 0.0  # when the timer was last known to run
        self.main_ident = threading.main_thread().ident  # only this thread handles signals
        self._seen: float | None = None  # `since` of the work at the last tick
        self._num_bytes = 0  # of the process, at the tick before the work began
        self._before: tuple[Any, tuple[float, float]] | None = None

    def arm(self) -> None:
        """Start the timer, unless it runs and is still ours."""
        self.looked_s = time.monotonic()
        if self.is_armed and signal.getsignal(signal.SIGPROF) == self._tick:
            if signal.getitimer(signal.ITIMER_PROF)[0]:
                return
        handler = signal.signal(signal.SIGPROF, self._tick)
        self._before = handler, signal.setitimer(signal.ITIMER_PROF, TICK_S, TICK_S)
        self.is_armed, self._seen, self._num_bytes = True, None, _num_bytes()

    def disarm(self) -> None:
        """Restore the previous timer and handler."""
        if not self.is_armed or self._before is None:
            return
        self.is_armed = False
        handler, (left_s, interval_s) = self._before
        signal.setitimer(signal.ITIMER_PROF, 0)
        # Without a handler, a pending tick would end the process.
        if handler not in (signal.SIG_DFL, None):
            signal.signal(signal.SIGPROF, handler)
        if left_s:
            signal.setitimer(signal.ITIMER_PROF, left_s, interval_s)

    def _tick(self, number: int, frame: FrameType | None) -> None:
        since = self.since
        if since is None:
            self.disarm()
            return
        self.looked_s = time.monotonic()
        num_bytes = _num_bytes()
        if num_bytes - self._num_bytes > LIMIT_BYTES:
            self._num_bytes = num_bytes
            raise _Ended(f"takes more than {LIMIT_BYTES >> 20:,} MiB of memory")
        if since != self._seen:  # first tick: a process stopped until now has not computed
            self._seen, self._num_bytes = since, num_bytes
        elif time.monotonic() - since > LIMIT_S:
            raise _Ended(f"takes more than {LIMIT_S:g} s")

    def forget(self) -> None:
        """Reset in a forked process, which has no timer."""
        self.is_armed, self.since = False, None
        self.main_ident = threading.main_thread().ident


_watch = _Watch()
os.register_at_fork(after_in_child=_watch.forget)
atexit.register(_watch.disarm)  # before Python removes its handlers


def limited(work: Callable[..., Result], *words: Any) -> Result:
    """Return `work(*words)`. Raises OverLimit if it takes too long, or too much memory."""
    watch = _watch
    if threading.get_ident() != watch.main_ident:
        return _limited_in_thread(work, *words)
    if watch.since is not None:
        return work(*words)
    now = time.monotonic()
    if not watch.is_armed or now - watch.looked_s > LOOK_S:
        watch.arm()
    try:
        watch.since = now
        try:
            return work(*words)
        finally:
            watch.since = None  # from here on ticks do not raise
    except _Ended as end:
        watch.since = None
        raise OverLimit(str(end)) from None


def _limited_in_thread(work: Callable[..., Result], *words: Any) -> Result:
    """As `limited`, in a thread without signals: another thread ends it between bytecodes."""
    ident, lock, is_over = threading.get_ident(), threading.Lock(), False

    def end() -> None:
        with lock:
            if not is_over:
                ended = ctypes.py_object(_Ended)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ended)

    timer = threading.Timer(LIMIT_S, end)
    timer.daemon = True
    timer.start()
    try:
        try:
            return work(*words)
        finally:
            with lock:
                is_over = True
            timer.cancel()  # a pending _Ended is raised here at the latest
    except _Ended:
        raise OverLimit(f"takes more than {LIMIT_S:g} s") from None


@dataclass(slots=True)
class Patience:
    """Run one piece of work with many values, and remember those over the limit.

    Work that is over the limit with its first NUM_TRIES values is not tried with the others.
    """

    what: str  # the work's name, for messages
    shown: tuple[str, ...] = ()  # names of values that identify a row; empty: all
    num_done: int = 0
    num_over: int = 0
    faults: dict[bytes, str] = field(default_factory=dict)  # by a digest of the values

    def limited(self, work: Callable[[dict[str, Any]], Result], values: dict[str, Any]) -> Result:
        """As `limited`. Raises UserError once the first NUM_TRIES values were all over."""
        if self.faults and (fault := self.faults.get(_digest(values))):
            raise OverLimit(fault)
        try:
            result = limited(work, values)
        except OverLimit as error:
            self.num_over += 1
            if len(self.faults) < MAX_KEPT:
                self.faults[_digest(values)] = str(error)
            if not self.num_done and self.num_over == NUM_TRIES:
                raise UserError(
                    f"{self.what} {error} on each of the first {NUM_TRIES} rows, such as "
                    f"{self._example(values)}; make it shorter"
                ) from error
            raise
        except Exception:
            self.num_done += 1
            raise
        self.num_done += 1
        return result

    def _example(self, values: dict[str, Any]) -> str:
        names = self.shown or tuple(values)
        return ", ".join(f"{name}={values.get(name)!r:.60}" for name in names)[:200]


def _digest(values: dict[str, Any]) -> bytes:
    return hashlib.blake2b(repr(values).encode("utf-8", "replace"), digest_size=16).digest()


def _num_bytes() -> int:
    """Return the bytes of this process that no file backs; 0 if unknown."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:  # noqa: PTH123
            _, resident, shared, *_ = map(int, file.read().split())
    except (OSError, ValueError):
        return 0
    return (resident - shared) * _PAGE_BYTES


_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
