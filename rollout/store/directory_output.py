"""A published directory: files part-00000.parquet, part-00001.parquet, ... and nothing else.

Owns its names, and its way onto the disk: whole, at once, or not at all. Promises: a
file that is not of these names is never removed nor moved. Knows no rows and no settings.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rollout.system.disk import PART, exchanged, remove_directory, rename, sync_directory

MAX_FILES = 100_000  # five digits, so that the order of the names is that of the rows
TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def stranger_in(directory: Path) -> Path | None:
    """What no published directory holds: the first such file or directory in it, by name."""
    return next(
        (p for p in sorted(directory.iterdir()) if not PART.fullmatch(p.name) or not p.is_file()),
        None,
    )


@contextmanager
def directory_written_whole(
    path: Path, tag: str, replace: bool | Callable[[Path], bool] = True
) -> Iterator[Path]:
    """Give an empty directory to write files to; on success rename it to `path`, else remove it.

    What a kill leaves is named `.NAME.new.TAG.tmp` or `.NAME.old.TAG.tmp`, never as a file's is
    (see `disk.remove_leftovers`). `replace` is as in `disk.written_whole`. Raises FileExistsError
    where what stands at `path` may not go, or holds a file of another name; an empty directory
    may always go.
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
        if replace is not False and path.is_dir() and any(path.iterdir()):
            _replace(temporary, path, aside, replace)
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


def _replace(
    temporary: Path, path: Path, aside: Path, replace: bool | Callable[[Path], bool]
) -> None:
    """Put the new directory in the old one's place; afterwards that is one of the other names."""
    if exchanged(temporary, path):
        if not _may_go(temporary, replace):
            exchanged(temporary, path)
            raise FileExistsError(f"{path} has been changed meanwhile")
        return
    if not _may_go(path, replace):
        raise FileExistsError(f"{path} has been changed meanwhile")
    rename(path, aside)
    try:
        rename(temporary, path)
    except OSError:
        rename(aside, path)
        raise


def _may_go(directory: Path, replace: bool | Callable[[Path], bool]) -> bool:
    if stranger_in(directory):
        return False
    return replace is True or replace(directory)
