"""Follow a file that others write to, line by line, from a thread."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

POLL_S = 0.2
MAX_LINE = 64 * 1024  # bytes of a line kept while its end is awaited
MAX_READ = 1 << 20  # bytes read at once


class Follower:
    """Calls `on_line` with every line added to a file, until closed.

    A progress bar's carriage returns end lines, too. A file that can't be read has no lines.
    """

    def __init__(self, path: Path, on_line: Callable[[str], None]):
        """Begin at the file's present end; it may be missing still."""
        self._path, self._on_line = path, on_line
        self._offset = path.stat().st_size if path.exists() else 0
        self._rest = b""
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="log follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read what is left, and end the thread."""
        self._is_over.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._is_over.wait(POLL_S):
            self._read()
        self._read()

    def _read(self) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                while part := file.read(MAX_READ):
                    self._offset += len(part)
                    self._take(part)
        except OSError:  # not there yet, or gone: it is shown for information only
            return

    def _take(self, part: bytes) -> None:
        *lines, self._rest = re.split(rb"[\r\n]", self._rest + part)
        if len(self._rest) > MAX_LINE:
            lines, self._rest = [*lines, self._rest], b""
        for line in filter(None, lines):
            self._on_line(line.decode(errors="replace"))
