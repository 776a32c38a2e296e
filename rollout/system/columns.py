"""Count and cut text by the columns it takes on a terminal: a Chinese character takes two."""

import unicodedata

JOINER = "\u200d"  # of emoji, and of letters


def num_columns(text: str) -> int:
    """Return how many columns a printable text takes."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def cut(text: str, width: int) -> str:
    """Return a printable text, cut at `width` columns with an ellipsis."""
    if num_columns(text) <= width:
        return text
    kept, taken = [], 1  # the ellipsis
    for c in text:
        taken += _columns_of(c)
        if taken > width:
            break
        kept.append(c)
    while kept and kept[-1] == JOINER:  # what it joined is cut off
        kept.pop()
    return "".join(kept) + "…"


def _columns_of(c: str) -> int:
    if unicodedata.category(c) in ("Mn", "Me", "Cf"):  # drawn on the letter before, or not at all
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1
