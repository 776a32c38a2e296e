"""What nobody foresaw, as one line: the traceback is kept in a file."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rollout.errors import RolloutError
from rollout.secret_texts import without_secrets


@contextmanager
def faults_told(run_dir: Path) -> Iterator[None]:
    """Turn what nobody foresaw into one line; the traceback is kept."""
    try:
        yield
    except RolloutError:
        raise
    except Exception as error:
        first = next(iter(str(error).splitlines()), "")
        raise RolloutError(
            f"unexpected {type(error).__name__}: {first} "
            f"(a fault of rollout; traceback: {_write_traceback(run_dir)})"
        ) from error


def _write_traceback(run_dir: Path) -> str:
    """Keep the traceback of the exception at hand; say where, or give it where that fails."""
    log = run_dir / "error.log"
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        log.write_text(without_secrets(traceback.format_exc()), "utf-8", "backslashreplace")
    except OSError:
        return without_secrets(traceback.format_exc())
    return str(log)
