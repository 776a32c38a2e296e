"""Print lines and progress in the way the user chose, and keep an engine's output off the terminal.

Progress and notes go to stderr, results to stdout; as JSON, everything but errors goes to stdout.
While an engine is up, libraries that write to the terminal (C++ warnings, download bars) write to
the log file instead.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rollout.errors.secret_texts import without_secrets
from rollout.system.formats import strict_json
from rollout.system.status import JSON_INTERVAL_S, PLAIN_INTERVAL_S, Status, TimedProgress
from rollout.system.terminal import (
    MAX_COLUMNS,
    can_show,
    columns_of,
    duration,
    flush_streams,
    safe,
    wrapped,
    write,
)

if TYPE_CHECKING:
    from rollout.system.live import LiveDisplay

SHOW_CURSOR, CLEAR_LINE = "\x1b[?25h", "\r\x1b[2K"


class Mode(Enum):
    """How a command talks to its user."""

    auto = "auto"  # live on a terminal, else plain
    plain = "plain"  # lines
    quiet = "quiet"  # the last lines, and errors
    json = "json"  # one JSON object a line, on stdout


class Progress(Protocol):
    def update(self, status: Status) -> None: ...


class Console:
    """Lines and displays of one run, also written to a log file once `log_to` is called."""

    def __init__(self, quiet: bool = False, mode: Mode = Mode.auto):
        """`quiet`: print nothing at all, whatever the mode."""
        self._is_silent, self.mode = quiet, mode
        self._log: Any = None
        self._stderr = sys.stderr
        self._stdout = sys.stdout
        self._display: LiveDisplay | None = None
        self._lock = threading.RLock()  # lines also come from threads
        self._num_redirected = 0  # blocks
        self._end_redirection: Callable[[], None] = lambda: None

    @property
    def is_live(self) -> bool:
        """Whether there is a terminal that can be redrawn."""
        return (
            self.mode is Mode.auto
            and not self._is_silent
            and self._stderr is not None
            and self._stderr.isatty()
            and os.environ.get("TERM") not in ("dumb", "unknown")
        )

    @property
    def is_json(self) -> bool:
        return self.mode is Mode.json and not self._is_silent

    @property
    def width(self) -> int:
        """The maximum number of columns of a result's line."""
        return columns_of(self._stdout)

    def can_show(self, text: str) -> bool:
        """Whether a result may have these characters."""
        return can_show(text, self._stdout)

    def log_to(self, path: Path) -> None:
        self._log = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)

    # Lines.

    def note(self, line: str) -> None:
        """Print one line about the run's state, above the display if there is one."""
        self.record(line)
        self.event("note", text=line)
        if self.mode in (Mode.auto, Mode.plain):
            self._say(line)

    def warning(self, line: str, source: str) -> None:
        """Print a warning of a library, which has written it to a log of its own."""
        self.record(f"{source}: {line}")
        self.event("warning", source=source, text=line)
        if self.mode in (Mode.auto, Mode.plain):
            self._say(f"{source}: {line}")

    def result(self, text: str) -> None:
        """Print a result to stdout."""
        self.record(text)
        self.event("note", text=text)
        self._print(text)

    def preview(self, text: str) -> None:
        """Print some responses to stdout; left out where only the last lines are wanted."""
        self.record(text)
        if self.mode in (Mode.auto, Mode.plain):
            self._print(text)

    def summary(self, text: str, figures: Mapping[str, Any]) -> None:
        """Print the last lines to stdout; as JSON, the figures."""
        self.record(text)
        self.event("summary", **figures)
        self._print(text)

    def event(self, kind: str, **values: Any) -> None:
        """Print one JSON object to stdout, in the mode json only."""
        if self.is_json:
            with self._lock:
                write_event(self._stdout, kind, values)

    def print_now(self, line: str) -> None:
        """Write one line without buffering: the process is about to end."""
        line = safe(line) + "\n"
        if self._is_silent:
            return
        if self._display:
            line = f"{CLEAR_LINE}{SHOW_CURSOR}{line}"
        os.write(self._stderr.fileno(), line.encode(errors="replace"))

    def record(self, text: str) -> None:
        """Write to the log only."""
        if self._log:
            with self._lock, suppress(OSError, ValueError):  # a full disk is reported elsewhere
                self._log.write(f"{time.strftime('%H:%M:%S')} {without_secrets(text)}\n")

    def _say(self, line: str) -> None:
        if self._is_silent:
            return
        lines = "\n".join(wrapped(safe(line), columns_of(self._stderr)))
        with self._lock:
            if self._display:
                self._display.say(lines)
            else:
                write(lines, self._stderr)

    def _print(self, text: str) -> None:
        if self._is_silent or self.mode is Mode.json:
            return
        lines = [part for line in safe(text).split("\n") for part in wrapped(line, MAX_COLUMNS)]
        with self._lock:
            write("\n".join(lines), self._stdout)

    def close(self) -> None:
        log, self._log = self._log, None
        if log:
            with suppress(OSError):
                log.close()

    # The streams.

    @contextmanager
    def libraries_write_to(self, log_file: Path) -> Iterator[None]:
        """Redirect file descriptors 1 and 2 to `log_file`; our own lines still reach the user.

        Such blocks may overlap, in any order: the first one's file is used until the last one ends.
        """
        if not self._num_redirected:
            self._end_redirection = self._redirect(log_file)
        self._num_redirected += 1
        try:
            yield
        finally:
            self._num_redirected -= 1
            if not self._num_redirected:
                self._end_redirection()

    def _redirect(self, log_file: Path) -> Callable[[], None]:
        """Redirect until the returned function is called."""
        flush_streams()
        saved = os.dup(1), os.dup(2)
        before = self._stdout, self._stderr
        log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        # Our streams use the saved descriptors, unless a test or a notebook replaced them.
        if _is_descriptor(self._stdout, 1):
            self._stdout = _opened(saved[0], self._stdout)
        if _is_descriptor(self._stderr, 2):
            self._stderr = _opened(saved[1], self._stderr)
        os.dup2(log, 1)
        os.dup2(log, 2)

        def end() -> None:
            flush_streams()
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            with self._lock:
                opened = [s for s in (self._stdout, self._stderr) if s not in before]
                self._stdout, self._stderr = before
            for stream in opened:
                with suppress(OSError):  # a pipe that nobody reads anymore
                    stream.close()
            for descriptor in (*saved, log):
                os.close(descriptor)

        return end

    # Displays.

    @contextmanager
    def waiting(
        self, what: str, since: float | None = None, is_continued: bool = False
    ) -> Iterator[Callable[[str], None]]:
        """Show that something slow is running; yield a function to say which phase it is in.

        A terminal shows the seconds, too; elsewhere a new phase is a line, at most every 10 s.
        `since` is when it began, by time.monotonic(); None: now. `is_continued`: an earlier block
        has shown it.
        """
        since = time.monotonic() if since is None else since
        if self.is_live and not self._display:
            from rollout.system.live import LiveSpinner

            with self._displayed(LiveSpinner(self._stderr, safe(what), since)) as spinner:
                yield spinner.phase
            return
        if not is_continued:
            self.note(f"{what} ...")
        yield Phases(self, what, since).say

    @contextmanager
    def progress(self, stays: bool = False) -> Iterator[Progress]:
        """Show a status: live on a terminal, else a line every 10 s, or JSON every second.

        `stays`: the bar's line remains on the terminal.
        """
        if self.is_live and not self._display:
            from rollout.system.live import LiveProgress

            with self._displayed(LiveProgress(self._stderr, stays)) as progress:
                yield progress
        elif self.is_json:
            yield TimedProgress(self._progress_event, JSON_INTERVAL_S, shows_end=True)
        else:
            yield TimedProgress(self._progress_line, PLAIN_INTERVAL_S)

    @contextmanager
    def _displayed(self, display: "LiveDisplay") -> Iterator[Any]:
        with display:
            self._display = display
            try:
                yield display
            finally:
                with self._lock:
                    self._display = None

    def _progress_line(self, status: Status) -> None:
        self.note(status.line(MAX_COLUMNS))

    def _progress_event(self, status: Status) -> None:
        self.event("progress", **status.as_json())


