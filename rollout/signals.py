"""SIGINT, SIGTERM, SIGHUP: the first asks the run to stop, the second ends the process at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rollout.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_S = 8.0  # for a turn of the loop that does not end, such as a chat template's


class StopRequest:
    """Whether the user asked to stop. Inside `deferred()` a signal waits to be looked at."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._deferring = False

    def raise_if_requested(self) -> None:
        if self.signal_number is not None:
            raise Interrupted(self.signal_number)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """No signal interrupts the block; the block asks `raise_if_requested` when it can stop."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        self.raise_if_requested()

    def handle(self, signal_number: int, frame: object) -> None:
        if self.signal_number is not None:
            _end_at_once(signal_number)
        self.signal_number = signal_number
        if not self._deferring:
            raise Interrupted(signal_number)
        last_resort = threading.Timer(PATIENCE_S, self._end_if_stuck, [signal_number])
        last_resort.daemon = True
        last_resort.start()

    def _end_if_stuck(self, signal_number: int) -> None:
        if self._deferring:
            _end_at_once(signal_number)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Install the handlers, and put the old ones back; elsewhere than in the main thread, none."""
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    # nohup's SIGHUP stays ignored.
    wanted = [n for n in SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop.handle) for number in wanted}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_at_once(signal_number: int) -> None:
    import psutil

    os.write(2, b"rollout: ended at once; rows flushed before are on disk\n")
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(128 + signal_number)
