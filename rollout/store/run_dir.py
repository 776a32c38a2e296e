"""A run's directory: its files, whether it is ours, and how an old run is moved aside."""

import itertools
import os
import re
from pathlib import Path
from typing import Any

from rollout.errors import UserError
from rollout.store.directory_output import foreign_entry
from rollout.store.ledger import NAME as LEDGER
from rollout.store.ledger import Ledger
from rollout.store.page_files import REPORT, are_figures, is_page
from rollout.store.run_records import MOVING, OTHER_PLACE, moving_to, rows_made_with, run_record
from rollout.system import disk

OWN_FILES = (
    "run.json", "attempts", "shards", "output.parquet", "output", "published.json", "summary.json",
    "wandb", "wandb.json", "error.log", "memory.json", REPORT, "figures", "written.json",
)  # fmt: skip
PUBLISHED = ("output.parquet", "output")
# No other file may have one of these names.
RECORDS = (
    *(name for name in OWN_FILES if name not in PUBLISHED), ".rollout.lock", ".moving.json",
    "prompts.json",
)  # fmt: skip
# A directory with one of these but without run.json is not ours.
ONLY_IN_A_RUN = ("published.json", "summary.json", "written.json", "memory.json", "wandb.json")
SWEEP_TABLES = ("sweep.parquet", "sweep.csv", "sweep.html")
SWEEP_RECORDS = ("sweep.json", *SWEEP_TABLES, "engine.log", "written.json")


def is_a_run(run_dir: Path, remedy: str = OTHER_PLACE) -> bool:
    """Return whether run.json exists. Raises UserError if it is damaged or not ours.

    The error ends with `remedy`, which says what to type.
    """
    if run_dir.exists() and not run_dir.is_dir():
        raise UserError(f"run_dir={run_dir} is a file; type another run_dir=")
    return run_record(run_dir, remedy) is not None


def has_run_record(directory: Path) -> bool:
    """Return whether the directory holds a run's record; a damaged one does not count."""
    return {"rollout", "fingerprint", "input"} <= set(disk.read_json(directory / "run.json") or {})


def is_a_sweep(directory: Path) -> bool:
    """Return whether the directory holds a sweep's tables."""
    return "points" in (disk.read_json(directory / "sweep.json") or {})


def refuse_users_files(run_dir: Path) -> None:
    """Raise UserError if a new run would overwrite files that no run wrote."""
    if is_a_run(run_dir):
        return
    found = [name for name in ONLY_IN_A_RUN if os.path.lexists(run_dir / name)]
    if found:
        raise UserError(
            f"run_dir={run_dir} has {found[0]} but no run.json, so no run wrote it, and a new run "
            "would overwrite it; type another run_dir="
        )


def refuse_users_tables(directory: Path) -> None:
    """Raise UserError if a sweep would overwrite tables that no sweep wrote, or changed ones."""
    ledger = Ledger(directory)
    for name in SWEEP_TABLES:
        is_known = ledger.knows(directory / name)  # raises for a written.json of another kind
        if os.path.lexists(directory / name) and not (is_known or is_page(directory / name)):
            raise UserError(
                f"run_dir={directory} has a {name} that is not as a sweep wrote it, and a sweep "
                "would overwrite it; move it elsewhere, or type another run_dir="
            )
    if os.path.lexists(directory / "sweep.json") and not is_a_sweep(directory):
        raise UserError(
            f"run_dir={directory} has a sweep.json that no sweep wrote; type another run_dir="
        )
    marks = ("sweep.json", LEDGER)
    is_marked = any(os.path.lexists(directory / name) for name in marks)
    if os.path.lexists(directory / "engine.log") and not is_marked:
        raise UserError(
            f"run_dir={directory} has an engine.log but no sweep.json, so no sweep wrote it, and a "
            "sweep would append to it; type another run_dir="
        )


def holds_rows(run_dir: Path) -> bool:
    """Return whether a launch finished a row here; if none did, the directory is free."""
    shards = run_dir / "shards"
    has_shards = shards.is_dir() and any(not p.name.startswith(".") for p in shards.iterdir())
    return has_shards or (run_dir / "summary.json").exists()


def attempts(run_dir: Path) -> list[Path]:
    """Return the directories of the launches so far, oldest first."""
    found = [d for d in (run_dir / "attempts").glob("*") if re.fullmatch("[0-9]{1,9}", d.name)]
    return sorted(found, key=lambda d: int(d.name))


def next_attempt(run_dir: Path) -> Path:
    """Make the directory of this launch: attempts/1, attempts/2, ..."""
    taken = attempts(run_dir)
    attempt = run_dir / "attempts" / str(int(taken[-1].name) + 1 if taken else 1)
    attempt.mkdir(parents=True)
    return attempt


def last_attempt(run_dir: Path) -> Path | None:
    """Return the directory of the newest launch; None before the first."""
    return next(reversed(attempts(run_dir)), None)


def settings_of_rows(run_dir: Path) -> dict[str, Any]:
    """Return `fingerprint` and `argv` of the rows on disk: of the last attempt that wrote any."""
    for attempt in reversed(attempts(run_dir)):
        if found := rows_made_with(attempt):
            return found
    return run_record(run_dir) or {}


def move_aside(run_dir: Path) -> Path | None:
    """Move a run's files in `run_dir` to a free directory next to it; return that, or None.

    Other files there belong to the user and stay.
    """
    if not is_a_run(run_dir):
        return None
    run_dir = run_dir.resolve()
    places = (run_dir.with_name(f"{run_dir.name}.old-{n}") for n in itertools.count(1))
    old = next(place for place in places if not os.path.lexists(place))
    disk.write_json(run_dir / MOVING, {"to": str(old)})
    return finish_moving(run_dir)


def own_files(run_dir: Path) -> list[str]:
    """Return the run's files that exist.

    A directory output/ or figures/ with other files, and a report.html that no report wrote, are
    the user's.
    """
    # The ledger is moved last: until then it lists the files to move.
    names = dict.fromkeys([*Ledger(run_dir).inside(), *OWN_FILES])
    found = [name for name in names if os.path.lexists(run_dir / name)]
    return [name for name in found if not _is_users(run_dir / name)]


def _is_users(path: Path) -> bool:
    """Whether a file with the name of one of a run's is the user's."""
    if path.name == "output":
        return not path.is_dir() or foreign_entry(path) is not None
    if path.name == REPORT:
        return not is_page(path)
    return path.name == "figures" and not are_figures(path)


def finish_moving(run_dir: Path) -> Path | None:
    """Resume a move that was killed; return its target, or None if there was none."""
    if (old := moving_to(run_dir)) is None:
        return None
    old.mkdir(exist_ok=True)
    for name in own_files(run_dir):
        disk.rename(run_dir / name, old / name)
    disk.remove(run_dir / MOVING)
    return old
