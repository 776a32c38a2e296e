"""A run's directory: what lies in it, whose it is, and how an old run is moved aside."""

import itertools
import os
import re
from pathlib import Path
from typing import Any

from rollout.errors import UserError
from rollout.store.directory_output import stranger_in
from rollout.store.ledger import NAME as LEDGER
from rollout.store.ledger import Ledger
from rollout.store.run_records import MOVING, OTHER_PLACE, moving_to, rows_made_with, run_record
from rollout.system import disk

OWN_FILES = (
    "run.json", "attempts", "shards", "output.parquet", "output", "published.json", "summary.json",
    "wandb", "wandb.json", "error.log", "memory.json", "written.json",
)  # fmt: skip
PUBLISHED = ("output.parquet", "output")
# Of these nothing else may take the name.
RECORDS = (
    *(name for name in OWN_FILES if name not in PUBLISHED), ".rollout.lock", ".moving.json",
    "prompts.json",
)  # fmt: skip
# A directory that has one of these and no run.json is somebody else's.
NEVER_WITHOUT_A_RUN = (
    "published.json",
    "summary.json",
    "written.json",
    "memory.json",
    "wandb.json",
)
SWEEP_TABLES = ("sweep.parquet", "sweep.csv", "sweep.html")
SWEEP_RECORDS = ("sweep.json", *SWEEP_TABLES, "engine.log", "written.json")


def is_a_run(run_dir: Path, way_out: str = OTHER_PLACE) -> bool:
    """Whether run.json is there and ours. Raises UserError where it is somebody else's, or damaged.

    `way_out` is what else to type then.
    """
    if run_dir.exists() and not run_dir.is_dir():
        raise UserError(f"run_dir={run_dir} is a file; type another run_dir=")
    return run_record(run_dir, way_out) is not None


def looks_like_a_run(directory: Path) -> bool:
    """Whether a run keeps its record there; a damaged one counts as none."""
    return {"rollout", "fingerprint", "input"} <= set(disk.read_json(directory / "run.json") or {})


def is_a_sweep(directory: Path) -> bool:
    """Whether a sweep keeps its tables there."""
    return "points" in (disk.read_json(directory / "sweep.json") or {})


def refuse_users_files(run_dir: Path) -> None:
    """Raise UserError where a new run would write over files that no run left there."""
    if is_a_run(run_dir):
        return
    found = [name for name in NEVER_WITHOUT_A_RUN if os.path.lexists(run_dir / name)]
    if found:
        raise UserError(
            f"run_dir={run_dir} has a {found[0]} and no run.json, so it is not a run's, and a run "
            "would write over it; type another run_dir="
        )


def refuse_users_tables(directory: Path) -> None:
    """Raise UserError where a sweep would write over tables that no sweep left there so."""
    ledger = Ledger(directory)
    for name in SWEEP_TABLES:
        is_known = ledger.knows(directory / name)  # raises for a written.json of another kind
        if os.path.lexists(directory / name) and not is_known:
            raise UserError(
                f"run_dir={directory} has a {name} that is not as a sweep wrote it, and a sweep "
                "would write over it; move it elsewhere, or type another run_dir="
            )
    if os.path.lexists(directory / "sweep.json") and not is_a_sweep(directory):
        raise UserError(
            f"run_dir={directory} has a sweep.json that no sweep wrote; type another run_dir="
        )
    marks = ("sweep.json", LEDGER)
    is_marked = any(os.path.lexists(directory / name) for name in marks)
    if os.path.lexists(directory / "engine.log") and not is_marked:
        raise UserError(
            f"run_dir={directory} has an engine.log and no sweep.json, so it is not a sweep's, and "
            "a sweep would add to it; type another run_dir="
        )


def holds_rows(run_dir: Path) -> bool:
    """Whether a launch finished a row here; if none did, the directory is free."""
    shards = run_dir / "shards"
    has_shards = shards.is_dir() and any(not p.name.startswith(".") for p in shards.iterdir())
    return has_shards or (run_dir / "summary.json").exists()


def attempts(run_dir: Path) -> list[Path]:
    """The directories of the launches so far, the last one last."""
    found = [d for d in (run_dir / "attempts").glob("*") if re.fullmatch("[0-9]{1,9}", d.name)]
    return sorted(found, key=lambda d: int(d.name))


def next_attempt(run_dir: Path) -> Path:
    """Make the directory of this launch: attempts/1, attempts/2, ..."""
    taken = attempts(run_dir)
    attempt = run_dir / "attempts" / str(int(taken[-1].name) + 1 if taken else 1)
    attempt.mkdir(parents=True)
    return attempt


def last_attempt(run_dir: Path) -> Path | None:
    """The directory of the newest launch; None before the first."""
    return next(reversed(attempts(run_dir)), None)


def made_with(run_dir: Path) -> dict[str, Any]:
    """The `fingerprint` and `argv` of the rows on disk: of the last attempt that wrote any."""
    for attempt in reversed(attempts(run_dir)):
        if found := rows_made_with(attempt):
            return found
    return run_record(run_dir) or {}


def move_aside(run_dir: Path) -> Path | None:
    """Move what a run left in `run_dir` to a free directory beside it; return that, or None.

    Other files that stand there are the user's and stay.
    """
    if not is_a_run(run_dir):
        return None
    run_dir = run_dir.resolve()
    places = (run_dir.with_name(f"{run_dir.name}.old-{n}") for n in itertools.count(1))
    old = next(place for place in places if not os.path.lexists(place))
    disk.write_json(run_dir / MOVING, {"to": str(old)})
    return finish_moving(run_dir)


def own_files(run_dir: Path) -> list[str]:
    """Those of OWN_FILES that are there; a directory output/ with other files is the user's."""
    # The ledger goes last: until then it says what else goes.
    names = dict.fromkeys([*Ledger(run_dir).inside(), *OWN_FILES])
    found = [name for name in names if os.path.lexists(run_dir / name)]
    output = run_dir / "output"
    is_users = "output" in found and (not output.is_dir() or stranger_in(output) is not None)
    return [name for name in found if name != "output" or not is_users]


def finish_moving(run_dir: Path) -> Path | None:
    """Go on with a move that was killed; return where to, or None where there was none."""
    if (old := moving_to(run_dir)) is None:
        return None
    old.mkdir(exist_ok=True)
    for name in own_files(run_dir):
        disk.rename(run_dir / name, old / name)
    disk.remove(run_dir / MOVING)
    return old
