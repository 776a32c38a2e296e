"""The records of a run's directory, read: a damaged one is refused by name.

A record that says what the rows on disk are, or which files are a run's own, decides what the next
launch does: taken for absent it would mix samples or lose a file. summary.json is only figures,
and made anew where it is damaged. Knows what the records hold, and not what follows from that.
"""

from pathlib import Path
from typing import Any

from rollout.errors import UserError
from rollout.system.disk import read_record

MOVING = ".moving.json"  # where to, while an old run is moved aside
MAX_SHARD_ROWS = 2**31
NONE = type(None)
WORDS = {"argv": (list, NONE), "fingerprint": dict}
OTHER_PLACE = "type another run_dir="
FIRST = {"rollout": str, "input": dict, "fingerprint": dict, "rows_per_shard": int}


def run_record(run_dir: Path, way_out: str = OTHER_PLACE) -> dict[str, Any] | None:
    """run.json; None where there is none. Raises UserError where it is damaged, or not ours."""
    path = run_dir / "run.json"
    found = read_record(path, way_out, config=dict, kept=list, cwd=str, format=int, **WORDS)
    if found is None:
        return None
    foreign = UserError(
        f"{path} was not written by rollout, or is damaged; put it back as it was, or {way_out}"
    )
    if not FIRST.keys() <= found.keys():
        raise foreign
    read_record(path, way_out, **FIRST)
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
    """The `fingerprint` and `argv` of the rows that an attempt wrote; None where it wrote none."""
    return read_record(attempt / "fingerprint.json", OTHER_PLACE, **WORDS)


def published_record(
    run_dir: Path, way_out: str = "type resume=fresh to move the run aside and start over"
) -> dict[str, Any]:
    """published.json; empty where nothing was published."""
    path = run_dir / "published.json"
    kinds = {
        "path": str,
        "columns": list,
        "prefix": str,
        "input": list,
        "scored": str,
        "places": list,
    }
    return read_record(path, way_out, **kinds, scoring=(dict, NONE)) or {}


def environment_of(attempt: Path) -> dict[str, Any]:
    """environment.json: where and on what an attempt was launched; empty where it has none."""
    way_out = "type the whole command with another run_dir="
    return read_record(attempt / "environment.json", way_out, cwd=str) or {}


def is_number(value: Any) -> bool:
    return isinstance(value, float) or (is_count(abs(value)) if isinstance(value, int) else False)


def moving_to(run_dir: Path) -> Path | None:
    """Where an old run was being moved when the move was killed; None where none was."""
    path = run_dir / MOVING
    way_out = f"move what stands in {run_dir} elsewhere, and remove {MOVING}"
    if (found := read_record(path, way_out, {"to": str})) is None:
        return None
    to = Path(found["to"])
    if not to.is_absolute() or ".old-" not in to.name:
        raise UserError(
            f"{path} is damaged ('to' can't be {found['to'][:200]!r}); put it back as it was, or "
            f"{way_out}"
        )
    return to


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62
