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
        byte = ord(text[error.start]) - 0xDC00
        return (
            f"not UTF-8 text: byte 0x{byte:02x} at character {error.start + 1:,}; convert the "
            "file, say with iconv -f latin1 -t utf-8"
        )
    return None
