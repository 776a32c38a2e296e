"""Files of rows without a schema: JSON lines, JSON lists and CSV; plain, gzip or zstd.

Files are read twice: first for the columns' types, then for the rows. Guarantees that memory does
not grow with a file, and that errors name a bad row's file and line.
"""

import gzip
import io
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rollout.config.sections.prepare import FileFormat
from rollout.errors import RolloutError, UserError
from rollout.prepare.sources.columns import Cells, Columns
from rollout.prepare.sources.csv_rows import cells_by
from rollout.prepare.sources.json_rows import items, lines
from rollout.prepare.sources.row_text import Broken, Row
from rollout.prepare.sources.source import CHUNK_ROWS, Chunk, Source, Tally, name_of
from rollout.system.file_contents import Watched

CHUNK_BYTES = 8 << 20  # of text: keeps chunks of very long rows small
COMPRESSED = (".gz", ".zst")


def open_rows(files: list[Path], kind: FileFormat, tally: Tally) -> Source:
    """Open files and read all rows for their columns. Raises UserError if there are no rows."""
    is_csv = kind in (FileFormat.csv, FileFormat.tsv)
    columns = Cells() if is_csv else Columns()
    read = {FileFormat.jsonl: lines, FileFormat.json: items}.get(kind) or cells_by(
        "\t" if kind is FileFormat.tsv else ","
    )
    watched = Watched(files)
    watched.take_digests()
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
            if not watched.is_unchanged(path):
                raise RolloutError(f"{path} was changed meanwhile; run the same command again")
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
                    raw = None if is_csv else good  # Arrow has CSV's numbers
                    batch = columns.batch(good, schema)
                    yield Chunk(batch, lambda i, path=path, at=at: f"{path}, line {at[i]}", raw)

    notes, mixed = list(columns.notes), columns.mixed
    return Source(name_of(files), schema, chunks, files, notes=notes, mixed=mixed, watched=watched)


def _chunks(
    path: Path, read: Callable[[TextIO], Iterable[Row]], tally: Tally
) -> Iterator[list[Row]]:
    """Yield the rows of a file in chunks, and count the bytes read in `tally`."""
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
        except Broken as error:
            raise UserError(f"{path}, {error}") from error
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{path} can't be read: {reason}") from error
        if held:
            yield held
        tally.work += path.stat().st_size - done


@contextmanager
def _text(path: Path) -> Iterator[tuple[TextIO, Callable[[], int]]]:
    """Open a file as decompressed text; also yield a function that returns the bytes read."""
    with path.open("rb") as raw:
        source: Any = raw
        if path.suffix.lower() == ".gz":
            source = gzip.GzipFile(fileobj=raw)
        elif path.suffix.lower() == ".zst":
            import pyarrow as pa

            source = pa.CompressedInputStream(pa.PythonFile(raw), "zstd")
        # A bad byte becomes a surrogate, which is an error of its row only (row_text.py).
        with io.TextIOWrapper(
            source, encoding="utf-8-sig", errors="surrogateescape", newline=""
        ) as text:
            yield text, raw.tell


def first_rows(path: Path, kind: FileFormat, count: int | None) -> list[dict[str, Any]]:
    """Return the first rows of a small file. Raises UserError if one is bad."""
    source = open_rows([path], kind, Tally(remedy="correct that row"))
    rows = (row for chunk in source.chunks() for row in chunk.rows(source.schema.names))
    return list(itertools.islice(rows, count))
