"""Files of rows without a schema: JSON lines, JSON lists, CSV; plain, gzip or zstd.

Read twice: first for the columns' types, then for the rows. Promises that memory does not grow
with a file, and that a bad row is named by file and line.
"""

import csv
import gzip
import io
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rollout.chats import parse
from rollout.errors import RolloutError, UserError
from rollout.input_files import stamp
from rollout.preparing.columns import Cells, Columns
from rollout.preparing.settings import FileFormat
from rollout.preparing.source import CHUNK_ROWS, Chunk, Source, Tally

CHUNK_BYTES = 8 << 20  # of text: rows of a megabyte each must not come a thousand at a time
READ_CHARS = 1 << 20
MAX_ITEM_CHARS = 256 << 20
COMPRESSED = (".gz", ".zst")

Row = tuple[int, int, Any, str | None]  # line, characters, the row, what is wrong with it


def open_rows(files: list[Path], kind: FileFormat, tally: Tally) -> Source:
    """Look at all rows of the files for their columns. Raises UserError where there are none."""
    is_csv = kind in (FileFormat.csv, FileFormat.tsv)
    columns = Cells() if is_csv else Columns()
    read = {FileFormat.jsonl: _lines, FileFormat.json: _items}.get(kind) or _cells_by(
        "\t" if kind is FileFormat.tsv else ","
    )
    stamps = {path: stamp(path) for path in files}
    tally.total_work += 2 * sum(path.stat().st_size for path in files)
    first_fault = ""
    for path in files:
        for rows in _chunks(path, read, tally):
            columns.look([row for _, _, row, fault in rows if fault is None])
            for line, _, _, fault in rows:
                if fault and not tally.skips:
                    tally.bad(f"{path}, line {line}", fault)
                first_fault = first_fault or (fault and f": line {line}: {fault}") or ""
    schema = columns.schema
    if not schema.names:
        raise UserError(f"{files[0]} has no {'good ' if first_fault else ''}rows{first_fault}")

    def chunks() -> Iterator[Chunk]:
        for path in files:
            if stamp(path) != stamps[path]:
                raise RolloutError(f"{path} was changed meanwhile; type the same command again")
            for rows in _chunks(path, read, tally):
                good, at = [], []
                for line, _, row, fault in rows:
                    if fault is None:
                        good.append(row)
                        at.append(line)
                    else:
                        tally.num_read += 1
                        tally.bad(f"{path}, line {line}", fault)
                if good:
                    yield Chunk(columns.batch(good, schema), _where(path, at), _raw(good, is_csv))

    name = str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
    return Source(name, schema, chunks, files, notes=list(columns.notes), mixed=columns.mixed)


def _raw(rows: list[dict[str, Any]], is_csv: bool) -> list[dict[str, Any]] | None:
    return None if is_csv else rows  # numbers of CSV are Arrow's, as written


def _where(path: Path, lines: list[int]) -> Callable[[int], str]:
    return lambda index: f"{path}, line {lines[index]}"


def _chunks(
    path: Path, read: Callable[[TextIO], Iterable[Row]], tally: Tally
) -> Iterator[list[Row]]:
    """The rows of a file, some at a time, with the reading counted."""
    with _text(path) as (text, position):
        done, held, size = 0, [], 0
        try:
            for row in read(text):
                held.append(row)
                size += row[1]
                if len(held) >= CHUNK_ROWS or size >= CHUNK_BYTES:
                    yield held
                    held, size = [], 0
                    tally.work += position() - done
                    done = position()
                    tally.tick()
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} is not UTF-8 text: {error.reason} near byte {position():,}; convert it, "
                f"say with iconv -f latin1 -t utf-8"
            ) from error
        except _Broken as error:
            raise UserError(f"{path}, {error}") from error
        except (OSError, EOFError) as error:
            raise UserError(
                f"{path} cannot be read: {error.strerror if _has_reason(error) else error}"
            ) from error
        if held:
            yield held
        tally.work += path.stat().st_size - done


class _Broken(Exception):
    """No further row can be read."""


def _has_reason(error: Exception) -> bool:
    return bool(getattr(error, "strerror", None))


@contextmanager
def _text(path: Path) -> Iterator[tuple[TextIO, Callable[[], int]]]:
    """The file as text, unpacked, and how many of its bytes are read."""
    with path.open("rb") as raw:
        source: Any = raw
        if path.suffix.lower() == ".gz":
            source = gzip.GzipFile(fileobj=raw)
        elif path.suffix.lower() == ".zst":
            import pyarrow as pa

            source = pa.CompressedInputStream(pa.PythonFile(raw), "zstd")
        with io.TextIOWrapper(source, encoding="utf-8-sig", newline="") as text:
            yield text, raw.tell


def _lines(text: TextIO) -> Iterator[Row]:
    """JSON lines: an object each; empty lines are nothing."""
    # Not the file's own lines: they would end at a lone \r, which JSON takes for space.
    rest = ""
    number = 0
    while block := text.read(READ_CHARS):
        lines = (rest + block).split("\n")
        rest = lines.pop()
        for line in lines:
            number += 1
            if line.strip():
                yield number, len(line), *_object(line)
        if len(rest) > MAX_ITEM_CHARS:
            raise _Broken(f"line {number + 1} is longer than {MAX_ITEM_CHARS:,} characters")
    if rest.strip():
        yield number + 1, len(rest), *_object(rest)


