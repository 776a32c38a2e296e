"""What nobody foresaw, as one line: whose fault it is, and where the traceback is kept.

"A fault of rollout" is said only where it is one: a full disk, a vanished file or too little
memory is the machine's, a text that can't be read the input's. Nothing here makes a directory, or
writes to a file that somebody else may have made.
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
MARKS = ("run.json", "sweep.json", ".rollout.lock")  # what stands only in a directory of ours
AGAIN = "put that right and type the command again"


@contextmanager
def faults_told(run_dir: Path) -> Iterator[None]:
    """Turn what nobody foresaw into one line; the traceback is kept."""
    try:
        yield
    except RolloutError:
        raise
    except Exception as error:
        raise told(error, run_dir) from error


def told(error: Exception, run_dir: Path | None = None) -> RolloutError:
    """The error in one line, with the traceback kept in `run_dir` where that is a run's."""
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    where = f"traceback: {_kept(error, run_dir)}"
    if isinstance(error, OSError):
        return RolloutError(f"{_of_system(error)}; {AGAIN} ({where})")
    if isinstance(error, MemoryError):
        more = f" ({first})" if first else ""
        return RolloutError(f"this machine's memory is used up{more}; free some, or ask for less "
                            f"at a time ({where})")  # fmt: skip
    if isinstance(error, RecursionError):
        return UserError(
            "a setting, a template or a value of the input is nested too deeply to be read; make "
            f"it flatter ({where})"
        )
    if isinstance(error, UnicodeError):
        return UserError(f"{_of_text(error)}; correct it and type the command again ({where})")
    if isinstance(error, ImportError):
        return RolloutError(f"a library can't be imported: {first}; install it again ({where})")
    return RolloutError(f"unexpected {type(error).__name__}: {first} (a fault of rollout; {where})")


def _of_system(error: OSError) -> str:
    what = error.strerror or str(error) or type(error).__name__
    names = " and ".join(str(name) for name in (error.filename, error.filename2) if name)
    return f"can't read or write {names}: {what}" if names else f"the system refuses: {what}"


def _of_text(error: UnicodeError) -> str:
    """A name or text that is not UTF-8; Python keeps the bytes of such names as surrogates."""
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object[:80]!r} holds characters that UTF-8 can't write ({error.reason})"
    return f"a text or a file name is not UTF-8 ({error})"


def _kept(error: Exception, run_dir: Path | None) -> str:
    """Keep the traceback in a file; say where, or give it where that fails."""
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
    """Add to our log. Raises FileExistsError where another file has its name."""
    from rollout.system.disk import read_regular

    if not os.path.lexists(path):
        with path.open("xb") as file:
            file.write(HEAD.encode())
    elif path.is_symlink() or not read_regular(path).startswith(HEAD.encode()):
        raise FileExistsError(path)
    with path.open("ab") as file:
        file.write(entry)
    return path
