"""A published directory: files part-00000.parquet, part-00001.parquet, ... and nothing else.

Owns its names, its seal, and its way onto the disk: whole, at once, or not at all. Promises: a
file that is not of these names is never removed nor moved. Knows no rows and no settings.
"""

import ctypes
import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rollout.disk import PART, remove_directory, rename, sync_directory
from rollout.errors import UserError
from rollout.input_files import seal

MAX_FILES = 100_000  # five digits, so that the order of the names is that of the rows
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of renameat2(2), Linux
TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def file_of(directory: Path, number: int) -> Path:
    return directory / f"part-{number:05d}.parquet"


def stranger_in(directory: Path) -> Path | None:
    """What no published directory holds: the first such file or directory in it, by name."""
    return next(
        (p for p in sorted(directory.iterdir()) if not PART.fullmatch(p.name) or not p.is_file()),
        None,
    )


def seal_of(path: Path) -> bytes:
    """16 bytes that change with a published file, or with any file of a published directory.

    Raises UserError where something else is in it, or a file is no parquet.
    """
    if not path.is_dir():
        return seal(path)
    if stranger := stranger_in(path):
        raise UserError(f"{stranger} is no file of a published directory")
    found = hashlib.blake2b(digest_size=16)
    for file in sorted(path.iterdir()):
        found.update(file.name.encode() + b"\0" + seal(file))
    return found.digest()


@contextmanager
def directory_written_whole(path: Path, tag: str, replace: bool = True) -> Iterator[Path]:
    """Give an empty directory to write files to; on success rename it to `path`, else remove it.

    What a kill leaves is named `.NAME.new.TAG.tmp` or `.NAME.old.TAG.tmp`, never as a file's is
    (see `disk.remove_leftovers`). Raises FileExistsError where a stranger's file is in `path`, and,
    with `replace` false, where `path` has appeared meanwhile; an empty directory may stand there.
    """
    temporary = path.with_name(f".{path.name[:64]}.new.{tag}.tmp")
    aside = path.with_name(f".{path.name[:64]}.old.{tag}.tmp")
    remove_directory(temporary)
    remove_directory(aside)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.iterdir():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
        sync_directory(temporary)
        if replace and path.is_dir():
            _replace(temporary, path, aside)
        else:
            _rename_to_new(temporary, path)
    finally:
        remove_directory(temporary)
        remove_directory(aside)


def _rename_to_new(temporary: Path, path: Path) -> None:
    try:
        rename(temporary, path)  # which fails where anything but an empty directory is
    except OSError as error:
        if error.errno in TAKEN:
            raise FileExistsError(f"{path} has appeared meanwhile") from None
        raise


def _replace(temporary: Path, path: Path, aside: Path) -> None:
    """Put the new directory in the old one's place; afterwards that is one of the other names."""
    if stranger := stranger_in(path):
        raise FileExistsError(f"{stranger} has appeared meanwhile")
    if exchanged(temporary, path):
        return
    rename(path, aside)
    try:
        rename(temporary, path)
    except OSError:
        rename(aside, path)
        raise


def exchanged(one: Path, other: Path) -> bool:
    """Swap two names in one step, so that neither is ever missing; False where that can't be."""
    swap = getattr(ctypes.CDLL(None), "renameat2", None)
    names = AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other)
    if swap is None or swap(*names, RENAME_EXCHANGE) != 0:
        return False
    sync_directory(one.parent)
    return True
