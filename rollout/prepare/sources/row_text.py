"""What readers of row files share: a row as it is read, and the faults of its text.

Files are decoded so that bytes that are no UTF-8 become surrogates (PEP 383), which no good text
has: a bad byte is then the fault of its row alone.
"""

import re
from typing import Any

READ_CHARS = 1 << 20
MAX_ITEM_CHARS = 256 << 20
BAD_BYTES = re.compile("[\udc80-\udcff]")

Row = tuple[int, int, Any, str | None]  # line, characters, the row, what is wrong with it


class Broken(Exception):
    """No further row can be read."""


def fault_of_text(text: str) -> str | None:
    """What is wrong with a text whose bytes were no UTF-8."""
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        kind = "utf-16" if "\0" in text[:9] else "latin1"
        return bad_byte(text[error.start], f"at character {error.start + 1:,}", kind)
    return None


def bad_byte(sign: str, where: str, kind: str = "latin1") -> str:
    """The fault of a byte that is no text."""
    return (
        f"not UTF-8 text: byte 0x{ord(sign) - 0xDC00:02x} {where}; convert the file, say with "
        f"iconv -f {kind} -t utf-8"
    )
