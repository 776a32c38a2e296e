"""Read the records of a run for its page, as they are at this moment.

Each record may be missing, half-written, damaged, or from an older version: then its values are
unknown, and `faults` says so. Nothing is locked or changed, so another process may be running the
run. Must not know how a page looks.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rollout.errors import UserError
from rollout.errors.secret_texts import without_secrets
from rollout.report.recorded import number_in, value_in
from rollout.runs.summary_record import summary_record
from rollout.store.run_dir import attempts, is_a_run
from rollout.store.run_records import published_record, run_record
from rollout.system.disk import read_json, read_regular
from rollout.system.formats.exact_json import integer_of
from rollout.system.formats.plain_yaml import read_yaml
from rollout.system.terminal import counted

REMEDY = "the report is made without it"
TAIL_BYTES = 16_384  # of metrics.jsonl, which hold its last line


@dataclass(frozen=True, slots=True)
class AttemptRecords:
    """The records of one launch; empty where there is none."""

    number: int
    directory: Path
    settings: Mapping[str, Any] = field(default_factory=dict)  # nested, of config.yaml
    settings_text: str = ""  # config.yaml, secrets starred
    environment: Mapping[str, Any] = field(default_factory=dict)
    ended: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[Mapping[str, Any]] = ()  # of metrics.jsonl, by ascending elapsed_s
    is_first_lost: bool = False  # the first of these lines is not the first that was written


class Lines(NamedTuple):
    """The lines of a metrics.jsonl that can be read, and how many can't."""

    found: list[Mapping[str, Any]]
    num_bad: int = 0
    is_first_lost: bool = False  # a line before them can't be read


@dataclass(frozen=True, slots=True)
class RunRecords:
    """The records of a run, its launches oldest first."""

    run_dir: Path
    first: Mapping[str, Any]  # run.json
    attempts: Sequence[AttemptRecords]
    summary: Mapping[str, Any]  # of the run, once it is complete
    published: Mapping[str, Any]
    faults: Sequence[str]  # one sentence for each record that can't be read

    @property
    def last(self) -> AttemptRecords | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the last launch that recorded any, nested."""
        known = (a.settings for a in reversed(self.attempts) if a.settings)
        return next(known, self.first.get("config") or {})

    def setting(self, key: str) -> Any:
        """Return the setting under a dotted key; None if it is unknown."""
        return value_in(self.settings, key)

    @property
    def engine(self) -> Mapping[str, Any]:
        """The engine's name, version and settings, by the last launch that measured its speed."""
        found = self.measured.summary.get("engine") if self.measured else None
        return found if isinstance(found, dict) else {}

    @property
    def measured(self) -> AttemptRecords | None:
        """The last launch that measured its speed, in a summary or in metrics."""
        found = (
            attempt
            for attempt in reversed(self.attempts)
            if number_in(attempt.summary, "output_tokens_per_s") is not None or attempt.lines
        )
        return next(found, None)


def read_records(run_dir: Path) -> RunRecords:
    """Return the records in `run_dir`. Raises UserError, saying what to type, if it is no run."""
    faults: list[str] = []
    first = _first(run_dir, faults)
    launches = [_attempt(directory, faults) for directory in attempts(run_dir)]
    summary = summary_record(run_dir)
    if summary is None and (run_dir / "summary.json").exists():
        faults.append("summary.json is damaged: the speed is from metrics.jsonl")
    if summary and not launches:
        faults.append("attempts/ is missing: speed and settings of the launches are not known")
    try:
        published = published_record(run_dir, REMEDY)
    except UserError as error:
        published = {}
        faults.append(str(error.args[0]))
    return RunRecords(run_dir, first, launches, summary or {}, published, faults)


def _first(run_dir: Path, faults: list[str]) -> Mapping[str, Any]:
    """Return run.json. A damaged one is a fault if there are launches, else a UserError."""
    try:
        found = run_record(run_dir, REMEDY)
    except UserError as error:
        if not attempts(run_dir):
            raise
        faults.append(str(error.args[0]))
        return {}
    if found is None:
        is_a_run(run_dir)  # raises for a file
        raise UserError(
            f"{run_dir} has no run.json, so it is not a run; type the run_dir= of a run, a sweep's "
            "directory, or a parquet file; python -m rollout.ls lists them"
        )
    return found


def _attempt(directory: Path, faults: list[str]) -> AttemptRecords:
    name = f"attempts/{directory.name}"
    settings, text = _settings(directory / "config.yaml", f"{name}/config.yaml", faults)
    lines, num_bad, is_lost = read_lines(directory / "metrics.jsonl")
    if num_bad:
        faults.append(
            f"{name}/metrics.jsonl: left out {counted(num_bad, 'line')} that can't be read"
        )
    found = {}
    for record in ("environment", "ended", "summary"):
        path = directory / f"{record}.json"
        found[record] = read_json(path) or {}
        if not found[record] and path.exists():
            faults.append(f"{name}/{record}.json is damaged")
    attempt = AttemptRecords(
        int(directory.name), directory, settings, text, **found, lines=lines, is_first_lost=is_lost
    )
    faults += [f"{name}/{record} is missing" for record in _missing(attempt)]
    return attempt


def _missing(attempt: AttemptRecords) -> list[str]:
    """Return the records that the others say were written, and that are gone."""
    wanted: list[str] = []
    if attempt.ended or attempt.summary or attempt.lines:  # else it may be about to write them
        wanted += ["config.yaml", "environment.json"]
    if number_in(attempt.ended, "exit_code") == 0:
        wanted.append("summary.json")
    if (number_in(attempt.summary, "num_generated_rows") or 0) > 0:
        wanted.append("metrics.jsonl")
    return [record for record in wanted if not (attempt.directory / record).exists()]


def _settings(path: Path, name: str, faults: list[str]) -> tuple[Mapping[str, Any], str]:
    try:
        text = read_regular(path).decode("utf-8", "backslashreplace")
    except OSError:
        return {}, ""
    try:
        found = read_yaml(text)
    except ValueError as error:
        faults.append(f"{name} {error}")
        found = None
    return found if isinstance(found, dict) else {}, without_secrets(text)


def read_lines(path: Path) -> Lines:
    """Return the lines of a metrics.jsonl; none if there is no such file.

    A last line without its end is being written, or was when the process was killed: it is left
    out, and not counted.
    """
    try:
        data = read_regular(path)
    except OSError:
        return Lines([])
    found, num_bad, last_s, is_first_lost = [], 0, 0.0, False
    for text in data.split(b"\n")[:-1]:
        line = line_in(text)
        at_s = number_in(line, "elapsed_s") if line else None
        if at_s is None or at_s < last_s:
            num_bad += 1
            is_first_lost |= not found
            continue
        found.append(line)
        last_s = at_s
    return Lines(found, num_bad, is_first_lost)


def last_line(path: Path) -> Mapping[str, Any] | None:
    """Return the last whole line of a metrics.jsonl; None if there is none or it is damaged."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
        lines = file.read().split(b"\n")[:-1]
    return line_in(lines[-1]) if lines else None


def line_in(text: bytes) -> Mapping[str, Any] | None:
    """Return a line of metrics.jsonl; None if it is damaged."""
    try:
        found = json.loads(text, parse_int=integer_of)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