class Phases:
    """Notes on the phases of something slow, where no display shows them."""

    def __init__(self, console: Console, what: str, since: float):
        self._console, self._what = console, what
        self._began = self._last = since

    def say(self, phase: str) -> None:
        now = time.monotonic()
        self._console.event("progress", phase="load", text=phase)
        if not self._console.is_json and now - self._last >= PLAIN_INTERVAL_S:
            self._last = now
            self._console.note(f"{self._what}: {phase}, after {duration(now - self._began)}")


def write_event(stream: Any, kind: str, values: Mapping[str, Any]) -> None:
    """Write one JSON object on a line of its own; secrets in its texts are starred."""
    write(strict_json.dumps({"event": kind, **_starred(values)}), stream)


def _starred(value: Any) -> Any:
    """Return a copy without secrets. Stars in the finished JSON could cut a text's end off."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {without_secrets(str(name)): _starred(inner) for name, inner in value.items()}
    return [_starred(inner) for inner in value] if isinstance(value, list | tuple) else value


def _opened(descriptor: int, before: Any) -> Any:
    encoding = getattr(before, "encoding", None)
    return os.fdopen(os.dup(descriptor), "w", 1, encoding=encoding, errors="replace")


def _is_descriptor(stream: Any, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (AttributeError, OSError, ValueError):
        return False
