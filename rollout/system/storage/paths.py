"""Paths of objects, for use wherever a Path is read."""

import errno
import hashlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path, PosixPath
from typing import IO, TYPE_CHECKING, Any, TypeVar

from rollout.errors import UserError
from rollout.system.storage.faults import explained
from rollout.system.storage.filesystems import (
    Info,
    filesystem_of,
    fsspec_of,
    refuse_no_bucket,
    spec_info,
    version_of,
)

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.fs as pafs

READ_BYTES = 1 << 20  # of a text at a time: each read is a request
REQUESTS = 16  # at once
Result = TypeVar("Result")
SUCCESS = "_SUCCESS"  # the object that marks a complete directory, as Spark writes it
MAGIC = re.compile(r"[*?[]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://[^\n{]*")
_LOCAL = ("pkg", "file")


def is_remote(text: str | Path) -> bool:
    """Return whether a text names a file on a store, such as s3://bucket/key."""
    if isinstance(text, Path):
        return isinstance(text, RemotePath)
    found = _SCHEME.fullmatch(text)
    if not found or found[1] in _LOCAL:
        return False
    return not (found[1] in ("http", "https") and re.search(r"\s", text))


def real(path: Path) -> Path:
    """Return the path with all links followed; stores have none."""
    return path if isinstance(path, RemotePath) else Path(os.path.realpath(path))


def lexists(path: Path) -> bool:
    """Return whether something has this name, broken links included."""
    return path.exists() if isinstance(path, RemotePath) else os.path.lexists(path)


def open_random(path: Path) -> "pa.NativeFile":
    """Open a file for Arrow to read any part of it. The caller closes it."""
    import pyarrow as pa

    if isinstance(path, RemotePath):
        with explained(path):
            if (spec := fsspec_of(path.filesystem)) is not None:  # the default reads 5 MB ahead
                return pa.PythonFile(spec.open(path.key, "rb", block_size=READ_BYTES), "r")
            return path.filesystem.open_input_file(path.key)
    return pa.OSFile(os.fsencode(path))  # bytes: Arrow takes a Path only if it is UTF-8


class RemotePath(PosixPath):
    """The path of an object; made from its URL.

    Everything it can do means the same as for a local file. Whatever it can't do, because it needs
    a file of the operating system, is a TypeError.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return super().__str__().replace(":/", "://", 1)

    def __fspath__(self) -> str:
        raise TypeError(f"{self} is not a file of the operating system")

    @property
    def scheme(self) -> str:
        return self.parts[0].removesuffix(":")

    @property
    def bucket(self) -> str:
        return self.parts[1] if len(self.parts) > 1 else ""

    @property
    def filesystem(self) -> "pafs.FileSystem":
        with explained(self):
            return filesystem_of(self.scheme, self.bucket)

    @property
    def key(self) -> str:
        """The name that the filesystem knows the object by."""
        if (spec := fsspec_of(self.filesystem)) is not None:
            return spec._strip_protocol(str(self))
        return "/".join(self.parts[1:])

    @property
    def version(self) -> str:
        """What changes whenever the object does: its size and, for example, its ETag."""
        return self._known().version

    def is_absolute(self) -> bool:
        return True

    def absolute(self) -> "RemotePath":
        return self

    def resolve(self, strict: bool = False) -> "RemotePath":
        return self

    def expanduser(self) -> "RemotePath":
        return self

    def is_symlink(self) -> bool:
        return False

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        return self._info() is not None

    def is_file(self) -> bool:
        return (info := self._info()) is not None and not info.is_dir

    def is_dir(self) -> bool:
        return (info := self._info()) is not None and info.is_dir

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return size, kind and an inode number that changes whenever the object does."""
        info = self._known()
        mark = hashlib.blake2b(f"{self}\n{info.version}".encode(), digest_size=7).digest()
        kind = stat.S_IFDIR if info.is_dir else stat.S_IFREG
        values = (kind | 0o644, int.from_bytes(mark), 0, 1, 0, 0, info.size, 0, 0, 0)
        return os.stat_result(values, dict.fromkeys(("st_mtime_ns", "st_ctime_ns"), 0))

    def lstat(self) -> os.stat_result:
        return self.stat()

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO:
        """Open for reading. Raises FileNotFoundError if there is no such object."""
        assert mode in ("r", "rb"), "only `upload` writes objects"
        raw = _Raw(open_random(self), self)
        if buffering == 0:
            return raw
        file = io.BufferedReader(raw, READ_BYTES if buffering < 2 else buffering)
        return file if mode == "rb" else io.TextIOWrapper(file, encoding, errors, newline)

    def iterdir(self) -> Iterator["RemotePath"]:
        yield from self._listed(recursive=False)

    def glob(self, pattern: str) -> Iterator["RemotePath"]:
        """Yield the files below that match, in any order; hidden ones only if asked for."""
        wanted = pattern.split("/")
        depth = len(self.parts)
        for path in self._listed(recursive=len(wanted) > 1):
            if _matches(path.parts[depth:], wanted):
                yield path

    def unlink(self, missing_ok: bool = False) -> None:
        with explained(self):
            try:
                self.filesystem.delete_file(self.key)
            except FileNotFoundError:
                if not missing_ok:
                    raise

    def _known(self) -> Info:
        if (info := self._info()) is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(self))
        return info

    def _info(self) -> Info | None:
        """Return what the store says of the object or the directory; None if there is neither."""
        with explained(self):
            filesystem, key = self.filesystem, self.key
            if (spec := fsspec_of(filesystem)) is not None:
                return spec_info(spec, key)
            if len(self.parts) > 2:
                with suppress(FileNotFoundError), filesystem.open_input_file(key) as file:
                    size, told = file.size(), dict(file.metadata() or {})
                    return Info(False, size, version_of(size, told))
            found = filesystem.get_file_info(key)
            if found.type.name == "NotFound":
                refuse_no_bucket(filesystem, self.bucket, str(self))
                return None
            return Info(found.type.name == "Directory", found.size or 0, f"{found.mtime_ns}")

    def _listed(self, recursive: bool) -> list["RemotePath"]:
        """Return the files below; empty if there is no such directory."""
        import pyarrow.fs as pafs

        with explained(self):
            if (spec := fsspec_of(self.filesystem)) is not None:
                spec.invalidate_cache()
            selector = pafs.FileSelector(self.key, allow_not_found=True, recursive=recursive)
            found = self.filesystem.get_file_info(selector)
        names = (info.path.lstrip("/") for info in found if info.type.name == "File")
        return [RemotePath(n if "://" in n else f"{self.scheme}://{n}") for n in names]


