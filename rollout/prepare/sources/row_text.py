"""Shared by the readers of row files: the type of a row, and errors of its text.

Files are decoded so that invalid UTF-8 bytes become surrogates (PEP 383), which valid text never
has: a bad byte is then an error of its row only.
"""

import re
from typing import Any

READ_CHARS = 1 << 20
MAX_ITEM_CHARS = 256 << 20
BAD_BYTES = re.compile("[\udc80-\udcff]")

Row = tuple[int, int, Any, str | None]  # line, characters, the row, its error


class Broken(Exception):
    """The file is malformed: no further row can be read."""


def fault_of_text(text: str) -> str | None:
    """Return the error of a text with invalid UTF-8 bytes; None if it is valid."""
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        kind = "utf-16" if "\0" in text[:9] else "latin1"
        return bad_byte(text[error.start], f"at character {error.start + 1:,}", kind)
    return None


def bad_byte(sign: str, where: str, kind: str = "latin1") -> str:
    """Return the error message of an invalid byte."""
    return (
        f"not UTF-8 text: byte 0x{ord(sign) - 0xDC00:02x} {where}; convert the file, for example "
        f"with iconv -f {kind} -t utf-8"
    )
