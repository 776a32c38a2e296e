"""Input files: what a value of data.input points at, and whether each is parquet.

Owns the finding of files and the first look at one. Promises: a file or directory that cannot
serve is a UserError that names it, says what it seems to be and what to type; whatever reading a
file raises names that file. Must not know rows, columns or what a prompt is.
"""

import glob
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.errors import RolloutError, UserError, did_you_mean

if TYPE_CHECKING:
    import pyarrow.parquet as pq

READ_BYTES = 1 << 20  # of a column at a time, else a whole row group's column is read at once


def find_files(text: str | None, start_dir: Path) -> list[Path]:
    """The files that a value of data.input names: a file, a glob, a directory or pkg://."""
    if not text:
        raise UserError(
            "data.input is not set; type data.input=FILE.parquet (or a glob, or a directory of "
            "parquet files), or experiment=demo for a first look"
        )
    value, path = f"data.input={text}", Path(text)
    if text.startswith("pkg://"):
        package, _, inside = text.removeprefix("pkg://").partition("/")
        try:
            path = Path(str(resources.files(package))) / inside
        except ModuleNotFoundError:
            raise UserError(f"{value}: there is no Python package {package!r}") from None
    elif "://" in text:
        raise UserError(f"{value}: only local files are read; download it and give its path")
    with suppress(RuntimeError):  # a ~name that is nobody's
        path = path.expanduser()
    start_dir, pattern = start_dir.absolute(), str(path)
    path = start_dir / path
    try:
        if path.is_dir():
            next(path.iterdir(), None)  # raises where it may not be read
            return _in_directory(path) or _refuse(f"{value} {_nothing_in(path)}")
        if path.exists():
            return [path] if path.is_file() else _refuse(f"{value} is not a regular file")
        if not glob.has_magic(pattern):
            _refuse(f"{value} does not exist.{_near(path)}")
    except OSError as error:
        raise UserError(f"{value}: {error.strerror}") from None
    # Not Path.glob: it takes hidden files and, before 3.13, follows no linked directories.
    names = glob.glob(pattern, root_dir=start_dir, recursive=True)  # noqa: PTH207
    matches = [start_dir / name for name in names]
    files = [p for p in matches if p.is_file()]
    files = files or [p for d in matches if d.is_dir() for p in _in_directory(d)]
    return sorted(set(files)) or _refuse(f"{value} matches no file")


def _refuse(message: str) -> Any:
    raise UserError(message)


def _in_directory(directory: Path) -> list[Path]:
    """Parquet files in it, except what writers leave behind (`_metadata`, `.part`).

    Not in its subdirectories: the runs of a tool like this one may be kept there.
    """
    names = glob.glob("*.parquet", root_dir=directory)  # noqa: PTH207
    kept = [name for name in names if not name.startswith("_")]
    return sorted(directory / name for name in kept if (directory / name).is_file())


def _nothing_in(directory: Path) -> str:
    below = next(directory.glob("*/**/*.parquet"), None)
    hint = f"; for those in subdirectories type data.input='{directory}/**/*.parquet'"
    return "holds no *.parquet file" + (hint if below else "")


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return f" Neither does the directory {path.parent}"
    names = sorted(p.name for p in path.parent.glob("*.parquet"))
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return did_you_mean(path.name, names) or (f" Beside it: {listed}" if names else "")


def open_parquet(path: Path) -> "pq.ParquetFile":
    """Read the footer; the caller closes. Rows are read a little at a time."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, buffer_size=READ_BYTES, pre_buffer=False)


@contextmanager
def reading(path: Path, kind: type[RolloutError] = RolloutError) -> Iterator[None]:
    """Name the file in whatever reading it raises."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = getattr(error, "strerror", None)  # the system's; Arrow's own have none
        reason = reason or f"it is damaged ({str(error).partition(chr(10))[0]})"
        raise kind(f"{path} cannot be read: {reason}") from error


def seal(path: Path) -> bytes:
    """16 bytes that change with the file's size or footer. Raises UserError if it has none."""
    with path.open("rb") as file:
        head, size = file.read(512), file.seek(0, 2)
        file.seek(max(0, size - 8))
        tail = file.read()
        length = int.from_bytes(tail[:4], "little")
        if not (size >= 12 and head[:4] == tail[4:] == b"PAR1" and length <= size - 12):
            raise UserError(f"{path} is not a parquet file: {_looks_like(head, path)}")
        file.seek(size - 8 - length)
        return hashlib.blake2b(f"{size}:".encode() + file.read(), digest_size=16).digest()


def stamp(path: Path) -> tuple[int, int]:
    """Changes whenever the file is written or replaced, even by as many bytes; for one process."""
    status = path.stat()
    return status.st_mtime_ns, status.st_ino


def _looks_like(head: bytes, path: Path) -> str:
    """What a file that is no parquet seems to be, and what to do about it."""

    def convert(kind: str, reader: str, more: str = "") -> str:
        target = path.with_suffix(".parquet").name
        code = f"pandas.read_{reader}({path.name!r}{more}).to_parquet({target!r})"
        return f"it looks like {kind}; convert it: {code}"

    start = head.lstrip(b"\xef\xbb\xbf \r\n\t")
    signs = {
        b"PAR1": "it is cut off (no footer): its writer or its copy did not finish",
        b"PARE": "it is encrypted",
        b"version https://git-lfs": "it is a Git LFS pointer; type git lfs pull",
        b"{": convert("JSON lines", "json", ", lines=True"),
        b"[": convert("JSON", "json"),
        b"ARROW1": convert("Feather", "feather"),
        b"\x1f\x8b": "it is a gzip file; unpack it",
        b"PK\3\4": "it is a zip file; unpack it",
        b"<": "it looks like a web page; download it again",
    }
    line = start.partition(b"\n")[0]
    if found := [meaning for sign, meaning in signs.items() if start.startswith(sign)]:
        return found[0]
    if b"\0" not in head and (b"," in line or b"\t" in line):
        return convert("CSV", "csv")
    return f"it starts with {head[:12]!r}" if head else "it is empty"
