"""Signals: the first SIGINT, SIGTERM or SIGHUP asks the run to stop, the second ends the process.

Owns the promise that a run asked to stop has ended DEADLINE_S later, its own processes included,
whatever it is doing. SIGUSR1 tells how far the run is.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rollout.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DEADLINE_S = 4.5  # with a margin, less than the 5 that are promised


class StopRequest:
    """Whether the user asked to stop. Inside `deferred()` a signal waits to be looked at.

    What was asked stays on record, in `outer` as well: a library may swallow an Interrupted.
    """

    def __init__(self, outer: "StopRequest | None" = None) -> None:
        self.signal_number: int | None = None
        self.command = outer.command if outer else "rollout"
        self.farewell: Callable[[], str] = lambda: "interrupted"  # the last line, whoever says it
        self.say: Callable[[str], None] = lambda line: print(line, file=sys.stderr)
        self.tell: Callable[[], None] = lambda: None  # what SIGUSR1 asks for
        self.is_over = False  # what is to be said is said
        self._outer = outer
        self._deferring = False
        self._deadline: threading.Timer | None = None

    def raise_if_requested(self) -> None:
        if self.signal_number is not None:
            raise Interrupted(self.signal_number, self.farewell())

    @contextmanager
    def deferred(self, deferring: bool = True) -> Iterator[None]:
        """No signal interrupts the block; the block asks `raise_if_requested` when it can stop.

        With `deferring` false, a block within such a block that signals do interrupt.
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
            self.say("stopping; a second signal ends at once")
        self._deadline = threading.Timer(DEADLINE_S, self._end_at_once, [signal_number])
        self._deadline.daemon = True
        self._deadline.start()
        if not self._deferring:
            self.raise_if_requested()

    def _note(self, signal_number: int, by: "StopRequest") -> None:
        self.signal_number = signal_number
        if by is not self:
            self.farewell = lambda: by.farewell()
        if self._outer:
            self._outer._note(signal_number, by)

    def handle_question(self, signal_number: int, frame: object) -> None:
        # In a thread: the main one may be in the middle of a line of its own.
        threading.Thread(target=self.tell, daemon=True).start()

    def _end_at_once(self, signal_number: int) -> None:
        import psutil

        with suppress(Exception):  # whatever state the run is in
            if not self.is_over:
                self.say(f"{self.command}: {self.farewell()}")
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(128 + signal_number)

    def over(self, ends_process: bool) -> None:
        """The run has ended in time; a process that ends with it still has to."""
        self.is_over = True
        if self._deadline and not ends_process:
            self._deadline.cancel()


_installed: list[StopRequest] = []  # the innermost last


@contextmanager
def stop_on_signals(ends_process: bool = False) -> Iterator[StopRequest]:
    """Install the handlers, and put the old ones back; elsewhere than in the main thread, none.

    With `ends_process`, a process that was asked to stop has to end by the deadline, too. Raises
    Interrupted where a block around this one was asked to stop and a library swallowed that.
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
        stop._deferring = True  # neither may be left half done
        _installed.remove(stop)
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.over(ends_process)
