"""Explain unexpected exceptions in one line: the cause, and the file with the traceback.

Only what the machine (a full disk, a vanished file, too little memory) and the input (unreadable
text) did not cause is called a bug in rollout. Creates no directory, and writes to no
file that somebody else may have created.
"""

import os
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rollout.errors import RolloutError, UserError
from rollout.errors.secret_texts import without_secrets

LOG = "error.log"  # in a run's directory
HEAD = "rollout: tracebacks of errors that were not foreseen\n"
MARKS = ("run.json", "sweep.json", ".rollout.lock")  # files found only in our directories
AGAIN = "fix that and type the command again"


@contextmanager
def unexpected_errors_explained(run_dir: Path) -> Iterator[None]:
    """Turn an unexpected exception into a RolloutError of one line; keep the traceback."""
    try:
        yield
    except RolloutError:
        raise
    except Exception as error:
        raise explained(error, run_dir) from error


def explained(error: Exception, run_dir: Path | None = None) -> RolloutError:
    """Return the error in one line; keep the traceback in `run_dir` if that is a run's."""
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    where = f"traceback: {_kept(error, run_dir)}"
    if isinstance(error, OSError):
        return RolloutError(f"{_of_system(error)}; {AGAIN} ({where})")
    if isinstance(error, MemoryError):
        more = f" ({first})" if first else ""
        return RolloutError(
            f"this machine is out of memory{more}; free some, or use smaller settings ({where})"
        )
    if isinstance(error, RecursionError):
        return UserError(
            "a setting, a template or an input value is nested too deeply to be read; make it "
            f"flatter ({where})"
        )
    if isinstance(error, UnicodeError):
        return UserError(f"{_of_text(error)}; correct it and type the command again ({where})")
    if isinstance(error, ImportError):
        return RolloutError(f"a library can't be imported: {first}; reinstall it ({where})")
    return RolloutError(f"unexpected {type(error).__name__}: {first} (a bug in rollout; {where})")


def _of_system(error: OSError) -> str:
    what = error.strerror or str(error) or type(error).__name__
    names = " and ".join(str(name) for name in (error.filename, error.filename2) if name)
    return f"can't read or write {names}: {what}" if names else f"system error: {what}"


def _of_text(error: UnicodeError) -> str:
    """Explain a name or text that is not UTF-8; Python keeps such bytes as surrogates."""
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object[:80]!r} has characters that UTF-8 can't encode ({error.reason})"
    return f"a text or a file name is not UTF-8 ({error})"


def _kept(error: Exception, run_dir: Path | None) -> str:
    """Write the traceback to a file and return its path, or the traceback if that fails."""
    text = without_secrets("".join(traceback.format_exception(error)))
    entry = f"\n{time.strftime('%Y-%m-%d %H:%M:%S')}\n{text}".encode(errors="backslashreplace")
    if run_dir and any(os.path.lexists(run_dir / name) for name in MARKS):
        with suppress(OSError):
            return str(_appended(run_dir / LOG, entry))
    try:
        descriptor, path = tempfile.mkstemp(prefix="rollout-error-", suffix=".log")
        with os.fdopen(descriptor, "wb") as file:
            file.write(HEAD.encode() + entry)
    except OSError:
        return text
    return path


def _appended(path: Path, entry: bytes) -> Path:
    """Append to our log. Raises FileExistsError if another file has its name."""
    from rollout.system.disk import read_regular

    if not os.path.lexists(path):
        with path.open("xb") as file:
            file.write(HEAD.encode())
    elif path.is_symlink() or not read_regular(path).startswith(HEAD.encode()):
        raise FileExistsError(path)
    with path.open("ab") as file:
        file.write(entry)
    return path
