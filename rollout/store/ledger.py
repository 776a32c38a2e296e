"""What a run has written, wherever it lies: only that may be replaced without being asked.

    written.json   path -> the digests that may stand there, and the stamp of the last one

Promises: a file that somebody else put there, or changed by one bit, is not the run's any more. A
digest is noted before the file gets its name, so a kill at any instant leaves a file that is known.
Must not know settings, or what the files are.
"""

import os
from pathlib import Path

from rollout.errors import UserError
from rollout.system import contents
from rollout.system.disk import read_record, write_json

NAME = "written.json"


class Ledger:
    """The files written by whoever owns `directory`; it is read at every question."""

    def __init__(self, directory: Path, name: str = NAME):
        self._directory = Path(os.path.realpath(directory))
        self._file = directory / name

    def lists(self, path: Path) -> bool:
        """Whether a file of this name was written once, whatever stands there now."""
        return self._entry_of(path) is not None

    def knows(self, path: Path) -> bool:
        """Whether what stands at `path` is what was written there, to the bit."""
        return self.standing(path) is not None

    def standing(self, path: Path) -> str | None:
        """The digest of what stands at `path` where that was written by us."""
        entry = self._entry_of(path)
        if entry is None:
            return None
        try:
            if entry.get("stamp") and contents.stamp(path) == entry["stamp"]:
                return entry["digests"][-1]
            found = contents.digest(path)
        except OSError:
            return None
        return found if found in entry["digests"] else None

    def note(self, path: Path, temporary: Path) -> None:
        """Say that what `temporary` holds will stand at `path`, in place of what stands there."""
        old = self.standing(path)
        digests = [*([old] if old else []), contents.digest(temporary)]
        self._write(path, {"digests": digests})

    def confirm(self, path: Path) -> None:
        """Say that the file noted last has its name now."""
        digests = self._entry_of(path)["digests"][-1:]
        self._write(path, {"digests": digests, "stamp": contents.stamp(path)})

    def adopt(self, path: Path) -> None:
        """Say that what stands at `path` was written by us."""
        found = contents.seen(path)
        self._write(path, {"digests": [found["digest"]], "stamp": found["stamp"]})

    def forget(self, path: Path) -> None:
        """Say that nothing of ours stands at `path` any more."""
        if self.lists(path):
            self._write(path, None)

    def inside(self) -> list[str]:
        """The names of what was written in the directory itself and stands there, untouched."""
        return [n for n in self._entries() if "/" not in n and self.knows(self._directory / n)]

    def _entry_of(self, path: Path) -> dict | None:
        """What is kept of the file. Outside of the directory it may have moved along with that.

        A copy of the directory did not write what lies outside: that stays the original's.
        """
        entries, name = self._entries(), self._name(path)
        if not Path(name).is_absolute():
            return entries.get(name)
        entry = entries.get(name) or next(
            (e for e in entries.values() if self._led_to(e, name)), None
        )
        if entry is None:
            return None
        writer = Path(str(entry.get("by", self._directory)))
        return (
            entry if writer == self._directory or not (writer / self._file.name).exists() else None
        )

    def _led_to(self, entry: dict, name: str) -> bool:
        """Whether the file lies, seen from the directory, where the entry's did."""
        relative = entry.get("relative")
        return isinstance(relative, str) and os.path.relpath(name, self._directory) == relative

    def _write(self, path: Path, entry: dict | None) -> None:
        name = self._name(path)
        if entry and Path(name).is_absolute():
            relative = os.path.relpath(name, self._directory)
            entry |= {"relative": relative, "by": str(self._directory)}
        entries = self._entries() | {self._name(path): entry}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._file, {"files": {n: e for n, e in entries.items() if e is not None}})

    def _entries(self) -> dict[str, dict]:
        way_out = (
            "remove it: then what the run wrote counts as yours, and is replaced only where you "
            "type overwrite=true"
        )
        found = read_record(self._file, way_out, {"files": dict})
        entries = found["files"] if found else {}
        if not all(map(_is_entry, entries.values())):
            raise UserError(f"{self._file} is damaged; put it back as it was, or {way_out}")
        return entries

    def _name(self, path: Path) -> str:
        return path_in(self._directory, path)


def path_in(directory: Path, path: Path) -> str:
    """The path as a run keeps it: relative within its directory, which may be moved."""
    directory, path = Path(os.path.realpath(directory)), Path(os.path.realpath(path))
    return str(path.relative_to(directory) if path.is_relative_to(directory) else path)


def _is_entry(entry: object) -> bool:
    digests = entry.get("digests") if isinstance(entry, dict) else None
    return isinstance(digests, list) and bool(digests) and all(isinstance(d, str) for d in digests)
