"""The live display on a terminal: a bar with lines below it, or a spinner.

Drawn by a thread of rich's, a few times a second, so that whoever reports pays almost nothing.
Notes are printed above it. Must not know about runs.
"""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from rollout.system.columns import cut, num_columns
from rollout.system.status import Status
from rollout.system.terminal import columns_of, duration, fitted, safe

REFRESHES_PER_S = 4
MARGIN = "      "  # of the lines below the bar
WIDEST_BAR, NARROWEST_BAR = 20, 8  # columns


class LiveDisplay(ABC):
    """Redraws the renderables of `picture(width)` until the block ends."""

    def __init__(self, stream: Any, stays: bool):
        """`stays`: what is drawn last remains."""
        from rich.console import Console
        from rich.live import Live

        self._stream = stream
        self._console = Console(
            file=stream,
            force_terminal=True,
            width=columns_of(stream),
            color_system=None if os.environ.get("NO_COLOR") else "auto",  # also no bold, no dim
        )
        # Otherwise rich replaces sys.stdout and sys.stderr, and shows text that belongs in the log.
        self._live = Live(
            console=self._console,
            refresh_per_second=REFRESHES_PER_S,
            get_renderable=self._drawn,
            redirect_stdout=False,
            redirect_stderr=False,
            transient=not stays,
        )

    def __enter__(self) -> Any:
        self._live.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._live.__exit__(*exception)

    def say(self, lines: str) -> None:
        """Print safe lines above the display."""
        self._console.print(lines, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def _drawn(self) -> Any:
        from rich.console import Group

        width = columns_of(self._stream)
        self._console.width = width  # the terminal may have been resized
        return Group(*self.picture(width))

    @abstractmethod
    def picture(self, width: int) -> Iterator[Any]:
        """Yield what is drawn now, in at most `width` columns."""


class LiveProgress(LiveDisplay):
    """Shows the last status it was given; at most the bar's line stays."""

    def __init__(self, stream: Any, stays: bool):
        self._status: Status | None = None
        self._is_over = False
        super().__init__(stream, stays)

    def __exit__(self, *exception: Any) -> None:
        self._is_over = True
        super().__exit__(*exception)

    def update(self, status: Status) -> None:
        self._status = status

    def picture(self, width: int) -> Iterator[Any]:
        from rich.text import Text

        status = self._status
        if status is None:
            return
        yield bar_line(status, width)
        if self._is_over:
            return
        for detail in status.details:
            if line := fitted(detail, width - len(MARGIN)):
                yield Text(MARGIN + line, no_wrap=True)
        for line in status.sample:
            yield Text(MARGIN + cut(line, width - len(MARGIN)), "dim", no_wrap=True)
        if status.table:
            yield status.table()


class LiveSpinner(LiveDisplay):
    """Shows that something slow is running, with the seconds; nothing stays."""

    def __init__(self, stream: Any, text: str, since: float):
        """`since` is when it began, by time.monotonic()."""
        from rich.spinner import Spinner

        self._what, self._phase, self._began = text, "", since
        encoding = getattr(stream, "encoding", None) or ""
        self._spinner = Spinner("dots" if encoding.lower().startswith("utf") else "line")
        super().__init__(stream, stays=False)

    def phase(self, text: str) -> None:
        """Show `text` as the phase that it is in."""
        self._phase = safe(text)

    def picture(self, width: int) -> Iterator[Any]:
        from rich.text import Text

        elapsed = duration(time.monotonic() - self._began)
        frame = str(self._spinner.render(time.monotonic()))
        words = f"{self._what}: {self._phase}" if self._phase else self._what
        text = cut(words, width - len(elapsed) - len(frame) - 4)
        yield Text(f"{frame} {text}  {elapsed}", no_wrap=True)


def bar_line(status: Status, width: int) -> Any:
    """Return the bar with its phrases, as much as fits in `width` columns."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    words, size = words_beside_bar(status, width)
    grid = Table.grid(padding=(0, 2, 0, 0))
    if size:
        bar = ProgressBar(total=1.0, completed=min(status.fraction, 1.0), width=size)
        grid.add_row(status.percent, bar, *words)
    else:
        grid.add_row(status.percent, *words)
    for column in grid.columns:
        column.no_wrap = True
    return grid


def words_beside_bar(status: Status, width: int) -> tuple[tuple[str, ...], int]:
    """Return the words that fit beside the bar, and the bar's columns: 0 if there is no room.

    First the bar gets shorter, then the spread of the time left goes, then the bar, and then the
    last phrases.
    """

    def room_for_bar(words: tuple[str, ...]) -> int:
        return width - sum(num_columns(word) + 2 for word in (status.percent, *words))

    phrases = tuple(filter(None, status.phrases))
    for time_left in (status.eta(), status.eta(has_spread=False)):
        words = *phrases, time_left
        if (room := room_for_bar(words)) >= NARROWEST_BAR:
            return words, min(room, WIDEST_BAR)
    while phrases and room_for_bar((*phrases, time_left)) < -2:
        phrases = phrases[:-1]
    return (*phrases, time_left), 0
