"""Write pages so that a file of the user's is never lost: a page ends with a digest of itself.

A page whose digest fits is as a report wrote it, so the next report may replace it; any other file
of that name stays. No record is kept beside it: another process may be writing the run's records.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from rollout.errors import UserError
from rollout.store.ledger import NAME, Ledger
from rollout.system.disk import atomic_write, read_regular

REPORT = "report.html"  # the name of a run's page in its directory
MARK = re.compile(rb"<!-- written by rollout\.report, digest ([0-9a-f]{32}) -->\n\Z")
MARK_BYTES = 128


def write_page(
    path: Path,
    html: str,
    overwrite: bool = False,
    is_ours: Callable[[Path], bool] = lambda path: False,
) -> None:
    """Write a page, replacing an older one atomically.

    Raises UserError, which says what to type, if another file has its name (unless `overwrite`),
    or if the directory can't be written to. `is_ours` tells of further files, without a digest,
    that may be replaced.
    """
    if path.is_dir():
        raise UserError(f"{path} is a directory; type output=FILE.html")

    known = _digest_of(path) if is_ours(path) else None

    def may_replace(old: Path) -> bool:  # it may have another name by now
        return overwrite or is_page(old) or (known is not None and _digest_of(old) == known)

    taken = UserError(
        f"{path} is not as a report wrote it, so it is not replaced; move it elsewhere, or type "
        "output=FILE.html, or overwrite=true to replace it"
    )
    if path.exists() and not may_replace(path):
        raise taken
    content = html.encode("utf-8", "backslashreplace")
    try:
        with atomic_write(path, replace=may_replace) as temporary:
            temporary.write_bytes(content + _mark(content))
    except FileExistsError:
        raise taken from None
    except OSError as error:
        raise UserError(
            f"can't write {path} ({error.strerror or error}); type output=FILE.html to write it "
            "elsewhere"
        ) from error


def is_page(path: Path) -> bool:
    """Return whether the file is a page exactly as a report wrote it."""
    try:
        data = read_regular(path)
    except OSError:
        return False
    found = MARK.search(data, max(0, len(data) - MARK_BYTES))
    return found is not None and _digest(data[: found.start()]) == found[1]


def are_figures(directory: Path) -> bool:
    """Return whether all files in the directory are figures that a report wrote."""
    if not (directory / NAME).is_file():
        return False
    try:
        ours = {NAME, *Ledger(directory).inside()}
    except UserError:  # a damaged record
        return False
    return all(path.name in ours for path in directory.iterdir())


def _digest_of(path: Path) -> bytes | None:
    try:
        return _digest(read_regular(path))
    except OSError:
        return None


def _mark(content: bytes) -> bytes:
    return b"<!-- written by rollout.report, digest " + _digest(content) + b" -->\n"


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()