def _object(line: str) -> tuple[Any, str | None]:
    try:
        value = parse(line, "this line", "is no JSON")
    except ValueError as error:
        hint = "; for a list of objects type format=json" if line.lstrip()[:1] == "[" else ""
        return None, f"{error}{hint}"
    return (value, None) if isinstance(value, dict) else (None, _no_object(value))


def _no_object(value: Any) -> str:
    return f"a row is a JSON object, not {json.dumps(value, ensure_ascii=False)[:40]}"


def _items(text: TextIO) -> Iterator[Row]:
    """The members of a JSON list, each as soon as it is read; a file of JSON lines will do."""
    first = text.read(READ_CHARS)
    start = first.lstrip()
    if start[:1] != "[":
        for line, size, row, fault in _lines(_Pushed(first, text)):
            yield (
                line,
                size,
                row,
                fault and f"{fault}; wanted is [{{...}}, ...], or an object a line",
            )
        return
    line = 1 + first[: len(first) - len(start)].count("\n")
    yield from _members(start[1:], text, line)


class _Pushed:
    """A text whose beginning was read already."""

    def __init__(self, start: str, text: TextIO):
        self._start, self._text = start, text

    def read(self, count: int) -> str:
        start, self._start = self._start, ""
        return start or self._text.read(count)


def _members(held: str, text: TextIO, line: int) -> Iterator[Row]:
    """The rows of a list after its bracket. Raises _Broken where it is no list, or goes on."""
    decode = json.JSONDecoder().raw_decode
    at, is_end, after = 0, False, "["
    while True:
        if match := _SPACE.match(held, at):
            line += held.count("\n", at, match.end())
            at = match.end()
        sign = held[at : at + 1]
        if sign == "]" and after != ",":
            return _refuse_more(held[at + 1 :], text, line)
        if sign and sign in ",]":
            if after != "item" or sign == "]":
                raise _Broken(f"line {line}: no JSON: {sign!r} where an item should stand")
            at, after = at + 1, ","
            continue
        if sign and after == "item":
            raise _Broken(f"line {line}: no JSON: no comma between two items")
        if sign:
            try:
                value, end = decode(held, at)
                if end < len(held) or is_end:  # a number might go on
                    if held.find("\\u", at, end) >= 0:
                        json.dumps(value, ensure_ascii=False).encode()
                    fault = None if isinstance(value, dict) else _no_object(value)
                    yield line, end - at, value if fault is None else None, fault
                    line += held.count("\n", at, end)
                    at, after = end, "item"
                    continue
            except UnicodeEncodeError:
                raise _Broken(f"line {line}: JSON escapes half a surrogate pair") from None
            except (json.JSONDecodeError, RecursionError) as error:
                if is_end or not _is_cut(error, held):
                    spot = getattr(error, "pos", at)
                    raise _Broken(
                        f"line {line + held.count(chr(10), at, spot)}: no JSON: "
                        f"{getattr(error, 'msg', 'nested too deep')}"
                    ) from None
        if is_end:
            raise _Broken(f"line {line}: the list does not end; its copy did not finish?")
        if len(held) - at > MAX_ITEM_CHARS:
            raise _Broken(f"line {line}: an item is longer than {MAX_ITEM_CHARS:,} characters")
        # Twice as much each time: an item over many blocks is parsed again from its start.
        block = text.read(max(READ_CHARS, len(held) - at))
        is_end, held, at = not block, held[at:] + block, 0


def _refuse_more(held: str, text: TextIO, line: int) -> None:
    """Nothing may follow the list: what did would be lost."""
    while held or (held := text.read(READ_CHARS)):
        if rest := held.lstrip():
            line += held[: len(held) - len(rest)].count("\n")
            raise _Broken(f"line {line}: more text after the list's end: {rest[:20]!r}")
        line += held.count("\n")
        held = ""


_SPACE = re.compile(r"[ \t\r\n]+")


def _is_cut(error: Exception, held: str) -> bool:
    """Whether more text may mend it."""
    return isinstance(error, json.JSONDecodeError) and (
        error.msg.startswith("Unterminated string") or error.pos >= len(held) - 16
    )


def _cells_by(delimiter: str) -> Callable[[TextIO], Iterable[Row]]:
    def rows(text: TextIO) -> Iterator[Row]:
        csv.field_size_limit(CHUNK_BYTES)
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        names: Sequence[str] | None = None
        line = 1
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise _Broken(f"line {reader.line_num}: no CSV: {error}") from None
            if cells is None:
                return
            if not cells:  # an empty line
                pass
            elif names is None:
                names = cells
                if twice := [name for name in names if names.count(name) > 1]:
                    raise _Broken(f"line {line}: two columns {twice[0]!r}; rename one")
            elif len(cells) != len(names):
                yield line, 1, None, f"{len(cells)} cells, but {len(names)} columns"
            else:
                row = dict(zip(names, cells, strict=True))
                yield line, sum(map(len, cells)), row, None
            line = reader.line_num + 1

    return rows


def first_rows(path: Path, kind: FileFormat, count: int | None) -> list[dict[str, Any]]:
    """The first rows of a small file. Raises UserError where one is bad."""
    source = open_rows([path], kind, Tally())
    rows = (row for chunk in source.chunks() for row in chunk.rows(source.schema.names))
    return list(itertools.islice(rows, count))
