"""The files a command reads: those a setting names, and the glob or directory it was given as.

The same glob or directory may find other files next time, including newly written ones. Must not
know what is written.
"""

import glob
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from rollout.errors import UserError
from rollout.system.disk import file_of, path_of
from rollout.system.storage.paths import RemotePath, find_glob, has_magic, real


@dataclass(frozen=True, slots=True)
class InputFiles:
    """The files that a setting names."""

    key: str
    files: tuple[Path, ...]
    given: str = ""  # the glob or directory that found them; "" for a single file
    start_dir: Path = field(default_factory=Path.cwd)

    def directories(self) -> set[Path]:
        """Return the files' directories, links followed."""
        return {real(parent) for parent in {file.parent for file in self.files}}

    def would_read(self, path: Path, is_directory: bool = False) -> bool:
        """Return whether the same setting, typed again, would also read `path`, or files in it."""
        given = path_of(self.given, self.start_dir)
        if not self.given or given.is_file():
            return False
        names = [path, file_of(path, 0)] if is_directory else [path]
        if glob.has_magic(str(given)):
            pattern = str(given)
            parents = {str(real(file.parent)): file.parent for file in self.files}
            if (linked := parents.get(str(path.parent))) is not None:  # by a link's name, too
                names.append(linked / path.name)
            return any(fnmatch(str(n), pattern) if "**" in pattern else n.match(pattern)
                       for n in names)  # fmt: skip
        return given.is_dir() and not is_directory and same(path.parent, given)


def input_files_of(key: str, text: str, start_dir: Path | None = None) -> list[InputFiles]:
    """Return what a setting reads if its text names a file, a glob or a directory; else []."""
    start_dir = start_dir or Path.cwd()
    try:
        path = path_of(text, start_dir)
        if not text or path.is_file():
            return [InputFiles(key, (path,))] if text else []
        if not key.endswith("source"):  # a model's directory has no parquet file of ours
            return []
        if path.is_dir():
            found = path.iterdir()
        elif isinstance(path, RemotePath):
            found = find_glob(path) if has_magic(path) else ()
        else:
            names = glob.glob(text, root_dir=start_dir, recursive=True)  # noqa: PTH207
            found = (start_dir / name for name in names)
        files = tuple(file for file in found if file.is_file())
    except (OSError, ValueError, UserError):  # a text, not a file name
        return []
    return [InputFiles(key, files, text, start_dir)] if files else []


def same(path: Path, other: Path) -> bool:
    """Return whether two paths are the same file."""
    try:
        return path.samefile(other)
    except OSError:
        return False
