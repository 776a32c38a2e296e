"""Read the records of a run's directory; a damaged one is refused by name.

A record that describes the rows on disk, or lists the run's own files, decides what the next
launch does: if it were taken as missing, samples would be mixed or a file lost. summary.json only
has figures, and is made again if it is damaged. Must not know what follows from a record.
"""

from pathlib import Path
from typing import Any

from rollout.errors import UserError
from rollout.system.disk import read_record

MOVING = ".moving.json"  # the target, while an old run is moved aside
ENDED = "ended.json"  # in an attempt's directory; missing if its process was killed
MAX_SHARD_ROWS = 2**31
NONE = type(None)
WORDS = {"argv": (list, NONE), "fingerprint": dict}
OTHER_PLACE = "type another run_dir="
FIRST = {"rollout": str, "input": dict, "fingerprint": dict, "rows_per_shard": int}


def run_record(run_dir: Path, remedy: str = OTHER_PLACE) -> dict[str, Any] | None:
    """Return run.json; None if there is none. Raises UserError if it is damaged or not ours."""
    path = run_dir / "run.json"
    found = read_record(path, remedy, config=dict, kept=list, cwd=str, format=int, **WORDS)
    if found is None:
        return None
    foreign = UserError(
        f"{path} was not written by rollout, or is damaged; put it back as it was, or {remedy}"
    )
    if not FIRST.keys() <= found.keys():
        raise foreign
    read_record(path, remedy, **FIRST)
    if not 1 <= found["rows_per_shard"] <= MAX_SHARD_ROWS or not is_count(
        found["input"].get("num_rows", 0)
    ):
        raise foreign
    if not all(
        isinstance(word, str) for word in [*found.get("kept", ()), *(found.get("argv") or ())]
    ):
        raise foreign
    return found


def rows_made_with(attempt: Path) -> dict[str, Any] | None:
    """Return `fingerprint` and `argv` of the rows that an attempt wrote; None if it wrote none."""
    return read_record(attempt / "fingerprint.json", OTHER_PLACE, **WORDS)


def published_record(
    run_dir: Path, remedy: str = "type resume=fresh to move the run aside and start over"
) -> dict[str, Any]:
    """Return published.json; empty if nothing was published."""
    path = run_dir / "published.json"
    kinds = dict(path=str, columns=list, prefix=str, input=list, scored=str, places=list)
    return read_record(path, remedy, **kinds, scoring=(dict, NONE)) or {}


def environment_of(attempt: Path) -> dict[str, Any]:
    """Return environment.json, where and on what an attempt was launched; empty if missing."""
    remedy = "type the whole command with another run_dir="
    return read_record(attempt / "environment.json", remedy, cwd=str) or {}


def is_number(value: Any) -> bool:
    return isinstance(value, float) or (is_count(abs(value)) if isinstance(value, int) else False)


def moving_to(run_dir: Path) -> Path | None:
    """Return the target of a move that was killed; None if there was none."""
    path = run_dir / MOVING
    remedy = f"move the files in {run_dir} elsewhere, and remove {MOVING}"
    if (found := read_record(path, remedy, {"to": str})) is None:
        return None
    to = Path(found["to"])
    if not to.is_absolute() or ".old-" not in to.name:
        raise UserError(
            f"{path} is damaged ('to' can't be {found['to'][:200]!r}); put it back as it was, or "
            f"{remedy}"
        )
    return to


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62
