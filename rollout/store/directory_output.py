"""A published directory: files part-00000.parquet, part-00001.parquet, ... and nothing else.

Owns the file names, and how the directory is written: whole, at once, or not at all. Guarantees
never to remove or move a file of any other name. Must not know about rows or settings.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rollout.system.disk import PART, exchanged, remove_directory, rename, sync_directory
from rollout.system.storage.paths import SUCCESS, RemotePath, is_remote

MAX_FILES = 100_000  # five digits, so that the names sort in the order of the rows
TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def foreign_entry(directory: Path) -> Path | None:
    """Return the first entry, by name, that does not belong to a published directory."""
    return next(
        (p for p in sorted(directory.iterdir()) if not _is_part(p)),
        None,
    )


def _is_part(path: Path) -> bool:
    if is_remote(path):  # a store's directories have only files
        return path.name == SUCCESS or bool(PART.fullmatch(path.name))
    return bool(PART.fullmatch(path.name)) and path.is_file()


@contextmanager
def local_copy(path: RemotePath, scratch: Path | None, is_directory: bool) -> Iterator[Path]:
    """Yield a name, or an empty directory, to write what will be uploaded to `path`.

    It is in the directory `scratch`, which has room for it, or else in a temporary one. What a kill
    leaves there is removed by `disk.remove_leftovers`.
    """
    with ExitStack() as stack:
        parent = scratch or Path(stack.enter_context(TemporaryDirectory(prefix="rollout-")))
        mark = hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()
        temporary = parent / f".{path.name[:64]}.{mark}.tmp"
        remove_directory(temporary) if temporary.is_dir() else temporary.unlink(missing_ok=True)
        if is_directory:
            temporary.mkdir()
        try:
            yield temporary
        finally:
            remove_directory(temporary) if is_directory else temporary.unlink(missing_ok=True)


@contextmanager
def directory_written_whole(
    path: Path, tag: str, replace: bool | Callable[[Path], bool] = True
) -> Iterator[Path]:
    """Yield an empty directory to write files to; on success rename it to `path`, else remove it.

    A kill leaves `.NAME.new.TAG.tmp` or `.NAME.old.TAG.tmp`, never the name that a file leaves (see
    `disk.remove_leftovers`). `replace` is as in `disk.written_whole`. Raises FileExistsError if the
    directory at `path` may not be replaced, or holds a file of another name; an empty directory
    may always be replaced.
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
        rename(temporary, path)  # fails unless `path` is free or an empty directory
    except OSError as error:
        if error.errno in TAKEN:
            raise FileExistsError(f"{path} has appeared meanwhile") from None
        raise


def _replace(
    temporary: Path, path: Path, aside: Path, replace: bool | Callable[[Path], bool]
) -> None:
    """Replace the old directory by the new one; leave the old one under a temporary name."""
    if exchanged(temporary, path):
        if not _may_replace(temporary, replace):
            exchanged(temporary, path)
            raise FileExistsError(f"{path} has been changed meanwhile")
        return
    if not _may_replace(path, replace):
        raise FileExistsError(f"{path} has been changed meanwhile")
    rename(path, aside)
    try:
        rename(temporary, path)
    except OSError:
        rename(aside, path)
        raise


def _may_replace(directory: Path, replace: bool | Callable[[Path], bool]) -> bool:
    if foreign_entry(directory):
        return False
    return replace is True or replace(directory)
