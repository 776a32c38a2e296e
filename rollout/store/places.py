"""What may be written where: one answer for outputs, scores, figures, exports and prompts.

A file that is read is never written over, and neither is what a run or sweep keeps of itself. What
stands there already goes only where it is the run's own, to the bit, or where overwrite=true was
typed and it is a parquet file, by its name or by what it holds. Asked twice: before any work, and
when the file gets its name; what appeared in between stays. Links are followed, so a file counts
under whatever name. Must not know what a file holds.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rollout.errors import UserError
from rollout.inputs.readings import Reading, same
from rollout.store.directory_output import directory_written_whole, stranger_in
from rollout.store.ledger import Ledger
from rollout.store.run_dir import RECORDS, SWEEP_RECORDS, is_a_sweep, looks_like_a_run
from rollout.system import disk

OTHER_FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".feather", ".arrow")
MAX_NAME_BYTES = 230  # 255 less what a temporary name adds
MAX_PATH_BYTES = 4000


class Kind(Enum):
    """What is written: a parquet file, a directory of them, or what goes with a scored file."""

    parquet = "parquet"
    directory = "directory"
    companion = "companion"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is to be written. Made by `place`."""

    key: str  # the setting that says so
    given: str  # as it was typed
    path: Path  # absolute, links followed
    kind: Kind = Kind.parquet
    overwrite: bool = False
    what: str = ""  # of a companion: "the figures"
    is_ours: Callable[[Path], bool] | None = None  # of a companion: by what it holds

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
    """The place that `key=given` names. Raises UserError where no file can be there."""
    full = Path(os.path.realpath(path))
    shown = os.fspath(given)
    if "://" in shown:
        raise UserError(f"{key}={shown}: only local files are written; type a path")
    if len(shown) > 80:
        shown = f"{shown[:40]}...{shown[-17:]}"
    found = Place(key, shown, full, kind, overwrite)
    if full.is_symlink():
        raise found.refusal("links in a circle")
    if full.suffix.lower() in OTHER_FORMATS:
        raise UserError(f"{found.shown}: rollout writes parquet; type a name in .parquet")
    if len(os.fsencode(full.name)) > MAX_NAME_BYTES or len(os.fsencode(full)) > MAX_PATH_BYTES:
        raise UserError(f"{found.shown}: the name is too long; type a shorter one")
    return found


def table_place(sweep_dir: Path, name: str) -> Place:
    """The place of one of a sweep's tables, which only goes where the ledger knows it."""
    path = Path(os.path.realpath(sweep_dir)) / name
    return Place("run_dir", str(sweep_dir), path, Kind.companion, what=name, is_ours=_nobodys)


def _nobodys(path: Path) -> bool:
    return False


