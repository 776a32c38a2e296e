"""sweep.json: the points of all commands in a sweep's directory, its objective and its command."""

import os
from collections.abc import Container, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rollout.config.fingerprint import redacted
from rollout.config.settings import OBJECTIVE
from rollout.errors import UserError
from rollout.report.recorded import ks_in, number_in
from rollout.report.run.records import AttemptRecords, last_line
from rollout.report.run.times import lasted_s
from rollout.report.sweep.points import SCORES, Point, figures_of
from rollout.store.run_dir import attempts
from rollout.system import dates
from rollout.system.disk import read_json, read_record, write_json

RECORD = "sweep.json"
KEPT = {  # the fields of a point in sweep.json
    "name": str, "values": dict, "status": str, "error": str | None, "engine": int | None,
    "prompt_keys": list, "prefix": str,
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
        texts = [*record["values"].values(), *record.get("prompt_keys", ())] if is_whole else [None]
        if not all(isinstance(text, str) for text in texts):
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
            if isinstance(key := record.get("prompt_key"), str):  # of an older version
                known.setdefault("prompt_keys", [key])
            found[run_dir] = Point(**known, run_dir=run_dir, figures=figures_of(run_dir))
    return found


class SweepRecord:
    """sweep.json while a command runs: it adds to what earlier commands left there."""

    def __init__(self, directory: Path, argv: list[str]):
        self._path, self._argv = directory / RECORD, redacted(argv)
        found = sweep_record(directory)
        created, earlier_s = found.get("created"), elapsed_of(directory)
        self._created = created if isinstance(created, str) else dates.now()
        if not found.get("points") and earlier_s is None:
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
        total = None if earlier_s is None else earlier_s + elapsed_s
        record = {
            "created": self._created,
            "written": dates.now(),
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


def elapsed_of(directory: Path) -> float | None:
    """Return the seconds of all commands of a sweep until their last record; None if unknown.

    sweep.json is written when points begin and end. Launches of points that had begun by then were
    of that command, so their later records count; those of a later run_dir=POINT don't.
    """
    record = sweep_record(directory)
    elapsed_s, written = number_in(record, "elapsed_s"), dates.moment(record.get("written"))
    if elapsed_s is None or written is None:
        return elapsed_s
    try:
        run_dirs = points_in(directory)
    except UserError:  # damaged; said elsewhere
        return elapsed_s
    more_s = [_lasted_after(written, launch) for d in run_dirs for launch in attempts(d)]
    return elapsed_s + max([0.0, *more_s])


def _lasted_after(written: datetime, launch: Path) -> float:
    """Return the seconds until the last record of a launch; 0 if it began after that moment."""
    environment, ended, summary = (
        read_json(launch / f"{name}.json") or {} for name in ("environment", "ended", "summary")
    )
    line = last_line(launch / "metrics.jsonl")
    found = AttemptRecords(
        int(launch.name), launch, environment=environment, ended=ended, summary=summary,
        lines=[line] if line else [],
    )  # fmt: skip
    started, spent_s = dates.moment(environment.get("started")), lasted_s(found)
    if started is None or spent_s is None or started > written:
        return 0.0
    return spent_s - (written - started).total_seconds()


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
