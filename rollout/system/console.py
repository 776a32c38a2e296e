"""Print lines and the progress bar, and keep an engine's output off the terminal.

Progress and notes go to stderr, results to stdout. While an engine is up, libraries that write to
the terminal (C++ warnings, download bars) write to the log file instead.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rollout.errors.secret_texts import without_secrets
from rollout.system.safe_text import printable

PLAIN_INTERVAL_S = 10.0
# Otherwise rich replaces sys.stdout and sys.stderr, and shows text that belongs in the log.
ALONE = {"redirect_stdout": False, "redirect_stderr": False}


class Console:
    """Lines and bars of one run, also written to a log file once `log_to` is called."""

    def __init__(self, quiet: bool = False):
        self._quiet = quiet
        self._log: Any = None
        self._stderr = sys.stderr
        self._stdout = sys.stdout
        self._bar: BarProgress | None = None
        self._num_redirected = 0  # blocks
        self._end_redirection: Callable[[], None] = lambda: None

    @property
    def is_terminal(self) -> bool:
        return not self._quiet and self._stderr is not None and self._stderr.isatty()

    @property
    def width(self) -> int:
        """The maximum number of characters in a line."""
        return max(80, shutil.get_terminal_size((100, 24)).columns)

    def log_to(self, path: Path) -> None:
        self._log = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)

    def note(self, line: str) -> None:
        """Print one line about the run's state, above the bar if there is one."""
        if self._bar:
            self.record(line)
            self._bar.say(line)
        else:
            self._write(self._stderr, line)

    def print_now(self, line: str) -> None:
        """Write one line without buffering: the process is about to end."""
        os.write(
            self._stderr.fileno(),
            (printable(without_secrets(line)) + "\n").encode(errors="replace"),
        )

    def result(self, text: str) -> None:
        """Print a result to stdout."""
        self._write(self._stdout, text)

    def record(self, text: str) -> None:
        """Write to the log only."""
        if self._log:
            with suppress(OSError):  # a full disk is reported where rows are written
                self._log.write(f"{time.strftime('%H:%M:%S')} {without_secrets(text)}\n")

    def _write(self, stream: Any, text: str) -> None:
        self.record(text)
        if not self._quiet:
            say(text, stream)

    def close(self) -> None:
        log, self._log = self._log, None
        if log:
            with suppress(OSError):
                log.close()

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
            self._stdout = os.fdopen(os.dup(saved[0]), "w", buffering=1, errors="replace")
        if _is_descriptor(self._stderr, 2):
            self._stderr = os.fdopen(os.dup(saved[1]), "w", buffering=1, errors="replace")
        os.dup2(log, 1)
        os.dup2(log, 2)

        def end() -> None:
            flush_streams()
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            opened = [s for s in (self._stdout, self._stderr) if s not in before]
            self._stdout, self._stderr = before
            for stream in opened:
                with suppress(OSError):  # a pipe that nobody reads anymore
                    stream.close()
            for descriptor in (*saved, log):
                os.close(descriptor)

        return end

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show that something slow is running, with the seconds on a terminal."""
        if not self.is_terminal or self._bar:
            self.note(f"{what} ...")
            yield
            return
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._rich(), transient=True, **ALONE) as progress:
            progress.add_task(printable(what), total=None)
            yield

    @contextmanager
    def progress(self) -> Iterator["PlainProgress | BarProgress"]:
        """Show a run's progress: a bar on a terminal, else a line every 10 s."""
        if not self.is_terminal:
            yield PlainProgress(self)
            return
        with BarProgress(self._rich()) as bar:
            self._bar = bar
            try:
                yield bar
            finally:
                self._bar = None

    def _rich(self) -> Any:
        from rich.console import Console as RichConsole

        return RichConsole(file=self._stderr, force_terminal=True)


def say(text: str, stream: Any) -> None:
    """Print `text`, safe for a terminal. A missing or closed stream is ignored."""
    safe = "\n".join(printable(line) for line in without_secrets(text).split("\n"))
    encoding = getattr(stream, "encoding", None) or "utf-8"
    with suppress(OSError, ValueError, AttributeError):
        stream.write(safe.encode(encoding, "replace").decode(encoding) + "\n")
        stream.flush()


def flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _is_descriptor(stream: Any, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (AttributeError, OSError, ValueError):
        return False


def duration(seconds: float) -> str:
    """Format seconds as 1:02:03, or 0:07."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def eta(left_s: float | None) -> str:
    return "ETA " + ("-:--" if left_s is None else duration(left_s))


class PlainProgress:
    def __init__(self, console: Console):
        self._console = console
        self._last = time.monotonic()

    def update(self, fraction: float, left_s: float | None, text: str, table: Any = None) -> None:
        """Show `fraction` of the work as done, `left_s` seconds to go, and `text`."""
        now = time.monotonic()
        if now - self._last >= PLAIN_INTERVAL_S:
            self._last = now
            self._console.note(f"{fraction:4.0%}  {text}  {eta(left_s)}")


class BarProgress:
    def __init__(self, console: Any):
        from rich.progress import BarColumn, Progress, TextColumn

        bar = self

        class WithTable(Progress):
            def get_renderables(self) -> Iterator[Any]:
                yield from super().get_renderables()
                if bar._below is not None:
                    yield bar._below

        self._below: Any = None
        columns = BarColumn(bar_width=20), TextColumn("{task.description}", markup=False)
        self._progress = WithTable(*columns, console=console, **ALONE)
        self._task = self._progress.add_task("", total=1.0)
        self._last = 0.0

    def __enter__(self) -> "BarProgress":
        self._progress.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._progress.__exit__(*exception)

    def say(self, line: str) -> None:
        self._progress.console.print(
            printable(without_secrets(line)), markup=False, highlight=False
        )

    def update(
        self,
        fraction: float,
        left_s: float | None,
        text: str,
        table: Callable[[], Any] | None = None,
    ) -> None:
        """As PlainProgress.update, several times a second; `table` makes a table below the bar."""
        now = time.monotonic()
        if now - self._last >= 0.2 or fraction == 1.0:
            self._last = now
            words = f"{fraction:4.0%}  {eta(left_s)}  {printable(text)}"
            self._progress.update(self._task, completed=fraction, description=words)
            self._below = table() if table else None
