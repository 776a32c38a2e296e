"""A run or a sweep as an entry of a listing, made from its records; no response is read.

Guarantees that a record with values of any other type gives None for them, not an error.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from rollout.config.sections.sampling import Sampling
from rollout.errors import UserError
from rollout.report.recorded import value_in
from rollout.report.run.records import last_line
from rollout.report.run.so_far import rate_of_unfinished
from rollout.runs.state import COMPLETE, FAILED, RESUMABLE, RUNNING, RunState, state_of
from rollout.runs.summary_record import summary_record
from rollout.store.run_dir import attempts, settings_of_rows
from rollout.store.run_records import is_count
from rollout.system import dates
from rollout.system.disk import read_json

IN_THE_NAME = ("n_samples", "extra")  # of Sampling: shown in a column of its own, or not at all
SCORES, RATE = "scores", "output_tokens_per_s"


@dataclass(slots=True)
class Entry:
    """A run; None where its records don't say."""

    path: Path
    when: datetime | None
    state: RunState
    model: str | None  # None for the scripted engine too
    data: str | None  # as typed
    num_files: int
    n_samples: int | None
    sampling: dict[str, Any]  # the temperature, and whatever differs from the default
    output_tokens_per_s: float | None  # of the last launch; running: at present
    scores: dict[str, float]
    figures: dict[str, Any] = field(default_factory=dict)  # of summary.json


def entry_of(run_dir: Path) -> Entry:
    """Read a run's records. Raises UserError if it is gone meanwhile."""
    state = state_of(run_dir)
    record = read_json(run_dir / "run.json") or {}
    figures = summary_record(run_dir) or {}
    asked = _fingerprint(run_dir, record)
    n_samples, files = asked.get("sampling.n_samples"), value_in(record, "input.files")
    is_scripted = value_in(record, "config.engine.backend") == "scripted"
    model, source, data = (
        _text(value_in(record, f"config.{key}"))
        for key in ("model.model_path", "prepare.source", "data.input")
    )
    rate = _rate_now(run_dir, state) if state.name == RUNNING else figures.get(RATE)
    if state.name != RUNNING and not figures:
        rate = rate_of_unfinished(run_dir)
    return Entry(
        run_dir,
        _when(run_dir, record),
        state,
        None if is_scripted else model,
        source or data,
        len(files) if isinstance(files, list) else 0,
        n_samples if is_count(n_samples) else None,
        _sampling(asked),
        rate if isinstance(rate, float | int) else None,
        _scores(figures),
        figures,
    )


@dataclass(slots=True)
class SweepEntry:
    """A sweep with its points."""

    path: Path
    when: datetime | None
    points: list[Entry]
    values: dict[Path, dict[str, str]]  # a point's swept values, where sweep.json has them
    num_waiting: int  # points without a run, since none was started yet
    is_running: bool
    objective: str
    refused: dict[Path, str] = field(default_factory=dict)  # points that failed without a run
    best: list[Entry] = field(default_factory=list)  # the complete points with the best value
    best_value: float | None = None

    @property
    def num_points(self) -> int:
        return len(self.points) + len(self.refused) + self.num_waiting

    @property
    def num_rows(self) -> int | None:
        """Return the rows of all points but those refused; None if that is not known.

        Points that wait have the rows of the others, unless what they read (data.*) is swept.
        """
        counts = [point.state.num_rows for point in self.points]
        if None in counts or not counts:
            return None
        if not self.num_waiting:
            return sum(counts)
        is_same = len(set(counts)) == 1 and not any(key.startswith("data") for key in self.swept)
        return counts[0] * (len(counts) + self.num_waiting) if is_same else None

    @property
    def swept(self) -> dict[str, list[str]]:
        """Return each swept key with its values as typed, each once."""
        found: dict[str, list[str]] = {}
        for values in self.values.values():
            for key, value in values.items():
                if value not in found.setdefault(key, []):
                    found[key].append(value)
        return found

    @property
    def states(self) -> dict[str, int]:
        """Return how many points are in each state."""
        counts = Counter(point.state.name for point in self.points)
        counts[FAILED] += len(self.refused)
        named = {name: counts[name] for name in (COMPLETE, RUNNING, RESUMABLE, FAILED)}
        return {k: v for k, v in (named | {"waiting": self.num_waiting}).items() if v}

    @property
    def state(self) -> str:
        """Return what the sweep as a whole is: complete only if every point is."""
        states = self.states
        if self.is_running or RUNNING in states:
            return RUNNING
        if RESUMABLE in states or "waiting" in states or not states:
            return RESUMABLE
        return FAILED if FAILED in states else COMPLETE


def _fingerprint(run_dir: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Return what the rows were made with; older versions did not renew run.json."""
    try:
        return _mapping(settings_of_rows(run_dir).get("fingerprint"))
    except UserError:  # damaged; the state says so where that matters
        return _mapping(record.get("fingerprint"))


def _sampling(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the temperature, and the other settings that are not the default."""
    found = {}
    for f in fields(Sampling):
        value = asked.get(f"sampling.{f.name}", MISSING)
        default = f.default if f.default is not MISSING else f.default_factory()
        if value is MISSING or f.name in IN_THE_NAME:
            continue
        if f.name == "temperature" or (value != default and value is not None):
            found[f.name] = value
    return found


def _scores(figures: Mapping[str, Any]) -> dict[str, float]:
    scores = _mapping(figures.get(SCORES))
    return {name: value for name, value in scores.items() if isinstance(value, float)}


def _when(run_dir: Path, record: Mapping[str, Any]) -> datetime | None:
    """Return when the run began; older versions recorded no date, but wrote files then."""
    if found := dates.moment(record.get("created")):
        return found
    first = next(iter(attempts(run_dir)), run_dir)
    for path in (first / "environment.json", run_dir / "run.json"):
        if path.exists():
            return dates.moment(path.stat().st_mtime)
    return None


def _rate_now(run_dir: Path, state: RunState) -> Any:
    """Return the tokens per second in the last whole line of the last launch's metrics.jsonl.

    Once the launch has written its summary, that of the summary. In between, while the output is
    published and scored, None: nothing is generated.
    """
    launch = next(reversed(attempts(run_dir)), run_dir)
    if summary := read_json(launch / "summary.json"):
        return summary.get(RATE)
    if state.num_done is not None and state.num_done == state.num_rows:
        return None
    return (last_line(launch / "metrics.jsonl") or {}).get(RATE)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
