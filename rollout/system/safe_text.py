"""Make untrusted text safe to show: from a model, an input, a file name or a library.

For the terminal, pages and tables alike. Characters that control a terminal, reorder a line or are
invisible are escaped as in Python (`\\u202e`). Letters of every script stay, including
right-to-left ones, and so do spaces. Invisible characters stay only where writing needs them: a
joiner between letters of a joining script or between emoji, one variation selector after a
character with variants, the tags of a flag, some marks on a letter. Stored text is never changed.
"""

import re
import unicodedata

from rollout.system.columns import cut

MAX_MARKS = 8  # on one letter; more would cover the lines above
# Default_Ignorable_Code_Point of Unicode 16, which a font may render as nothing.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Visible characters of category Cf, written before or around numbers.
_SEEN = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
_JOINING = "\u0600-\u109f\u1700-\u18af\ua800-\uabff\U00010a00-\U00011fff\U0001e900-\U0001e95f"
_SYMBOL = "\u2190-\u2bff\U0001f000-\U0001faff"
_WANTED = re.compile(
    f"(?<=[{_JOINING}])[\u200c\u200d](?=[{_JOINING}])"  # Persian, Hindi, ...
    f"|(?<=[{_SYMBOL}\ufe0f])\u200d(?=[{_SYMBOL}])"  # a family, a profession
    f"|(?<=[{_SYMBOL}\u00a9\u00ae\u203c\u2049\u2122\u2139\u3030\u303d\u3297\u3299#*0-9])[\ufe0e\ufe0f]"
    "|(?<=[\u3400-\u9fff\U00020000-\U000323af])[\ufe00-\ufe02\U000e0100-\U000e01ef]"  # ideographs
    "|(?<=[\u1820-\u18aa])[\u180b-\u180d\u180f]"  # Mongolian
    "|(?<=\U0001f3f4)[\U000e0061-\U000e007a]{3,6}\U000e007f"  # the flag of Wales
)


def printable(line: str) -> str:
    """Return the line with control, reordering and invisible characters escaped."""
    return line if line.isascii() and line.isprintable() else _written(line, "")


def printable_text(text: str) -> str:
    """As `printable`, for text of several lines: line breaks and tabs stay."""
    return text if text.isascii() and text.isprintable() else _written(text, "\n\t")


def _written(text: str, kept: str) -> str:
    wanted = {place for found in _WANTED.finditer(text) for place in range(*found.span())}
    out, num_marks = [], 0
    for place, c in enumerate(text):
        category = unicodedata.category(c)
        num_marks = num_marks + 1 if category[0] == "M" and not _UNSEEN.match(c) else 0
        if c in kept or place in wanted:
            out.append(c)
        elif _UNSEEN.match(c) or num_marks > MAX_MARKS:
            out.append(_escaped(c))
        elif c.isprintable() or category == "Zs" or _SEEN.match(c):
            out.append(c)
        else:
            out.append(_escaped(c))
    return "".join(out)


def _escaped(c: str) -> str:
    """Return `\\x1b` or `\\u202e`; also for a mark, which repr does not escape."""
    number = ord(c)
    if c in "\n\r\t":
        return repr(c)[1:-1]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def one_line(text: str, width: int) -> str:
    """Return untrusted text on one line, printable, and cut at `width` columns."""
    flat = " ".join(text[: 4 * width].split())
    if len(text) > 4 * width:
        flat += " …"
    return cut(printable(flat), width)
