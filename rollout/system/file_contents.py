"""Detect changed files cheaply: by a stamp, and by a digest where the stamp differs.

A digest covers every byte. A stamp (size, times, inode) stays the same only while nobody writes to
the file. For an object on a store both are the version that the store tells, such as its ETag. A
directory is compared by the names and contents of its files. Must not know what files are for.
"""

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rollout.system.storage.paths import SUCCESS, RemotePath, of_each

ENDING_BYTES = 64 << 10
NOTHING = "nothing"  # the digest of a missing file

Seen = dict[str, Any]  # {"stamp": [...], "digest": "..."}, which can be stored as JSON


def stamp(path: Path) -> list:
    """Return values that change whenever the file, or one in the directory, changes."""
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    return [[file.name, *found] for file, found in of_each(stamp, sorted(path.iterdir()))]


def digest(path: Path) -> str:
    """Return 32 hex digits of the whole contents. Raises OSError."""
    if path.is_dir():
        found = hashlib.blake2b(digest_size=16)
        for file in sorted(path.iterdir()):
            found.update(os.fsencode(file.name) + b"\0" + digest(file).encode())
        return found.hexdigest()
    if isinstance(path, RemotePath):
        return hashlib.blake2b(path.version.encode(), digest_size=16).hexdigest()
    if not path.is_file():  # reading a pipe may never end
        return "no regular file"
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def endings(path: Path) -> list[str]:
    """Return a digest of the size and last bytes of the file, or of each in the directory.

    They can be known before an object is uploaded, and its version only after that. A parquet
    file ends with its schema, and with the size and place of every column.
    """
    if path.is_dir():
        files = [file for file in sorted(path.iterdir()) if file.name != SUCCESS]
        return [f"{file.name} {found}" for file, (found,) in of_each(endings, files)]
    size = path.stat().st_size
    with path.open("rb", buffering=ENDING_BYTES) as file:
        file.seek(max(0, size - ENDING_BYTES))
        found = hashlib.blake2b(f"{size}:".encode() + file.read(), digest_size=16)
    return [f"end:{found.hexdigest()}"]


def observe(path: Path) -> Seen:
    """Return the file's stamp and digest; the digest of a missing file is `nothing`."""
    try:
        before = stamp(path)
        return {"stamp": before, "digest": digest(path)}
    except OSError:
        return {"stamp": None, "digest": NOTHING}


def is_unchanged(path: Path, before: Any) -> bool:
    """Whether the file still has the contents it was `seen` with; reads it only if touched.

    `before` comes from a record and may be any value.
    """
    if not isinstance(before, dict):
        return False
    try:
        return stamp(path) == before.get("stamp") or digest(path) == before.get("digest")
    except OSError:
        return before.get("digest") == NOTHING


def observe_all(paths: Iterable[Path]) -> list[Seen]:
    """Return `seen` for each file, in order, with its name."""
    return [{"name": path.name} | observe(path) for path in paths]


def all_unchanged(paths: Iterable[Path], before: Any) -> bool:
    """Whether files of these names, in this order, were `all_seen` with the same contents.

    They may have moved to another directory together.
    """
    paths = list(paths)
    if not isinstance(before, list) or len(before) != len(paths):
        return False
    return all(
        isinstance(entry, dict) and entry.get("name") == path.name and is_unchanged(path, entry)
        for path, entry in zip(paths, before, strict=True)
    )


class Watched:
    """Files that are read more than once, and must not change in between."""

    def __init__(self, paths: Iterable[Path]):
        """Record the stamps, without reading the files. Raises OSError."""
        self._seen: dict[Path, Seen] = {
            path: {"stamp": found} for path, found in of_each(stamp, paths)
        }

    def take_digests(self) -> list[Path]:
        """Read each file once, as the reference; return those touched since `__init__`."""
        touched = []
        unread = [path for path, known in self._seen.items() if "digest" not in known]
        for path, found in of_each(observe, unread):
            if found["stamp"] != self._seen[path]["stamp"]:
                touched.append(path)
            self._seen[path] = found
        return touched

    def is_untouched(self, path: Path) -> bool:
        """Whether nobody has written to the file, even the same contents. Raises OSError."""
        return stamp(path) == self._seen[path]["stamp"]

    def is_unchanged(self, path: Path) -> bool:
        """Whether the file is unchanged; reads it only if touched. Raises OSError.

        Before `take_digests` any contents pass.
        """
        known, now = self._seen[path], stamp(path)
        if now == known["stamp"]:
            return True
        if "digest" not in known:
            return path.is_file()
        if digest(path) != known["digest"]:
            return False
        known["stamp"] = now
        return True

    def observe(self, path: Path) -> Seen:
        """Return the reference of a watched file; of another, `seen` now."""
        return self._seen.get(path) or observe(path)