class Writer:
    """Decides what may be written, and writes it under a temporary name first.

    `ledger` knows what was written before, if anything keeps that; `tag` names what a kill leaves.
    """

    def __init__(
        self,
        readings: Iterable[Reading] = (),
        ledger: Ledger | None = None,
        run_dir: Path | None = None,
        tag: str = "",
    ):
        self.readings, self.ledger, self.tag = list(readings), ledger, tag
        self._run_dir = run_dir and Path(os.path.realpath(run_dir))
        self._seen: dict[Reading, set] = {}

    def check(self, places: Iterable[Place], may_go: Iterable[Path] = ()) -> None:
        """Raise UserError, saying what to type, where one of them can't be written.

        What is in `may_go` is moved elsewhere before anything is written.
        """
        taken: list[Place] = []
        for wanted in places:
            self._refuse_records(wanted)
            if wanted.kind is not Kind.companion and wanted.path not in may_go:
                _refuse_other_kind(wanted)
            self._refuse_read(wanted)
            if wanted.path not in may_go:
                self._refuse_standing(wanted)
            _refuse_unwritable(wanted)
            for other in taken:
                _refuse_one_file(wanted, other)
            taken.append(wanted)

    @contextmanager
    def written(self, wanted: Place) -> Iterator[Path]:
        """Give a temporary name; on success what was written there is at the place.

        Raises FileExistsError where something appeared there that may not go; it stays.
        """
        path, ledger = wanted.path, self.ledger
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(
                errno.ENOTDIR, "a file has its name", str(path.parent)
            ) from None
        if os.path.realpath(path) != str(path):
            raise FileExistsError(f"{path} leads elsewhere now")
        before = _identity(path) if self._may_go(wanted) else None

        def may_go(old: Path) -> bool:
            if wanted.overwrite and self._is_replaceable(wanted, old):
                return True
            return before is not None and _identity(old) == before

        whole: Callable[..., AbstractContextManager[Path]] = disk.written_whole
        if wanted.kind is Kind.directory:
            whole = directory_written_whole
        with whole(path, self.tag, may_go) as temporary:
            yield temporary
            if ledger:
                ledger.note(path, temporary)
        if ledger:
            ledger.confirm(path)

    def remove(self, wanted: Place) -> None:
        """Remove an earlier companion that is now stale, where it is ours."""
        if os.path.lexists(wanted.path) and self._may_go(wanted):
            wanted.path.unlink()
        if self.ledger:
            self.ledger.forget(wanted.path)

    def remove_own(self, wanted: Place) -> None:
        """Remove what stands there where this run wrote it, and only then."""
        if self.ledger and self.ledger.knows(wanted.path):
            wanted.path.unlink(missing_ok=True)
            self.ledger.forget(wanted.path)

    def _may_go(self, wanted: Place) -> bool:
        """Whether what stands at the place may be replaced."""
        if self.ledger and self.ledger.knows(wanted.path):
            return True
        return wanted.overwrite and self._is_replaceable(wanted, wanted.path)

    def _is_replaceable(self, wanted: Place, path: Path) -> bool:
        """Whether overwrite=true reaches so far."""
        if wanted.kind is Kind.companion:
            return wanted.is_ours(path)
        if any(same(path, file) for reading in self.readings for file in reading.files):
            return False
        if path.is_dir():
            return stranger_in(path) is None
        # A file by another name that is no parquet is hardly what was meant.
        return wanted.path.suffix.lower() in (".parquet", ".pq") or _is_parquet(path)

    def _refuse_records(self, wanted: Place) -> None:
        """Nothing is written into what a run or a sweep keeps of itself."""
        for directory in wanted.path.parents:
            inside = wanted.path.relative_to(directory).parts[0]
            own = directory == self._run_dir
            is_record = inside in RECORDS and (own or looks_like_a_run(directory))
            if is_record or (inside in SWEEP_RECORDS and is_a_sweep(directory)):
                whose = "the run keeps its own record" if own else f"{directory} keeps its record"
                raise wanted.refusal(f"is where {whose}")
        if self._run_dir and self._run_dir.is_relative_to(wanted.path):
            raise wanted.refusal("is where the run keeps its own record")

    def _refuse_read(self, wanted: Place) -> None:
        """Neither what is read may be written over, nor may the next launch read what is written"""
        path = wanted.path
        for reading in self.readings:
            if _inode(path) in self._inodes(reading) or path in reading.directories():
                what = "the input itself" if reading.given else f"what {reading.key} names"
                raise wanted.refusal(f"is {what}")
            is_companion = wanted.kind is Kind.companion
            if not is_companion and reading.would_find(path, wanted.kind is Kind.directory):
                raise UserError(
                    f"{wanted.shown} lies among the input files, where the next launch would read "
                    f"it as input; type {wanted.key}= elsewhere"
                )

    def _inodes(self, reading: Reading) -> set:
        """What the files that are read are known by, whatever their names; looked at once."""
        if reading not in self._seen:
            self._seen[reading] = {_inode(file) for file in reading.files} - {None}
        return self._seen[reading]

    def _refuse_standing(self, wanted: Place) -> None:
        path = wanted.path
        if not os.path.lexists(path):
            return
        if wanted.kind is Kind.companion:
            if not (path.is_file() and self._may_go(wanted)):
                self._refuse_companion(wanted)
            return
        if not path.is_file() and not path.is_dir():
            raise UserError(f"{wanted.shown} is no regular file; type a name in .parquet")
        if path.is_dir() and not any(path.iterdir()):
            return
        if self.ledger and self.ledger.knows(path):
            return
        overwrite = f"{wanted.key.removesuffix('path')}overwrite=true"
        if not wanted.overwrite:
            changed = self.ledger and self.ledger.lists(path)
            state = "exists already" + (" and is not as this run wrote it" if changed else "")
            raise wanted.refusal(state, f", or {overwrite} to replace it")
        if not self._is_replaceable(wanted, path):
            raise wanted.refusal(
                f"exists already and is no parquet file, which {overwrite} does not replace"
            )

    def _refuse_companion(self, wanted: Place) -> None:
        if not (wanted.path.is_file() and wanted.is_ours(wanted.path)):
            raise wanted.refusal("which holds something else")
        overwrite = f"{wanted.key.removesuffix('path')}overwrite=true"
        raise wanted.refusal("which exists already", f", or {overwrite} to replace it")


def shared(one: Place, other: Place) -> bool:
    """Whether two places are one file, or one lies in the other."""
    a, b = one.path, other.path
    if a == b or same(a, b):
        return True
    return (one.kind is Kind.directory and b.is_relative_to(a)) or (
        other.kind is Kind.directory and a.is_relative_to(b)
    )


def _refuse_one_file(wanted: Place, other: Place) -> None:
    if shared(wanted, other):
        what = other.what or f"what {other.key} names"
        raise wanted.refusal(f"is {what}, too, and holds one of them only")


def _refuse_other_kind(wanted: Place) -> None:
    """Raise UserError where a file stands for a directory, or the other way, or not ours alone."""
    path = wanted.path
    if path.is_file() and wanted.kind is Kind.directory:
        raise wanted.refusal("is a file, and output.partition_rows writes a directory")
    if path.is_dir() and wanted.kind is not Kind.directory:
        many = ", or output.partition_rows=N for a directory of files"
        raise UserError(
            f"{wanted.shown} is a directory; type a file in it, such as {wanted.key}="
            f"{wanted.given.rstrip('/')}/output.parquet{many * (wanted.key == 'output.path')}"
        )
    if path.is_dir() and (stranger := stranger_in(path)):
        raise UserError(
            f"{wanted.shown} holds {stranger.name}, which is not of a published directory, so that "
            f"would not be replaced; move it elsewhere, or type another {wanted.key}="
        )


def _refuse_unwritable(wanted: Place) -> None:
    nearest = next(p for p in wanted.path.parents if os.path.lexists(p))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(f"{wanted.shown}: can't write in {nearest}; type another {wanted.key}=")


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _identity(path: Path) -> list | None:
    """What tells a file from another that takes its name; it survives a rename."""
    try:
        if path.is_dir():
            return [[file.name, *(_identity(file) or ())] for file in sorted(path.iterdir())]
        status = path.lstat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _is_parquet(path: Path) -> bool:
    """Whether it begins like one, or is empty; a cut-off or damaged one counts."""
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"", b"PAR1", b"PARE")
    except OSError:
        return False