class _Raw(io.RawIOBase):
    """An Arrow file as Python's buffers want it, with the store's errors explained."""

    def __init__(self, file: "pa.NativeFile", path: RemotePath):
        self._file, self._path = file, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with explained(self._path):
            found = self._file.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def readall(self) -> bytes:
        with explained(self._path):
            return self._file.read()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


def of_each(
    function: Callable[[Path], Result], paths: Iterable[Path]
) -> Iterator[tuple[Path, Result]]:
    """Yield each path with what the function returns for it; on a store, ask for many at once."""
    paths = list(paths)
    if not any(isinstance(path, RemotePath) for path in paths):
        yield from ((path, function(path)) for path in paths)
        return
    with ThreadPoolExecutor(REQUESTS) as pool:
        yield from zip(paths, pool.map(function, paths), strict=True)


def remote_path(text: str) -> RemotePath:
    """Return the path of a URL. Raises UserError if no object can have it."""
    scheme, _, rest = text.partition("://")
    scheme = {"s3a": "s3", "gcs": "gs"}.get(scheme.lower(), scheme.lower())
    if "@" in rest.split("/", 1)[0]:
        raise UserError(
            f"{scheme}://...: a path must not hold credentials; leave them out, and set the "
            "environment variables of the store's own tools"
        )
    inner = rest.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in inner):
        example = {"hf": "hf://datasets/ORG/NAME/FILE"}.get(scheme, f"{scheme}://BUCKET/KEY")
        raise UserError(f"{text}: a part of the name is empty; type a path such as {example}")
    return RemotePath(f"{scheme}://{rest}")


def text_of(path: os.PathLike) -> str:
    """Return a path as it would be typed: pathlib takes one of a URL's slashes away."""
    if isinstance(path, RemotePath):
        return str(path)
    text = os.fspath(path)
    return re.sub(r"^([a-z][a-z0-9]+):/(?!/)", r"\1://", text) if isinstance(text, str) else text


def find_glob(pattern: RemotePath) -> list[RemotePath]:
    """Return the files that match a path with *, ?, [...] or **, sorted."""
    fixed = next(i for i, part in enumerate(pattern.parts) if MAGIC.search(part))
    base = RemotePath(*pattern.parts[:fixed])
    return sorted(base.glob("/".join(pattern.parts[fixed:])))


def has_magic(path: RemotePath) -> bool:
    """Return whether a path is a glob. A URL's ? begins its query."""
    return path.scheme not in ("http", "https") and bool(MAGIC.search(str(path)))


def _matches(parts: tuple[str, ...], wanted: list[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_matches(parts[skip:], wanted[1:]) for skip in range(len(parts) + 1))
    if not parts or (parts[0].startswith(".") and not wanted[0].startswith(".")):
        return False
    return fnmatchcase(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:])
