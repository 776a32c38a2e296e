"""The files a run has written, wherever they are: only these may be replaced without asking.

    written.json   path -> the digests the file may have, and the stamp of the last one

Guarantees: a file that was replaced or changed by anyone else, even by one bit, no longer counts as
the run's. A digest is recorded before the file gets its name, so a kill at any moment leaves a
known file. Must not know about settings, or what the files are for.
"""

import os
from pathlib import Path

from rollout.errors import UserError
from rollout.system import file_contents
from rollout.system.disk import read_record, write_json
from rollout.system.storage.paths import RemotePath, is_remote, real

NAME = "written.json"


class Ledger:
    """The files written by the owner of `directory`; the record is read again at every call."""

    def __init__(self, directory: Path, name: str = NAME):
        self._directory = Path(os.path.realpath(directory))
        self._file = directory / name

    def lists(self, path: Path) -> bool:
        """Return whether a file of this name was ever written, even if it was replaced since."""
        return self._entry_of(path) is not None

    def knows(self, path: Path) -> bool:
        """Return whether the file at `path` is exactly the one that was written there."""
        return self._own_digest(path) is not None

    def _own_digest(self, path: Path) -> str | None:
        """Return the digest of the file at `path` if it was written by us, else None."""
        entry = self._entry_of(path)
        if entry is None:
            return None
        try:
            if entry.get("stamp") and file_contents.stamp(path) == entry["stamp"]:
                return entry["digests"][-1]
            if isinstance(path, RemotePath):  # a version is unknown only until it is confirmed
                is_ours = not entry.get("stamp") and path.exists()
                is_ours = is_ours and {*file_contents.endings(path)} <= {*entry["digests"]}
                return entry["digests"][-1] if is_ours else None
            found = file_contents.digest(path)
        except OSError:
            return None
        return found if found in entry["digests"] else None

    def note(self, path: Path, temporary: Path) -> None:
        """Record that the contents of `temporary` will replace the file at `path`."""
        old = self._own_digest(path)
        if isinstance(path, RemotePath):
            before = file_contents.endings(path) if old else []
            self._write(path, {"digests": [*before, *file_contents.endings(temporary)]})
            return
        digests = [*([old] if old else []), file_contents.digest(temporary)]
        self._write(path, {"digests": digests})

    def confirm(self, path: Path) -> None:
        """Record that the file noted last has its final name now."""
        digests = self._entry_of(path)["digests"][-1:]
        self._write(path, {"digests": digests, "stamp": file_contents.stamp(path)})

    def adopt(self, path: Path) -> None:
        """Record that the file at `path` was written by us."""
        found = file_contents.observe(path)
        self._write(path, {"digests": [found["digest"]], "stamp": found["stamp"]})

    def forget(self, path: Path) -> None:
        """Record that `path` is no longer ours."""
        if self.lists(path):
            self._write(path, None)

    def inside(self) -> list[str]:
        """Return the names of the unchanged files written directly into the directory."""
        return [n for n in self._entries() if "/" not in n and self.knows(self._directory / n)]

    def _entry_of(self, path: Path) -> dict | None:
        """Return the file's entry. A file outside may have moved together with the directory.

        A copy of the directory did not write the files outside: they still belong to the original.
        """
        entries, name = self._entries(), path_in(self._directory, path)
        if not Path(name).is_absolute() and not is_remote(name):
            return entries.get(name)
        relative = relative_to(self._directory, path)
        moved = (entry for entry in entries.values() if entry.get("relative") == relative)
        entry = entries.get(name) or next(moved, None)
        if entry is None:
            return None
        writer = Path(str(entry.get("by", self._directory)))
        is_copy = writer != self._directory and (writer / self._file.name).exists()
        return None if is_copy else entry

    def _write(self, path: Path, entry: dict | None) -> None:
        name = path_in(self._directory, path)
        if entry and (Path(name).is_absolute() or is_remote(name)):
            relative = relative_to(self._directory, path)
            entry |= {"relative": relative, "by": str(self._directory)}
        entries = self._entries() | {name: entry}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._file, {"files": {n: e for n, e in entries.items() if e is not None}})

    def _entries(self) -> dict[str, dict]:
        remedy = (
            "remove it: then the run's files count as yours, and are replaced only if you type "
            "overwrite=true"
        )
        found = read_record(self._file, remedy, {"files": dict})
        entries = found["files"] if found else {}
        if not all(map(_is_entry, entries.values())):
            raise UserError(f"{self._file} is damaged; put it back as it was, or {remedy}")
        return entries


def path_in(directory: Path, path: Path) -> str:
    """Return the path as a run stores it: relative inside its directory, which may be moved."""
    directory, path = real(directory), real(path)
    return str(path.relative_to(directory) if path.is_relative_to(directory) else path)


def relative_to(directory: Path, path: Path) -> str:
    """Return the path from a directory, which stays the same if both are moved together."""
    return str(path) if isinstance(path, RemotePath) else os.path.relpath(real(path), directory)


def _is_entry(entry: object) -> bool:
    digests = entry.get("digests") if isinstance(entry, dict) else None
    return isinstance(digests, list) and bool(digests) and all(isinstance(d, str) for d in digests)
