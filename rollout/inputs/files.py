"""Input files: find the files data.input names, and check that each is parquet.

Guarantees: an unusable file or directory is a UserError that names it, says what it looks like and
what to type; any error while reading a file names that file. Must not know about rows, columns or
what a prompt is.
"""

import errno
import glob
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.errors import RolloutError, UserError, did_you_mean
from rollout.system.storage.faults import StorageError, explained
from rollout.system.storage.paths import (
    RemotePath,
    find_glob,
    has_magic,
    is_remote,
    open_random,
    remote_path,
)

if TYPE_CHECKING:
    import pyarrow.parquet as pq

READ_BYTES = 1 << 20  # of a column at a time; else Arrow reads a row group's column at once
STORE_FACTOR = 4  # more on a store, where each read is a request
SIGNATURE_BYTES = 28  # a nonce and a tag, after a plain footer of a file with encrypted columns
DECRYPT = "rollout reads only unencrypted parquet; write a decrypted copy, and type its name"
SEVERAL = "for several files type a glob or a directory"


def find_files(text: str | None, start_dir: Path) -> list[Path]:
    """Return the files that data.input names: a file, a glob, a directory or pkg://."""
    if not text:
        raise UserError(
            "data.input is not set; type data.input=FILE.parquet (or a glob, or a directory of "
            "parquet files), or experiment=demo to try it out"
        )
    value, text = f"data.input={text}", text.removeprefix("file://")
    path = Path(text)
    if text.startswith("pkg://"):
        package, _, inside = text.removeprefix("pkg://").partition("/")
        try:
            path = Path(str(resources.files(package))) / inside
        except ModuleNotFoundError:
            raise UserError(f"{value}: there is no Python package {package!r}") from None
    elif is_remote(text):
        return _on_store(remote_path(text), value)
    with suppress(RuntimeError):  # ~name of an unknown user
        path = path.expanduser()
    start_dir, pattern = start_dir.absolute(), str(path)
    path = start_dir / path
    try:
        if path.is_dir():
            next(path.iterdir(), None)  # raises if the directory is not readable
            return _in_directory(path) or _refuse(f"{value} {_nothing_in(path)}")
        if path.exists():
            return (
                [path]
                if path.is_file()
                else _refuse(
                    f"{value} is not a regular file, and parquet can't be read from a pipe or a "
                    "device; write it to a file and type data.input=FILE.parquet"
                )
            )
        if path.is_symlink() or not glob.has_magic(pattern):
            _refuse(_broken_link(path) or f"{value} does not exist.{_near(path)}")
    except OSError as error:
        raise UserError(f"{value}: {error.strerror}") from None
    # Not Path.glob: it includes hidden files and, before 3.13, does not follow linked directories.
    names = glob.glob(pattern, root_dir=start_dir, recursive=True)  # noqa: PTH207
    matches = [start_dir / name for name in names]
    if "**" in pattern:  # a link to a parent directory repeats its files
        deepest = sorted(matches, key=lambda p: (len(p.parts), p), reverse=True)
        matches = list({os.path.realpath(p): p for p in deepest}.values())
    files = _regular(matches) or [p for d in matches if d.is_dir() for p in _in_directory(d)]
    return sorted(set(files)) or _refuse(f"{value} matches no file.{_near(path)}")


def _on_store(path: RemotePath, value: str) -> list[Path]:
    """Return the file, the directory's files, or the glob's matches on an object store."""
    if path.is_file():
        return [path]
    if has_magic(path):
        return find_glob(path) or _refuse(f"{value} matches no file.{_near(path)}")
    return _in_directory(path) or _refuse(
        f"{value} {_nothing_in(path)}" if path.is_dir() else f"{value} does not exist.{_near(path)}"
    )


def _refuse(message: str) -> Any:
    raise UserError(message)


def _in_directory(directory: Path) -> list[Path]:
    """Return the parquet files in it, except writers' leftovers (`_metadata`, `.part`).

    Subdirectories are not searched: they may hold the runs of a tool like this one.
    """
    if isinstance(directory, RemotePath):
        found = directory.glob("*.parquet")
        return sorted(path for path in found if not path.name.startswith("_"))
    names = glob.glob("*.parquet", root_dir=directory)  # noqa: PTH207
    return sorted(_regular([directory / name for name in names if not name.startswith("_")]))


def _regular(paths: list[Path]) -> list[Path]:
    """Return the files among the paths. Refuse a broken link: its rows would be missing."""
    broken = next((fault for path in paths if (fault := _broken_link(path))), None)
    return _refuse(broken) if broken else [path for path in paths if path.is_file()]


def _broken_link(path: Path) -> str | None:
    """Return what is wrong with a broken link; None for anything else."""
    if not path.is_symlink() or path.exists():
        return None
    try:
        path.resolve(strict=True)
    except (RuntimeError, OSError) as error:  # before 3.13 a loop is a RuntimeError
        if isinstance(error, RuntimeError) or error.errno == errno.ELOOP:
            return f"{path} is part of a loop of symbolic links; type the file's own name"
    return f"{path} is a link to {path.readlink()}, which does not exist; remove or fix it"


def _nothing_in(directory: Path) -> str:
    if next(directory.glob("*/**/*.parquet"), None):
        hint = f"for those in subdirectories type data.input='{directory}/**/*.parquet'"
    else:
        hint = f"for files with other names type a glob, such as data.input='{directory}/*'"
    return f"holds no *.parquet file; {hint}"


