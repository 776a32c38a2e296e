"""The command that resumes a run, as a person types it."""

import shlex
import shutil
import sys
from pathlib import Path

from rollout.config.fingerprint import redacted
from rollout.runs.job import Job


def resume_command(argv: list[str] | None, job: Job) -> str:
    """Return the command that resumes this run, secrets starred; for the Python API, a sentence."""
    if argv is None:
        return f"call it again with run_dir={str(job.run_dir)!r}"
    is_sweep = any(word in ("-m", "--multirun", "hydra.mode=MULTIRUN") for word in argv)
    return command_in(argv, job.run_dir.parent if is_sweep else job.run_dir)


def command_in(argv: list[str], directory: Path) -> str:
    """Return the typed command so that it resumes in `directory`; secrets are starred."""
    words = redacted(argv)
    places = ("run_dir=", "hydra.run.dir=", "hydra.sweep.dir=")
    if not any(word.startswith(places) for word in words):
        words = [*words, f"run_dir={directory}"]
    dropped = ("resume=fresh", "resume=never", "dry_run=true")
    return shlex.join(
        [python(), "-m", "rollout", *(w for w in words if w.lstrip("+") not in dropped)]
    )


def python() -> str:
    """Return how to call this interpreter: `python` if that is it, else its path."""
    found = shutil.which("python")
    is_it = found and Path(found).absolute().parent == Path(sys.executable).absolute().parent
    return "python" if is_it else sys.executable or "python"
