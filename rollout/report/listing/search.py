"""Find the run and sweep directories under a directory.

Follows no link, enters no directory of a run's own files, and stops at a bounded number of
directories. Must not know what a run's records say.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from rollout.store.run_dir import has_run_record, is_a_sweep

MAX_DEPTH = 8
MAX_DIRECTORIES = 20_000  # visited; takes a second or two
OF_A_RUN = ("attempts", "shards", "wandb", "output", "figures")


@dataclass(slots=True)
class Found:
    """What was found: runs of no sweep, and each sweep's directory with its points'."""

    runs: list[Path] = field(default_factory=list)
    sweeps: dict[Path, list[Path]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # on directories that were left out


def find(directory: Path) -> Found:
    """Find runs and sweeps in `directory` and below it. Every run below a sweep is its point.

    A directory that can't be read is left out with a note. Raises OSError for `directory` itself.
    """
    found, num_visited = Found(), 0
    waiting: list[tuple[Path, Path | None, int]] = [(directory, None, 0)]
    while waiting:
        here, sweep, depth = waiting.pop()
        num_visited += 1
        if num_visited > MAX_DIRECTORIES:
            found.notes.append(
                f"only the first {MAX_DIRECTORIES:,} directories were searched; name one further "
                "down"
            )
            break
        try:
            names = _directories_in(here)
        except OSError as error:
            if here == directory:
                raise
            found.notes.append(f"{here} is left out: {error.strerror or error}")
            continue
        if sweep is None and is_a_sweep(here):
            sweep = here
            found.sweeps[sweep] = []
        if _is_a_run(here):
            (found.runs if sweep is None else found.sweeps[sweep]).append(here)
            names = [name for name in names if name not in OF_A_RUN]
        if depth < MAX_DEPTH:
            waiting += [(here / name, sweep, depth + 1) for name in reversed(names)]
    return found


def _directories_in(directory: Path) -> list[str]:
    """Return the names of the directories in it, sorted, without hidden ones."""
    with os.scandir(directory) as entries:
        names = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
    return sorted(name for name in names if not name.startswith("."))


def _is_a_run(directory: Path) -> bool:
    """Whether it holds a run; one whose record is damaged too, if the run's files lie beside it."""
    if not os.path.lexists(directory / "run.json"):
        return False
    return has_run_record(directory) or (directory / "attempts").is_dir()
