"""Write files so that a kill at any instant leaves none half-written.

A file is written under a temporary name and renamed. Must not know what the files mean.
"""

import ctypes
import errno
import fcntl
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rollout.errors import UserError
from rollout.system.formats import strict_json
from rollout.system.formats.exact_json import integer_of
from rollout.system.storage.paths import RemotePath, is_remote, remote_path

Kind = type | tuple[type, ...]
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of renameat2(2), Linux
PART = re.compile(r"part-[0-9]{5}\.parquet")  # a file of an output directory


@contextmanager
def atomic_write(
    path: Path, tag: str = "", replace: bool | Callable[[Path], bool] = True
) -> Iterator[Path]:
    """Yield a temporary name to write to; on success rename it to `path`, else remove it.

    A kill leaves `.NAME.TAG.tmp`. Its writer holds a lock on it, so the next writer of `path`
    removes those that nobody holds. `replace` decides whether an existing `path` may be replaced:
    True, False, or a function that is called with a name under which it can be read. Raises
    FileExistsError if it may not, and leaves it as it was.
    """
    temporary = path.with_name(f".{path.name[:64]}.{tag or os.urandom(4).hex()}.tmp")
    temporary.unlink(missing_ok=True)  # a kill after os.link left it as a second name of `path`
    remove_abandoned(path)
    with _locked(temporary):
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            if replace is True:
                rename(temporary, path)
            elif replace is False or not os.path.lexists(path):
                _rename_to_new(temporary, path)
            else:
                _rename_over(temporary, path, replace)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _locked(temporary: Path) -> Iterator[None]:
    """Create the file and hold a lock on it, so that others see that its writer is alive."""
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
    try:
        with suppress(OSError):  # without locks on this file system, nobody removes it
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def remove_abandoned(path: Path) -> None:
    """Remove the temporary files that killed writers of `path` left beside it."""
    own = re.compile(re.escape(f".{path.name[:64]}.") + r"[0-9a-f]{1,10}\.tmp")
    try:
        names = [entry.name for entry in os.scandir(path.parent) if own.fullmatch(entry.name)]
    except OSError:
        return
    for name in names:
        with suppress(OSError):  # locked, gone, or a directory
            descriptor = os.open(path.with_name(name), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.with_name(name).unlink()
            finally:
                os.close(descriptor)


def cache_dir() -> Path:
    """Return the directory for files of this user that can be made again."""
    if base := os.environ.get("ROLLOUT_CACHE"):
        return Path(base).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rollout"


def rename(old: Path, new: Path) -> None:
    """Rename, replacing an existing file; durable when this returns."""
    os.replace(old, new)  # noqa: PTH105  one name for all renames
    sync_directory(new.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable, if the file system can."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename, but never over a file: a hard link fails if one exists."""
    try:
        os.link(temporary, path)
        sync_directory(path.parent)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(f"{path} has appeared meanwhile") from None
        rename(temporary, path)


def _rename_over(temporary: Path, path: Path, may_go: Callable[[Path], bool]) -> None:
    """Rename over an existing file if `may_go` allows it.

    If the system can swap two names, the old file is checked under its new name, so that no file
    that appears in between is lost.
    """
    if exchanged(temporary, path):
        if not may_go(temporary):
            exchanged(temporary, path)
            raise FileExistsError(f"{path} has been changed meanwhile")
        return
    if not may_go(path):
        raise FileExistsError(f"{path} has been changed meanwhile")
    rename(temporary, path)


def exchanged(one: Path, other: Path) -> bool:
    """Swap two names atomically, so that neither is ever missing; False if unsupported."""
    swap = getattr(ctypes.CDLL(None), "renameat2", None)
    names = AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other)
    if swap is None or swap(*names, RENAME_EXCHANGE) != 0:
        return False
    sync_directory(one.parent)
    return True


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON atomically; a number that is not finite becomes null."""
    with atomic_write(path) as temporary:
        write_json_into(temporary, value)


def write_json_into(path: Path, value: Any) -> None:
    """Write strict JSON into a file that has a temporary name."""
    text = strict_json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file; None if the file is missing or damaged.

    For data that can be made again, or done without. Use `read_record` for a file that decides.
    """
    try:
        return _object_in(path)
    except _Damaged:
        return None


def read_record(
    path: Path, remedy: str, needed: dict[str, Kind] | None = None, /, **members: Kind
) -> dict[str, Any] | None:
    """Return the JSON object in a file that a decision depends on; None only if it is missing.

    Members named in `members` must be of that kind if present; those in `needed` must be present.
    Raises UserError for a damaged record; the message ends with `remedy`: what else to type.
    """
    if not os.path.lexists(path):
        return None
    try:
        found = _object_in(path)
        for name, kind in {**(needed or {}), **members}.items():
            if name not in found and name in (needed or {}):
                raise _Damaged(f"it has no {name!r}")
            if name in found and not _is_of(found[name], kind):
                raise _Damaged(f"{name!r} can't be {_cut(found[name])}")
    except _Damaged as damage:
        raise UserError(
            f"{path} is damaged ({damage}); put it back as it was, or {remedy}"
        ) from None
    return found


class _Damaged(Exception):
    """A file holds no record; the message says why."""


def _object_in(path: Path) -> dict[str, Any]:
    try:
        text = read_regular(path).decode("utf-8")
        found = json.loads(text, parse_int=integer_of)
    except OSError as error:
        raise _Damaged(error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise _Damaged("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _Damaged(f"invalid JSON at line {error.lineno}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, or deep nesting
        raise _Damaged("its JSON can't be read") from None
    if not isinstance(found, dict):
        raise _Damaged(f"it holds {_cut(found)}, not an object")
    return found


def read_regular(path: Path) -> bytes:
    """Return the bytes of a regular file. Raises OSError for others: a pipe would block."""
    if isinstance(path, RemotePath):
        return path.read_bytes()
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a directory", str(path))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return file.read()


def _is_of(value: Any, kind: Kind) -> bool:
    """Whether a value is of a kind; True and False are not numbers."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def _cut(value: Any) -> str:
    """Return a JSON value on one line, shortened."""
    try:
        text = json.dumps(value)
    except (RecursionError, ValueError):
        text = type(value).__name__
    return text if len(text) <= 40 else f"{text[:37]}..."


def remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def remove_directory(directory: Path) -> None:
    """Remove a directory of parts. Raises OSError if it holds other files, and leaves those."""
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        if PART.fullmatch(path.name):
            path.unlink()
    directory.rmdir()


def remove_leftovers(directory: Path, name: str = "*") -> None:
    """Remove what a killed `written_whole` left, of all files and directories or those of `name`.

    The caller must hold the run's lock.
    """
    for path in directory.glob(f".{name}.*.tmp"):
        if re.fullmatch(r"\..+\.([0-9]+|[0-9a-f]{8})\.tmp", path.name):
            if path.is_dir():
                remove_directory(path)
            else:
                path.unlink(missing_ok=True)


def file_of(directory: Path, number: int) -> Path:
    return directory / f"part-{number:05d}.parquet"


def expand_home(path: str) -> str:
    """Return `path` with a leading ~ expanded. Raises UserError if there is no such home."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        raise UserError(f"{path}: there is no such home directory; type ./{path}") from None


def path_of(text: str, start_dir: Path | None = None) -> Path:
    """Return the path that a setting names: absolute, or on a store; ~ is expanded.

    Relative paths are relative to `start_dir`, or to the working directory.
    """
    if is_remote(text):
        return remote_path(text)
    return (start_dir or Path.cwd()) / expand_home(text.removeprefix("file://"))
