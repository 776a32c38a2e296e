"""The command that resumes a run, as a person types it."""

import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from rollout.config.fingerprint import redacted
from rollout.config.overrides import how_to_type, parts, unquoted
from rollout.errors import UserError
from rollout.runs.job import Job
from rollout.system.disk import path_of
from rollout.system.storage.paths import is_remote, real

PLACES = ("run_dir", "hydra.run.dir", "hydra.sweep.dir")


def resume_command(argv: list[str] | None, job: Job) -> str:
    """Return the command that resumes this run, secrets starred; for the Python API, a sentence."""
    if argv is None:
        return f"call it again with run_dir={str(job.run_dir)!r}"
    is_sweep = any(word in ("-m", "--multirun", "hydra.mode=MULTIRUN") for word in argv)
    return command_in(argv, job.run_dir.parent if is_sweep else job.run_dir)


def command_in(argv: list[str], directory: Path, start_dir: Path | None = None) -> str:
    """Return the typed command so that it resumes in `directory`; secrets are starred.

    The directory that was typed is replaced unless it is this one, seen from `start_dir`, where
    the command is typed (None: here): the run may have moved.
    """
    words = redacted(argv)
    typed = [word for word in words if parts(word)[0] in PLACES]
    if not (typed and _names(parts(typed[-1])[1], directory, start_dir or Path.cwd())):
        words = [word for word in words if word not in typed]
        words.append(place_word(directory))
    dropped = ("resume=fresh", "resume=never", "dry_run=true")
    return shlex.join(
        [python(), "-m", "rollout", *(w for w in words if w.lstrip("+") not in dropped)]
    )


def place_word(directory: Path) -> str:
    """Return `run_dir=directory`, in quotes only if it needs them."""
    return shlex.split(how_to_type("run_dir", str(directory)))[0]


def _names(value: str, directory: Path, start_dir: Path) -> bool:
    """Whether a typed value names this directory; not if it has an interpolation."""
    text = unquoted(value)
    with suppress(OSError, ValueError, UserError):  # a record may hold anything
        return not is_remote(text) and real(path_of(text, start_dir)) == real(directory)
    return False


def python() -> str:
    """Return how to call this interpreter: `python` if that is it, else its path."""
    found = shutil.which("python")
    is_it = found and Path(found).absolute().parent == Path(sys.executable).absolute().parent
    return "python" if is_it else sys.executable or "python"
