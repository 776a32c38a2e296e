"""How texts fit a terminal or a log: line breaks, times, and safe writing.

Must not know about runs.
"""

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from rollout.errors.secret_texts import without_secrets
from rollout.system.columns import num_columns
from rollout.system.safe_text import printable

MAX_COLUMNS = 100
EXACT_BELOW = 1e15  # numbers whose decimals a float holds
INDENT = 4  # of a line's continuation
SHORT = 12  # columns that may stand before a long path on its line, such as `output  `
COMMAND = re.compile(
    r"\S+ -m rollout\b.*|\bwandb (?:sync|artifact put) .*"
)  # to be copied as it is


def columns_of(stream: Any) -> int:
    """Return how many columns a line on `stream` may have: as many as the terminal, at most 100."""
    columns = 0
    with suppress(AttributeError, OSError, ValueError):  # no terminal
        columns = os.get_terminal_size(stream.fileno()).columns
    if not columns and os.environ.get("COLUMNS", "").isdecimal():
        columns = int(os.environ["COLUMNS"])
    return min(columns or MAX_COLUMNS, MAX_COLUMNS)


def wrapped(line: str, width: int) -> list[str]:
    """Return a printable line in lines of at most `width` columns.

    Only a word or a command that is longer has a line of its own.
    """
    if num_columns(line) <= width:
        return [line]
    found = COMMAND.search(line)
    text, command = (line[: found.start()], found[0]) if found else (line, "")
    margin = len(line) - len(line.lstrip(" "))
    words = [*re.findall(r"\S+ *", text), *filter(None, [command])]
    lines, taken = [" " * margin], margin
    for word in words:
        size = num_columns(word.rstrip())
        if taken + size > width and taken > margin + SHORT:
            lines.append(" " * (margin + INDENT))
            taken = margin + INDENT
        lines[-1] += word
        taken += num_columns(word)
    return [part.rstrip() for part in lines]


def fitted(phrases: Sequence[str], width: int, gap: str = "   ") -> str:
    """Return as many phrases as fit in `width` columns, from the first on."""
    line = ""
    for phrase in filter(None, phrases):
        longer = f"{line}{gap}{phrase}" if line else phrase
        if num_columns(longer) > width:
            break
        line = longer
    return line


def duration(seconds: float) -> str:
    """Format seconds as 1:02:03, or 0:07."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def rate_text(per_s: float) -> str:
    """Format a rate: 12,345 or 17; below 10 with two digits, so that a slow one is not 0."""
    return f"{per_s:,.0f}" if per_s >= 10 else f"{per_s:.2g}"


def counted(number: int, noun: str) -> str:
    """Return `1 row` or `1,234 rows`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def half_up(value: float, decimals: int = 0) -> str:
    """Return a number as rounded by hand, 28.75 as 28.8, and as charts_text.js rounds.

    `format` rounds the binary number, which for 28.75% is just below, and halves to even.
    """
    if not abs(value) < EXACT_BELOW:
        return f"{value:.{decimals}f}"
    exact = Decimal(repr(round(float(value), 9)))
    return str(exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP) + 0)  # no -0.0


def share_text(share: float, decimals: int = 1) -> str:
    """Return a share in percent: 0.2875 as 28.8%."""
    return f"{half_up(100 * share, decimals)}%"


def eta(left_s: float | None, low_s: float | None = None, high_s: float | None = None) -> str:
    """Return the time left as `ETA 3:20 (2:50-4:10)`; without the spread if it is unknown."""
    if left_s is None:
        return "ETA -:--"
    low, high = (duration(left_s if s is None else s) for s in (low_s, high_s))
    return f"ETA {duration(left_s)}" + (f" ({low}-{high})" if low != high else "")


def say(text: str, stream: Any) -> None:
    """Print `text`, safe for a terminal. A missing or closed stream is ignored."""
    write(safe(text), stream)


def safe(text: str) -> str:
    """Return `text` without secrets and with control characters escaped; its lines stay."""
    return "\n".join(printable(line) for line in without_secrets(text).split("\n"))


def write(text: str, stream: Any) -> None:
    """Write a safe text and a line break at once; a missing or closed stream is ignored."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    with suppress(OSError, ValueError, AttributeError):
        stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
        stream.flush()


def can_show(text: str, stream: Any) -> bool:
    """Whether the stream's encoding has these characters."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeError, LookupError):
        return False
    return True


def flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
