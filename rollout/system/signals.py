"""Handle signals: the first SIGINT, SIGTERM or SIGHUP stops the run, a second ends the process.

Guarantees that a run ends, with its child processes, within DEADLINE_S of the first signal,
whatever it is doing. SIGUSR1 prints the run's progress.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rollout.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DEADLINE_S = 4.5  # the documented 5 s, less a margin


class StopRequest:
    """Whether the user asked to stop. Inside `deferred()` a signal waits to be checked.

    The request is kept, also in `outer`, because a library may swallow an Interrupted.
    """

    def __init__(self, outer: "StopRequest | None" = None) -> None:
        self.signal_number: int | None = None
        self.command = outer.command if outer else "rollout"
        self.last_line: Callable[[], str] = lambda: "interrupted"  # makes the last line
        self.print_line: Callable[[str], None] = lambda line: print(line, file=sys.stderr)
        self.report_progress: Callable[[], None] = lambda: None  # called on SIGUSR1
        self.is_over = False  # the last line is printed
        self._outer = outer
        self._deferring = False
        self._deadline: threading.Timer | None = None

    def raise_if_requested(self) -> None:
        if self.signal_number is not None:
            raise Interrupted(self.signal_number, self.last_line())

    @contextmanager
    def deferred(self, deferring: bool = True) -> Iterator[None]:
        """Keep signals from interrupting the block; it calls `raise_if_requested` when it can stop.

        With `deferring` false: a block within such a block that signals may interrupt.
        """
        before, self._deferring = self._deferring, deferring
        try:
            if not deferring:
                self.raise_if_requested()
            yield
        finally:
            self._deferring = before
        if not before:
            self.raise_if_requested()

    def handle(self, signal_number: int, frame: object) -> None:
        if self.signal_number is not None:
            self._end_at_once(signal_number)
        self._note(signal_number, self)
        with suppress(Exception):
            self.print_line("stopping; a second signal ends at once")
        self._deadline = threading.Timer(DEADLINE_S, self._end_at_once, [signal_number])
        self._deadline.daemon = True
        self._deadline.start()
        if not self._deferring:
            self.raise_if_requested()

    def _note(self, signal_number: int, by: "StopRequest") -> None:
        self.signal_number = signal_number
        if by is not self:
            self.last_line = lambda: by.last_line()
        if self._outer:
            self._outer._note(signal_number, by)

    def handle_question(self, signal_number: int, frame: object) -> None:
        # In a thread: the main one may be in the middle of printing a line.
        threading.Thread(target=self.report_progress, daemon=True).start()

    def _end_at_once(self, signal_number: int) -> None:
        import psutil

        with suppress(Exception):  # the run may be in any state
            if not self.is_over:
                self.print_line(f"{self.command}: {self.last_line()}")
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(128 + signal_number)

    def over(self, ends_process: bool) -> None:
        """Mark the run as ended in time; the deadline stays if the process has to end, too."""
        self.is_over = True
        if self._deadline and not ends_process:
            self._deadline.cancel()


_installed: list[StopRequest] = []  # the innermost last


@contextmanager
def stop_on_signals(ends_process: bool = False) -> Iterator[StopRequest]:
    """Install the handlers, and restore the old ones afterwards. Only in the main thread.

    With `ends_process`, the process has to end by the deadline, too. Raises Interrupted if an
    outer block was asked to stop and a library swallowed that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield StopRequest()
        return
    outer = _installed[-1] if _installed else None
    stop = StopRequest(outer)
    if outer:
        outer.raise_if_requested()
    # nohup's SIGHUP stays ignored.
    wanted = [n for n in SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop.handle) for number in wanted}
    before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, stop.handle_question)
    _installed.append(stop)
    try:
        yield stop
    finally:
        stop._deferring = True  # a signal must not interrupt the restoring
        _installed.remove(stop)
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.over(ends_process)
