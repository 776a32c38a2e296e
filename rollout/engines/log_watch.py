"""Watch an engine's log: say which phase of loading it is in, and show its warnings and errors.

Guarantees that each complaint is shown once, and at most MAX_SHOWN of an engine. Must not know
whose log it is: a LogReader does.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rollout.system.console import Console
from rollout.system.follower import Follower

MAX_SHOWN = 5
MAX_CHARS = 300  # of a complaint; the rest is in the log


@dataclass(frozen=True, slots=True)
class LogReader:
    """How to read the lines of one kind of engine."""

    name: str  # put before its complaints
    first_phase: str  # before it writes anything
    phase_of: Callable[[str], str | None]
    complaint_of: Callable[[str], str | None]


class LogWatch:
    """Follows one log until closed."""

    def __init__(self, log_file: Path, reader: LogReader, console: Console):
        self.log_file = log_file
        self._reader, self._console = reader, console
        self._say_phase: Callable[[str], None] | None = None  # while an engine is loaded
        self._seen: set[str] = set()
        self._num_hidden = 0
        self._follower = Follower(log_file, self._take)

    @contextmanager
    def loading(self, say_phase: Callable[[str], None]) -> Iterator[None]:
        """Call `say_phase` in the block with each phase."""
        say_phase(self._reader.first_phase)
        self._say_phase = say_phase
        try:
            yield
        finally:
            self._say_phase = None

    def _take(self, line: str) -> None:
        if complaint := self._reader.complaint_of(line):
            self._complain(complaint)
        elif (say_phase := self._say_phase) and (phase := self._reader.phase_of(line)):
            say_phase(phase)

    def _complain(self, complaint: str) -> None:
        kind = re.sub(r"\d+", "0", complaint)  # the same one, about another number
        if kind in self._seen:
            return
        if len(self._seen) >= MAX_SHOWN:
            self._num_hidden += 1
            return
        self._seen.add(kind)
        is_long = len(complaint) > MAX_CHARS
        shown = complaint[:MAX_CHARS] + "…" * is_long
        self._console.warning(shown, self._reader.name)

    def close(self) -> None:
        self._follower.close()
        if self._num_hidden:
            self._console.warning(
                f"{self._num_hidden:,} more in {self.log_file}", self._reader.name
            )
