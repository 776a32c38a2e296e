"""Read sweep.json: the points of all commands in a sweep's directory."""

import os
from collections.abc import Container
from pathlib import Path
from typing import Any

from rollout.errors import UserError
from rollout.report.sweep.points import Point, figures_of
from rollout.system.disk import read_record

RECORD = "sweep.json"
KEPT = {  # the fields of a point in sweep.json
    "name": str, "values": dict, "status": str, "error": str | None, "engine": int | None,
    "prompt_key": str, "prefix": str,
}  # fmt: skip


def points_in(directory: Path) -> list[dict[str, Any]]:
    """Return the points of all commands so far, from sweep.json. Raises UserError if damaged."""
    path = directory / RECORD
    advice = "remove it: then the table has only the points of this command"
    found = (read_record(path, advice, {"points": list}) or {"points": []})["points"]
    for record in found:
        is_whole = isinstance(record, dict) and {"name", "values", "run_dir"} <= record.keys()
        is_whole = is_whole and isinstance(record["run_dir"], str)
        is_whole = is_whole and all(isinstance(record[n], KEPT[n]) for n in KEPT if n in record)
        if not is_whole or not all(isinstance(v, str) for v in record["values"].values()):
            raise UserError(f"{path} is damaged (a point); restore it, or {advice}")
    return found


def recorded_points(directory: Path, but: Container[Path] = ()) -> dict[Path, Point]:
    """Return the points in sweep.json by directory, without those in `but` or whose is gone.

    Raises UserError if sweep.json is damaged.
    """
    found: dict[Path, Point] = {}
    for record in points_in(directory):
        run_dir = Path(os.path.normpath(directory / record["run_dir"]))
        if run_dir.is_dir() and run_dir not in but:
            known = {name: record[name] for name in KEPT if name in record}
            found[run_dir] = Point(**known, run_dir=run_dir, figures=figures_of(run_dir))
    return found
