"""Read rows of JSON: one object per line, or a list of objects.

Guarantees that a value that can't be kept exactly is an error of its row only, and that a malformed
list raises Broken with the line. Must not know about files.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from rollout.inputs.chats import parse
from rollout.prepare.sources.row_text import (
    BAD_BYTES,
    MAX_ITEM_CHARS,
    READ_CHARS,
    Broken,
    Row,
    bad_byte,
    fault_of_text,
)
from rollout.system.formats import exact_json


def lines(text: TextIO) -> Iterator[Row]:
    """Yield the rows of JSON lines; empty lines are skipped."""
    # Not the file's own lines: those end at a lone \r, which is white space in JSON.
    rest = ""
    number = 0
    while block := text.read(READ_CHARS):
        found = (rest + block).split("\n")
        rest = found.pop()
        for line in found:
            number += 1
            if line.strip():
                yield number, len(line), *_object(line)
        if len(rest) > MAX_ITEM_CHARS:
            raise Broken(f"line {number + 1} is longer than {MAX_ITEM_CHARS:,} characters")
    if rest.strip():
        yield number + 1, len(rest), *_object(rest)


def _object(line: str) -> tuple[Any, str | None]:
    if fault := fault_of_text(line):
        return None, fault
    try:  # concatenated files may each have a byte order mark
        value = parse(line.removeprefix("\ufeff"), "this line", "is not JSON")
    except ValueError as error:
        hint = "; for a list of objects type format=json" if line.lstrip()[:1] == "[" else ""
        return None, f"{error}{hint}"
    return (value, None) if isinstance(value, dict) else (None, _not_an_object(value))


def _not_an_object(value: Any) -> str:
    return f"a row must be a JSON object, not {json.dumps(value, ensure_ascii=False)[:40]}"


def items(text: TextIO) -> Iterator[Row]:
    """Yield the items of a JSON list, each as soon as it is read; also accepts JSON lines."""
    first = text.read(READ_CHARS)
    start = first.lstrip()
    if start[:1] != "[":
        for line, size, row, fault in lines(_Prefixed(first, text)):
            hint = "; a .json file is [{...}, ...], or one object per line"
            yield line, size, row, fault and fault + hint
        return
    line = 1 + first[: len(first) - len(start)].count("\n")
    yield from _members(start[1:], text, line)


class _Prefixed:
    """A text whose start was already read."""

    def __init__(self, start: str, text: TextIO):
        self._start, self._text = start, text

    def read(self, count: int) -> str:
        start, self._start = self._start, ""
        return start or self._text.read(count)


def _members(held: str, text: TextIO, line: int) -> Iterator[Row]:
    """Yield the rows of a list after its bracket. Raises Broken if malformed or not the end."""
    at, is_end, after = 0, False, "["
    last: Row | None = None  # the item before, held until the text after it is read
    before: str | None = None  # error between the items
    while True:
        if match := _SPACE.match(held, at):
            line += held.count("\n", at, match.end())
            at = match.end()
        sign = held[at : at + 1]
        if BAD_BYTES.match(sign):  # an extra byte: an error of the item next to it
            before = bad_byte(sign, "between the items")
            if last is not None:
                last, before = (*last[:2], None, before), None
            at += 1
            continue
        if sign == "]" and after != "," and before is None:
            if last is not None:
                yield last
            return _refuse_more(held[at + 1 :], text, line)
        if sign and sign in ",]":
            if after != "item" or sign == "]":
                raise Broken(f"line {line}: not JSON: {sign!r} instead of an item")
            yield last
            at, after, last = at + 1, ",", None
            continue
        if sign and after == "item":
            raise Broken(f"line {line}: not JSON: no comma between two items")
        if sign:
            try:
                value, end, fault = _member(held, at)
                if end < len(held) or is_end:  # otherwise a number may continue
                    fault = before or fault
                    last = line, end - at, value if fault is None else None, fault
                    line += held.count("\n", at, end)
                    at, after, before = end, "item", None
                    continue
            except (json.JSONDecodeError, RecursionError) as error:
                if is_end or not _is_cut(error, held):
                    spot = getattr(error, "pos", at)
                    bad = BAD_BYTES.match(held, spot) and bad_byte(held[spot], "in an item")
                    raise Broken(
                        f"line {line + held.count(chr(10), at, spot)}: "
                        f"{bad or 'not JSON: ' + getattr(error, 'msg', 'nested too deep')}"
                    ) from None
        if is_end:
            raise Broken(f"line {line}: the list does not end; is the file incomplete?")
        if len(held) - at > MAX_ITEM_CHARS:
            raise Broken(f"line {line}: an item is longer than {MAX_ITEM_CHARS:,} characters")
        # Read twice as much each time: an item over several blocks is parsed again from its start.
        block = text.read(max(READ_CHARS, len(held) - at))
        is_end, held, at = not block, held[at:] + block, 0


def _member(held: str, at: int) -> tuple[Any, int, str | None]:
    """Return the item that starts at `at`, its end, and its error as a row.

    Raises JSONDecodeError if its end is not found.
    """
    try:
        value, end = exact_json.raw_decode(held, at)
        if fault := fault_of_text(held[at:end]):
            return None, end, fault
        if held.find("\\u", at, end) >= 0:
            exact_json.refuse_surrogates(value)
        return value, end, None if isinstance(value, dict) else _not_an_object(value)
    except exact_json.Inexact as error:
        return None, exact_json.end_of(held, at), f"this item's JSON {error}"
    except json.JSONDecodeError as error:
        if error.msg.startswith("Invalid control character"):
            return None, exact_json.end_of(held, at), f"this item is not JSON: {error.msg.lower()}"
        if not BAD_BYTES.search(held, at, error.pos + 1):
            raise
        # The end can be found if the byte is between two tokens, but not if it replaces one.
        end = exact_json.end_of(BAD_BYTES.sub(" ", held[at:]), 0) + at
        return None, end, fault_of_text(held[at:end])


def _refuse_more(held: str, text: TextIO, line: int) -> None:
    """Raise Broken if text follows the list: it would be lost."""
    while held or (held := text.read(READ_CHARS)):
        if rest := held.lstrip():
            line += held[: len(held) - len(rest)].count("\n")
            fault = f"text after the end of the list: {rest[:20]!r}"
            if BAD_BYTES.match(rest):
                fault = bad_byte(rest[0], "after the end of the list")
            raise Broken(f"line {line}: {fault}")
        line += held.count("\n")
        held = ""


_SPACE = re.compile(r"[ \t\r\n]+")


def _is_cut(error: Exception, held: str) -> bool:
    """Whether reading more text may resolve the error."""
    return isinstance(error, json.JSONDecodeError) and (
        error.msg.startswith("Unterminated string") or error.pos >= len(held) - 16
    )
