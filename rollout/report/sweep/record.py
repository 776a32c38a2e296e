"""sweep.json: the points of all commands in a sweep's directory, its objective and its command."""

import os
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from rollout.config.fingerprint import redacted
from rollout.config.settings import OBJECTIVE
from rollout.errors import UserError
from rollout.report.recorded import ks_in
from rollout.report.sweep.points import SCORES, Point, figures_of
from rollout.system import dates
from rollout.system.disk import read_json, read_record, write_json

RECORD = "sweep.json"
KEPT = {  # the fields of a point in sweep.json
    "name": str, "values": dict, "status": str, "error": str | None, "engine": int | None,
    "prompt_key": str, "prefix": str,
}  # fmt: skip


def points_in(directory: Path) -> dict[Path, dict[str, Any]]:
    """Return what sweep.json has on each point, by run directory. Raises UserError if damaged."""
    path = directory / RECORD
    advice = "remove it: then the table has only the points of this command"
    records = (read_record(path, advice, {"points": list}) or {"points": []})["points"]
    for record in records:
        is_whole = isinstance(record, dict) and {"name", "values", "run_dir"} <= record.keys()
        is_whole = is_whole and isinstance(record["run_dir"], str)
        is_whole = is_whole and all(isinstance(record[n], KEPT[n]) for n in KEPT if n in record)
        if not is_whole or not all(isinstance(v, str) for v in record["values"].values()):
            raise UserError(f"{path} is damaged (a point); restore it, or {advice}")
    return {Path(os.path.normpath(directory / r["run_dir"])): r for r in records}


def recorded_points(
    directory: Path, but: Container[Path] = (), with_unstarted: bool = False
) -> dict[Path, Point]:
    """Return the points in sweep.json by directory, without those in `but` or whose is gone.

    `with_unstarted`: also points that never had a directory, since they were refused or wait.
    Raises UserError if sweep.json is damaged.
    """
    found: dict[Path, Point] = {}
    for run_dir, record in points_in(directory).items():
        is_unstarted = record.get("status", "waiting") in ("waiting", "failed")
        if run_dir not in but and (run_dir.is_dir() or (with_unstarted and is_unstarted)):
            known = {name: record[name] for name in KEPT if name in record}
            found[run_dir] = Point(**known, run_dir=run_dir, figures=figures_of(run_dir))
    return found


class SweepRecord:
    """sweep.json while a command runs: it adds to what earlier commands left there."""

    def __init__(self, directory: Path, argv: list[str]):
        self._path, self._argv = directory / RECORD, redacted(argv)
        found = sweep_record(directory)
        created, earlier_s = found.get("created"), found.get("elapsed_s")
        self._created = created if isinstance(created, str) else dates.now()
        if not found.get("points") and not isinstance(earlier_s, int | float):
            earlier_s = 0.0
        self._earlier_s = earlier_s  # null where a command did not record its time

    def write(
        self,
        points: Iterable[Point],
        objective: str,
        elapsed_s: float,
        num_points: int | None = None,
    ) -> None:
        """Write the points, and `elapsed_s` of this command beside those of earlier ones.

        `num_points` also counts those that are not composed yet; None: unknown.
        """
        records = [
            {key: getattr(point, key) for key in KEPT}
            | {"run_dir": os.path.relpath(point.run_dir, self._path.parent)}
            for point in points
        ]
        earlier_s = self._earlier_s
        total = earlier_s + elapsed_s if isinstance(earlier_s, int | float) else None
        record = {
            "created": self._created,
            "argv": self._argv,
            "objective": objective,
            "elapsed_s": total,
            "num_points": num_points,
            "points": records,
        }
        write_json(self._path, record)


def sweep_record(directory: Path) -> dict[str, Any]:
    """Return sweep.json; empty if it is missing or damaged."""
    return read_json(directory / RECORD) or {}


def num_uncomposed(directory: Path, num_known: int) -> int:
    """Return how many points a sweep has beside those known; 0 if its number is unknown."""
    total = sweep_record(directory).get("num_points")
    return max(total - num_known, 0) if type(total) is int else 0


def recorded_objective(directory: Path, figures: Iterable[Mapping[str, Any]]) -> str:
    """Return the figure that ranks the points; of an old record, pass@1 if they were scored.

    `figures`: of the points' summary.json.
    """
    objective = sweep_record(directory).get("objective")
    if isinstance(objective, str) and objective:
        return objective
    scores = (found.get(SCORES) for found in figures)
    ks = ks_in(name for found in scores if isinstance(found, dict) for name in found)
    return f"{SCORES}.pass@{ks[0]}" if ks else OBJECTIVE
