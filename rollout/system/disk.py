"""Writing so that a kill at any instant leaves nothing half: every change of a run's files.

A file is either appended to, in frames that show whether they are whole, or written under a
temporary name and renamed. Nothing here knows what the files mean.
"""

import ctypes
import errno
import fcntl
import json
import os
import re
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rollout.errors import UserError
from rollout.system.formats import strict_json
from rollout.system.formats.exact_json import integer_of

Kind = type | tuple[type, ...]
FRAME = struct.Struct("<4sIQ")  # magic, crc32, payload bytes
MAGIC = b"row1"
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of renameat2(2), Linux
PART = re.compile(r"part-[0-9]{5}\.parquet")  # a file of a directory that is written whole


@contextmanager
def written_whole(
    path: Path, tag: str = "", replace: bool | Callable[[Path], bool] = True
) -> Iterator[Path]:
    """Give a temporary name to write to; on success rename it to `path`, else remove it.

    What a kill leaves is named `.NAME.TAG.tmp`; it is locked by whoever writes it, so the next one
    who writes `path` removes what nobody holds. `replace` says whether what stands at `path` by
    then may go: True, False, or a function that is asked, given a name under which it can be
    looked at. Raises FileExistsError where it may not; it is left as it was.
    """
    temporary = path.with_name(f".{path.name[:64]}.{tag or os.urandom(4).hex()}.tmp")
    temporary.unlink(missing_ok=True)  # left by a kill after os.link, it is `path` itself
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
    """Make the file and hold it locked, so that others see that its writer lives."""
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
    try:
        with suppress(OSError):  # a file system without locks: nobody removes it there
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def remove_abandoned(path: Path) -> None:
    """Remove what killed writers of `path` left beside it."""
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
    """Where this user's things lie that can be made again."""
    if base := os.environ.get("ROLLOUT_CACHE"):
        return Path(base).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rollout"


def rename(old: Path, new: Path) -> None:
    """Rename, replacing what is there; on disk when this returns."""
    os.replace(old, new)  # noqa: PTH105  one name for all renames
    sync_directory(new.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory last; some file systems can't be asked to."""
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
    """Rename, but never over a file: a hard link fails where one is."""
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
    """Rename over what `may_go` allows. What stands there is looked at once it has another name.

    So nothing that appears in between is lost, where the system can swap two names.
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
    """Swap two names in one step, so that neither is ever missing; False where that can't be."""
    swap = getattr(ctypes.CDLL(None), "renameat2", None)
    names = AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other)
    if swap is None or swap(*names, RENAME_EXCHANGE) != 0:
        return False
    sync_directory(one.parent)
    return True


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON whole; a number that is not finite is null there."""
    with written_whole(path) as temporary:
        fill_json(temporary, value)


def fill_json(path: Path, value: Any) -> None:
    """Write the same into a file that is there under a temporary name."""
    text = strict_json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is none, or no such object can be read in it.

    For what can be made anew, or done without. What decides something is read by `read_record`.
    """
    try:
        return _object_in(path)
    except _Damaged:
        return None


def read_record(
    path: Path, way_out: str, needed: dict[str, Kind] | None = None, /, **members: Kind
) -> dict[str, Any] | None:
    """The JSON object in a file that a decision hangs on; None only where nothing stands there.

    Each of `members` has to be of that kind where it is there; those of `needed` have to be there.
    A damaged record raises UserError, which ends with `way_out`: what else to type.
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
            f"{path} is damaged ({damage}); put it back as it was, or {way_out}"
        ) from None
    return found


class _Damaged(Exception):
    """Why a file holds no record."""


def _object_in(path: Path) -> dict[str, Any]:
    try:
        text = read_regular(path).decode("utf-8")
        found = json.loads(text, parse_int=integer_of)
    except OSError as error:
        raise _Damaged(error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise _Damaged("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _Damaged(f"no JSON at line {error.lineno}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits; brackets in brackets
        raise _Damaged("no JSON that can be read") from None
    if not isinstance(found, dict):
        raise _Damaged(f"it holds {_cut(found)} and no object")
    return found


def read_regular(path: Path) -> bytes:
    """What a regular file holds. Raises OSError for all else: a pipe would keep us waiting."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a directory", str(path))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return file.read()


def _is_of(value: Any, kind: Kind) -> bool:
    """Whether a member is of a kind; True and False are no numbers."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def _cut(value: Any) -> str:
    """A value of JSON on one line, cut."""
    try:
        text = json.dumps(value)
    except (RecursionError, ValueError):
        text = type(value).__name__
    return text if len(text) <= 40 else f"{text[:37]}..."


def remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def remove_directory(directory: Path) -> None:
    """Remove a directory of parts. Raises OSError, and leaves the rest, where it holds more."""
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        if PART.fullmatch(path.name):
            path.unlink()
    directory.rmdir()


def remove_leftovers(directory: Path, name: str = "*") -> None:
    """Remove what a killed `written_whole` left, of all files and directories or those of `name`.

    Only who holds the run's lock may.
    """
    for path in directory.glob(f".{name}.*.tmp"):
        if re.fullmatch(r"\..+\.([0-9]+|[0-9a-f]{8})\.tmp", path.name):
            if path.is_dir():
                remove_directory(path)
            else:
                path.unlink(missing_ok=True)


def append_frame(path: Path, payload: memoryview) -> None:
    """Append one frame. A kill, or a full disk, leaves at worst a torn tail."""
    head = FRAME.pack(MAGIC, zlib.crc32(payload), len(payload))
    with path.open("ab", buffering=0) as log:
        _write_all(log, head)
        _write_all(log, payload)


def _write_all(log: Any, data: Any) -> None:
    view = memoryview(data)
    while len(view):
        view = view[log.write(view) :]


def sync(path: Path) -> None:
    """Force what was appended to the disk itself; a file gone meanwhile was sealed."""
    try:
        with path.open("rb+") as file:
            os.fdatasync(file.fileno())
    except FileNotFoundError:
        pass


def read_frames(path: Path) -> tuple[list[memoryview], int, int]:
    """Whole payloads in the order written; bytes up to the last whole frame; bytes damaged before.

    A torn tail is what follows the last whole frame. Damage in the middle is skipped: the frames
    after it are found by their magic and checksum.
    """
    data = memoryview(path.read_bytes())
    payloads, at, good_end, damaged = [], 0, 0, 0
    while at < len(data):
        payload = _frame_at(data, at)
        if payload is None:
            at = _next_magic(data, at + 1)
            continue
        damaged += at - good_end
        payloads.append(payload)
        at = good_end = at + FRAME.size + len(payload)
    return payloads, good_end, damaged


def _frame_at(data: memoryview, at: int) -> memoryview | None:
    if len(data) - at < FRAME.size:
        return None
    magic, checksum, size = FRAME.unpack_from(data, at)
    start = at + FRAME.size
    if magic != MAGIC or size > len(data) - start:
        return None
    payload = data[start : start + size]
    return payload if zlib.crc32(payload) == checksum else None


def _next_magic(data: memoryview, start: int) -> int:
    found = data.obj.find(MAGIC, start)
    return len(data) if found < 0 else found


def cut(path: Path, size: int) -> None:
    """Cut a torn tail off."""
    if path.stat().st_size > size:
        os.truncate(path, size)


def file_of(directory: Path, number: int) -> Path:
    return directory / f"part-{number:05d}.parquet"


def at_home(path: str) -> str:
    """`path` with a leading ~ written out. Raises UserError where there is no such home."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        raise UserError(f"{path}: there is no such home directory; type ./{path}") from None
