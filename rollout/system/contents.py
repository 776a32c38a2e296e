"""What a file holds, told cheaply: a digest that decides, and a stamp that says when to look.

A digest is of every byte. A stamp (size, times, inode) is the same only while nobody has written
to the file; where it differs, the digest is taken anew and compared. A directory counts by the
names and contents of what lies in it. Must not know what files are for.
"""

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

BLOCK = 1 << 20
NOTHING = "nothing"  # the digest of what is not there

Seen = dict[str, Any]  # {"stamp": [...], "digest": "..."}, fit for JSON


def stamp(path: Path) -> list:
    """What changes whenever the file, or one of the directory, is written, replaced or removed."""
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    return [[file.name, *stamp(file)] for file in sorted(path.iterdir())]


def digest(path: Path) -> str:
    """32 hex digits of the whole contents. Raises OSError."""
    if path.is_dir():
        found = hashlib.blake2b(digest_size=16)
        for file in sorted(path.iterdir()):
            found.update(os.fsencode(file.name) + b"\0" + digest(file).encode())
        return found.hexdigest()
    if not path.is_file():  # a pipe would never end
        return "no regular file"
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def seen(path: Path) -> Seen:
    """The file as it is now; what is not there counts as `nothing`."""
    try:
        before = stamp(path)
        return {"stamp": before, "digest": digest(path)}
    except OSError:
        return {"stamp": None, "digest": NOTHING}


def holds(path: Path, before: Any) -> bool:
    """Whether the file holds what it held when it was `seen`; reads it only where it was touched.

    `before` comes from a record and may be anything.
    """
    if not isinstance(before, dict):
        return False
    try:
        return stamp(path) == before.get("stamp") or digest(path) == before.get("digest")
    except OSError:
        return before.get("digest") == NOTHING


def all_seen(paths: Iterable[Path]) -> list[Seen]:
    """Files as they are now, in order, each with its name."""
    return [{"name": path.name} | seen(path) for path in paths]


def all_hold(paths: Iterable[Path], before: Any) -> bool:
    """Whether files of these names, in this order, were `all_seen`, and hold what they held then.

    They may have moved to another directory together.
    """
    paths = list(paths)
    if not isinstance(before, list) or len(before) != len(paths):
        return False
    return all(
        isinstance(entry, dict) and entry.get("name") == path.name and holds(path, entry)
        for path, entry in zip(paths, before, strict=True)
    )


class Watched:
    """Files that are read more than once, and must hold the same each time."""

    def __init__(self, paths: Iterable[Path]):
        """Note the stamps; raises OSError. No file is read before `take_digests`."""
        self._seen: dict[Path, Seen] = {path: {"stamp": stamp(path)} for path in paths}

    def take_digests(self) -> list[Path]:
        """Read each file once, from where on it is held to that; those touched before then."""
        touched = []
        for path, known in self._seen.items():
            if "digest" not in known:
                self._seen[path] = seen(path)
                if self._seen[path]["stamp"] != known["stamp"]:
                    touched.append(path)
        return touched

    def holds(self, path: Path) -> bool:
        """Whether the file holds what it held: it is read where it was touched. Raises OSError.

        Before `take_digests` it may hold anything.
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

    def seen(self, path: Path) -> Seen:
        """The file as it is held to be; of one that is not watched, as it is now."""
        return self._seen.get(path) or seen(path)
