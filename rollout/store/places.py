"""Decide what may be written where, for outputs, scores, figures, exports and prompts alike.

Input files are never overwritten, nor are the records of a run or sweep. An existing file is
replaced only if the run itself wrote it and it is unchanged, or if overwrite=true was typed and it
is a parquet file, by name or by content. This is checked twice: before any work, and when the file
gets its name (on a store, when its upload begins); a file that appeared in between stays. Links are
followed, so all names of a file count. Must not know what a file contains.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rollout.errors import UserError
from rollout.inputs.input_files import InputFiles, same
from rollout.store.directory_output import directory_written_whole, foreign_entry, local_copy
from rollout.store.ledger import Ledger
from rollout.store.page_files import is_page
from rollout.store.run_dir import RECORDS, SWEEP_RECORDS, has_run_record, is_a_sweep
from rollout.system import disk
from rollout.system.storage.paths import RemotePath, lexists, real
from rollout.system.storage.upload import refuse_unwritable, upload

OTHER_FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".feather", ".arrow")
MAX_NAME_BYTES = 230  # 255, less the additions of a temporary name
MAX_PATH_BYTES = 4000


class Kind(Enum):
    """The kind of output: a parquet file, a directory of them, or a companion of a scored file."""

    parquet = "parquet"
    directory = "directory"
    companion = "companion"


@dataclass(frozen=True, slots=True)
class Place:
    """A location to write to. Made by `place`."""

    key: str  # the setting that names it
    given: str  # as it was typed
    path: Path  # absolute, links followed
    kind: Kind = Kind.parquet
    overwrite: bool = False
    what: str = ""  # of a companion: "the figures"
    is_ours: Callable[[Path], bool] | None = None  # of a companion: judges by the content

    @property
    def shown(self) -> str:
        return f"{self.key}={self.given}" if not self.what else f"{self.key}: {self.what}"

    def refusal(self, why: str, more: str = "") -> UserError:
        if self.what:
            why = f"would go to {self.path}, {why.removeprefix('is ')}"
        return UserError(f"{self.shown} {why}; type another {self.key}={more}")


def place(
    key: str, given: str | Path, path: Path, kind: Kind = Kind.parquet, overwrite: bool = False
) -> Place:
    """Return the place that `key=given` names. Raises UserError if no file can be there."""
    full, shown = real(path), str(given)
    if len(shown) > 80:
        shown = f"{shown[:40]}...{shown[-17:]}"
    found = Place(key, shown, full, kind, overwrite)
    if full.is_symlink():
        raise found.refusal("is part of a loop of symbolic links")
    if full.suffix.lower() in OTHER_FORMATS:
        raise UserError(f"{found.shown}: rollout writes parquet; type a name ending in .parquet")
    if len(os.fsencode(full.name)) > MAX_NAME_BYTES or len(os.fsencode(str(full))) > MAX_PATH_BYTES:
        raise UserError(f"{found.shown}: the name is too long; type a shorter one")
    return found


def table_place(sweep_dir: Path, name: str) -> Place:
    """Return the place of a sweep's table.

    It is replaced only if it is in the ledger, or if it is a page as a report wrote it.
    """
    path = Path(os.path.realpath(sweep_dir)) / name
    given = str(sweep_dir)
    return Place("run_dir", given, path, Kind.companion, True, what=name, is_ours=is_page)


class Writer:
    """Decides what may be written, and writes it under a temporary name first.

    `ledger` records what was written before, if there is one; `tag` marks the temporary names.
    """

    def __init__(
        self,
        inputs: Iterable[InputFiles] = (),
        ledger: Ledger | None = None,
        run_dir: Path | None = None,
        tag: str = "",
    ):
        self.inputs, self.ledger, self.tag = list(inputs), ledger, tag
        self._run_dir = run_dir and real(run_dir)
        self._seen: dict[InputFiles, set] = {}

    def check(self, places: Iterable[Place], moved_aside: Iterable[Path] = ()) -> None:
        """Raise UserError, saying what to type, if one of the places can't be written.

        The files in `moved_aside` are moved elsewhere before anything is written.
        """
        taken: list[Place] = []
        for wanted in places:
            self._refuse_records(wanted)
            if wanted.kind is not Kind.companion and wanted.path not in moved_aside:
                _refuse_other_kind(wanted)
            self._refuse_read(wanted)
            if wanted.path not in moved_aside:
                self._refuse_existing(wanted)
            _refuse_unwritable(wanted)
            for other in taken:
                _refuse_shared(wanted, other)
            taken.append(wanted)

    @contextmanager
    def written(self, wanted: Place) -> Iterator[Path]:
        """Yield a temporary path; on success rename the file written there to the place.

        Raises FileExistsError if something appeared there that may not be replaced; it stays.
        """
        path, ledger = wanted.path, self.ledger
        if isinstance(path, RemotePath):
            with self._uploaded(wanted, path) as temporary:
                yield temporary
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(
                errno.ENOTDIR, "a file has its name", str(path.parent)
            ) from None
        if real(path) != path:
            raise FileExistsError(f"{path} now points elsewhere")
        may_replace = self._judge(wanted)
        whole: Callable[..., AbstractContextManager[Path]] = disk.atomic_write
        if wanted.kind is Kind.directory:
            whole = directory_written_whole
        with whole(path, self.tag, may_replace) as temporary:
            yield temporary
            if ledger:
                ledger.note(path, temporary)
        if ledger:
            ledger.confirm(path)

    def _judge(self, wanted: Place) -> Callable[[Path], bool]:
        """Return whether the file found later, under any name, may be replaced."""
        before = _identity(wanted.path) if self._may_replace(wanted) else None

        def may_replace(old: Path) -> bool:
            if wanted.overwrite and self._overwrite_covers(wanted, old):
                return True
            return before is not None and _identity(old) == before

        return may_replace

    @contextmanager
    def _uploaded(self, wanted: Place, path: RemotePath) -> Iterator[Path]:
        """Yield a temporary path in the run directory; on success upload what is there.

        A kill leaves nothing on the store but, at most, an upload that never completes.
        """
        may_replace = self._judge(wanted)
        with local_copy(path, self._run_dir, wanted.kind is Kind.directory) as temporary:
            yield temporary
            if _is_taken(path) and not may_replace(path):
                raise FileExistsError(f"{path} has been changed meanwhile")
            if self.ledger:
                self.ledger.note(path, temporary)
            upload(temporary, path)
        if self.ledger:
            self.ledger.confirm(path)

    def remove(self, wanted: Place) -> None:
        """Remove a stale companion if it is ours."""
        if lexists(wanted.path) and self._may_replace(wanted):
            wanted.path.unlink()
        if self.ledger:
            self.ledger.forget(wanted.path)

    def remove_if_ours(self, wanted: Place) -> None:
        """Remove the file at the place, but only if this run wrote it."""
        if self.ledger and self.ledger.knows(wanted.path):
            wanted.path.unlink(missing_ok=True)
            self.ledger.forget(wanted.path)

    def _may_replace(self, wanted: Place) -> bool:
        """Return whether the file at the place may be replaced."""
        if self.ledger and self.ledger.knows(wanted.path):
            return True
        return wanted.overwrite and self._overwrite_covers(wanted, wanted.path)

    def _overwrite_covers(self, wanted: Place, path: Path) -> bool:
        """Return whether overwrite=true applies to the file at `path`."""
        if wanted.kind is Kind.companion:
            return wanted.is_ours(path)
        if any(same(path, file) for given in self.inputs for file in given.files):
            return False
        if path.is_dir():
            return foreign_entry(path) is None
        # Any other file is unlikely to be meant.
        return wanted.path.suffix.lower() in (".parquet", ".pq") or _is_parquet(path)

    def _refuse_records(self, wanted: Place) -> None:
        """Refuse to write into the records of a run or a sweep."""
        if isinstance(wanted.path, RemotePath):
            return
        for directory in wanted.path.parents:
            inside = wanted.path.relative_to(directory).parts[0]
            own = directory == self._run_dir
            is_record = inside in RECORDS and (own or has_run_record(directory))
            if is_record or (inside in SWEEP_RECORDS and is_a_sweep(directory)):
                raise wanted.refusal(
                    f"is where {'the run' if own else directory} keeps its own files"
                )
        if self._run_dir and self._run_dir.is_relative_to(wanted.path):
            raise wanted.refusal("is where the run keeps its own files")

    def _refuse_read(self, wanted: Place) -> None:
        """Refuse to overwrite an input file, or to write one that the next launch would read."""
        path = wanted.path
        for given in self.inputs:
            if _inode(path) in self._inodes(given) or path in given.directories():
                what = "the input itself" if given.given else f"the file {given.key} names"
                raise wanted.refusal(f"is {what}")
            is_companion = wanted.kind is Kind.companion
            if not is_companion and given.would_read(path, wanted.kind is Kind.directory):
                raise UserError(
                    f"{wanted.shown} lies among the input files, where the next launch would read "
                    f"it as input; type {wanted.key}= elsewhere"
                )

    def _inodes(self, given: InputFiles) -> set:
        """Return the inodes of the input files; looked up once."""
        if given not in self._seen:
            self._seen[given] = {_inode(file) for file in given.files} - {None}
        return self._seen[given]

    def _refuse_existing(self, wanted: Place) -> None:
        path, overwrite = wanted.path, f"{wanted.key.removesuffix('path')}overwrite=true"
        if not lexists(path):
            return
        if wanted.kind is Kind.companion:
            if path.is_file() and self._may_replace(wanted):
                return
            if not (path.is_file() and wanted.is_ours(path)):
                raise wanted.refusal("which holds something else")
            raise wanted.refusal("which already exists", f", or {overwrite} to replace it")
        if not path.is_file() and not path.is_dir():
            raise UserError(f"{wanted.shown} is not a regular file; type a name ending in .parquet")
        if path.is_dir() and not any(path.iterdir()):
            return
        if self.ledger and self.ledger.knows(path):
            return
        if not wanted.overwrite:
            changed = self.ledger and self.ledger.lists(path)
            state = "already exists" + (" and is not as this run wrote it" if changed else "")
            raise wanted.refusal(state, f", or {overwrite} to replace it")
        if not self._overwrite_covers(wanted, path):
            raise wanted.refusal(
                f"already exists and is not a parquet file, which {overwrite} does not replace"
            )


def _refuse_shared(wanted: Place, other: Place) -> None:
    """Refuse two places that are the same file, or of which one is inside the other."""
    a, b = wanted.path, other.path
    is_inside = (wanted.kind is Kind.directory and b.is_relative_to(a)) or (
        other.kind is Kind.directory and a.is_relative_to(b)
    )
    if is_inside or a == b or same(a, b):
        what = other.what or f"the file {other.key} names"
        raise wanted.refusal(f"is also {what}, and can hold only one of them")


def _refuse_other_kind(wanted: Place) -> None:
    """Refuse a file in place of a directory or vice versa, or a directory with foreign files."""
    path = wanted.path
    if path.is_file() and wanted.kind is Kind.directory:
        raise wanted.refusal("is a file, and output.partition_rows writes a directory")
    if path.is_dir() and wanted.kind is not Kind.directory:
        many = ", or output.partition_rows=N for a directory of files"
        raise UserError(
            f"{wanted.shown} is a directory; type a file in it, such as {wanted.key}="
            f"{wanted.given.rstrip('/')}/output.parquet{many * (wanted.key == 'output.path')}"
        )
    if path.is_dir() and (stranger := foreign_entry(path)):
        raise UserError(
            f"{wanted.shown} holds {stranger.name}, which is not part of a published directory, so "
            f"it is not replaced; move that elsewhere, or type another {wanted.key}="
        )


def _refuse_unwritable(wanted: Place) -> None:
    if isinstance(wanted.path, RemotePath):
        refuse_unwritable(wanted.path)
        return
    nearest = next(p for p in wanted.path.parents if os.path.lexists(p))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(f"{wanted.shown}: can't write in {nearest}; type another {wanted.key}=")


def _is_taken(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _identity(path: Path) -> list | None:
    """Return what distinguishes a file from another of the same name; renaming keeps it."""
    try:
        if path.is_dir():
            return [[file.name, *(_identity(file) or ())] for file in sorted(path.iterdir())]
        status = path.lstat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _is_parquet(path: Path) -> bool:
    """Return whether the file starts like parquet or is empty; damaged files count."""
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"", b"PAR1", b"PARE")
    except OSError:
        return False