def _near(path: Path) -> str:
    if "," in path.name:
        return f" It is read as a single name; {SEVERAL}"
    if not path.parent.is_dir() and not glob.has_magic(str(path)):
        return f" Neither does the directory {path.parent}"
    names = sorted(p.name for p in path.parent.glob("*.parquet"))
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return did_you_mean(path.name, names) or (f" Its directory has: {listed}" if names else "")


@contextmanager
def open_parquet(path: Path) -> "Iterator[pq.ParquetFile]":
    """Open the file and read its footer; rows are read in small pieces later.

    Raises UserError if columns are encrypted: reading one would abort the process.
    """
    import pyarrow.parquet as pq

    read_bytes = READ_BYTES * (STORE_FACTOR if isinstance(path, RemotePath) else 1)
    with open_random(path) as source:
        file = pq.ParquetFile(
            source, buffer_size=read_bytes, pre_buffer=False, page_checksum_verification=True
        )
        if (
            int.from_bytes(source.read_at(4, source.size() - 8), "little")
            - file.metadata.serialized_size
            == SIGNATURE_BYTES
        ):
            raise UserError(f"{path} has encrypted columns; {DECRYPT}")
        yield file


def row_group_sizes(file: "pq.ParquetFile") -> list[int]:
    """Return the rows of each row group. Raises ArrowInvalid if the sum is not the file's."""
    import pyarrow as pa

    metadata = file.metadata
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    if sum(sizes) != metadata.num_rows or min(sizes, default=0) < 0:
        raise pa.ArrowInvalid(f"{metadata.num_rows} rows, but {sum(sizes)} in its row groups")
    return sizes


@contextmanager
def reading(
    path: Path, kind: type[RolloutError] = RolloutError, advice: str = ""
) -> Iterator[None]:
    """Turn any error of reading into one that names the file and says what to do."""
    import pyarrow as pa

    try:
        with explained(path) if isinstance(path, RemotePath) else nullcontext():
            yield
    except StorageError as error:
        raise kind(f"{error.args[0]}; {advice}" if advice else error.args[0]) from error
    except UnicodeDecodeError as error:  # the only text read in the block
        reason = f"a column's name is not UTF-8; rename it ({error.object!r:.40})"
        raise kind(f"{path} can't be read: {reason}") from error
    except (pa.ArrowException, OSError) as error:
        reason = getattr(error, "strerror", None)  # the system's; Arrow's errors have none
        first = str(error).partition("\n")[0]
        if isinstance(error, pa.ArrowNotImplementedError):
            reason = f"pyarrow {pa.__version__} has no reader for it ({first})"
        reason = reason or f"it is damaged ({first}); copy it again, or write it again"
        advice = advice and f"; {advice}"
        raise kind(f"{path} can't be read: {reason}{advice}") from error


def seal(path: Path) -> bytes:
    """Return 16 bytes that change with the file's size or footer. Raises UserError."""
    with path.open("rb", buffering=0) as file:
        head, size = file.read(512), file.seek(0, 2)
        file.seek(max(0, size - 8))
        tail = file.read()
        length = int.from_bytes(tail[:4], "little")
        if not (size >= 12 and head[:4] == tail[4:] == b"PAR1" and length <= size - 12):
            raise UserError(f"{path} is not a parquet file: {_looks_like(head, path)}")
        file.seek(size - 8 - length)
        return hashlib.blake2b(f"{size}:".encode() + file.read(), digest_size=16).digest()


def _looks_like(head: bytes, path: Path) -> str:
    """Return what a file that is not parquet looks like, and what to do about it."""
    target = path.with_suffix(".parquet").name
    target = f"new_{target}" if target == path.name else target

    def convert(kind: str, reader: str, more: str = "") -> str:
        code = f"pandas.read_{reader}({path.name!r}{more}).to_parquet({target!r})"
        return f"it looks like {kind}; convert it: {code}"

    start = head.lstrip(b"\xef\xbb\xbf \r\n\t")
    signs = {
        b"PAR1": "it is cut off (no footer): its writer or its copy did not finish; copy it again",
        b"PARE": f"it is encrypted; {DECRYPT}",
        b"version https://git-lfs": "it is a Git LFS pointer; type git lfs pull",
        b"{": convert("JSON lines", "json", ", lines=True"),
        b"[": convert("JSON", "json"),
        b"ARROW1": convert("Feather", "feather"),
        b"\xff\xff\xff\xff": (
            "it looks like an Arrow stream, as saved by datasets; convert it: "
            f"datasets.Dataset.from_file({path.name!r}).to_parquet({target!r})"
        ),
        b"\x1f\x8b": "it is a gzip file; unpack it",
        b"PK\3\4": "it is a zip file; unpack it",
        b"<": "it looks like a web page; download it again",
    }
    line = start.partition(b"\n")[0]
    if start.startswith(b"{") and b'"custom_id"' in line:
        return (
            "it looks like OpenAI batch lines; make prompts of them: python -m rollout.prepare "
            f"source={path} output.path={target}"
        )
    if found := [meaning for sign, meaning in signs.items() if start.startswith(sign)]:
        return found[0]
    if b"\0" not in head and (b"," in line or b"\t" in line):
        return convert("CSV", "csv")
    if not head:
        return "it is empty; its writer or its copy did not finish"
    return f"it starts with {head[:12]!r}; convert it to parquet with a program that reads it"
