"""The state of a run, read from its directory: running, complete, failed or resumable.

Takes no lock, writes nothing, and needs neither the input nor the settings. A damaged record is a
state too. Must not know how a launch decides what it may resume (see resume.py).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.config.schema import MAX_INT
from rollout.errors import UserError
from rollout.runs.summary_record import summary_record
from rollout.store.finished import Criteria, finished_rows
from rollout.store.run_dir import last_attempt
from rollout.store.run_records import ENDED, is_count, published_record, run_record
from rollout.system import dates
from rollout.system.disk import path_of, read_json
from rollout.system.formats.plain_yaml import read_yaml
from rollout.system.lock import holder_of
from rollout.system.storage.paths import is_remote
from rollout.system.terminal import counted

RUNNING, RESUMABLE, COMPLETE, FAILED = "running", "resumable", "complete", "failed"
SILENCE_S = 600  # after which a launch on another machine, which can't be asked, counts as dead
SIGNS_OF_LIFE = ("metrics.jsonl", "run.log", "engine.log", "config.yaml")  # of an attempt
OF_A_SIGNAL = range(128, 256)  # exit codes


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run. A count is None if a damaged record leaves it unknown."""

    name: str  # RUNNING, RESUMABLE, COMPLETE or FAILED
    num_rows: int | None  # of the input
    num_done: int | None  # on disk, with all samples that were asked for, or an error
    num_failed: int | None  # on disk with an error, those to be tried again included
    detail: str  # one sentence; it may hold any text, since errors do


def state_of(run_dir: Path, is_ending: bool = False) -> RunState:
    """Return the state of the run in a directory. Raises UserError if there is none.

    running: a live process holds its lock, unless the caller is that and `is_ending`. complete:
    published, with a summary. failed: the last launch ended with an error, no row was answered or
    judged, or a record is damaged. resumable: everything else, such as a launch that was killed.
    """
    if not (run_dir / "run.json").exists():
        raise UserError(f"{run_dir} holds no run (it has no run.json)")
    num_rows = None
    try:
        record = run_record(run_dir) or {}
        num_rows = record["input"].get("num_rows")
        summary = summary_record(run_dir)
        if not is_ending and (detail := _who_runs(run_dir)):
            name = RUNNING
        elif summary and not (detail := _what_is_missing(run_dir)):
            return _of_summary(summary)
        elif summary:
            name = RESUMABLE
        else:
            name, detail = _ending(run_dir)
        found = finished_rows(run_dir, criteria_of(run_dir, record))
    except (UserError, OSError) as error:
        return RunState(FAILED, num_rows, None, None, " ".join(str(error).split()))
    return RunState(name, num_rows, found.num_done, found.num_failed, detail)


def criteria_of(run_dir: Path, record: Mapping[str, Any]) -> Criteria:
    """Return what the last launch asked for: see resume.standing_of."""
    n_samples = record["fingerprint"].get("sampling.n_samples")
    n_samples = n_samples if is_count(n_samples) else 0
    attempt = last_attempt(run_dir)
    config = _config(attempt / "config.yaml") if attempt else {}
    sampling, data = (_section(config, name) for name in ("sampling", "data"))
    if is_count(sampling.get("n_samples")):
        n_samples = sampling["n_samples"]
    longest, tries = sampling.get("max_tokens", MAX_INT), data.get("max_attempts")
    longest = longest if is_count(longest) else MAX_INT  # null: only the context limits it
    continues, retries = (config.get(k) is True for k in ("continue_truncated", "retry_failed"))
    return Criteria(
        n_samples, longest if continues else 0, tries if retries and is_count(tries) else 0
    )


def _config(path: Path) -> dict[str, Any]:
    """Return a launch's settings; empty if they are missing or damaged."""
    try:
        found = read_yaml(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _section(config: dict[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _who_runs(run_dir: Path) -> str:
    """Return which process holds the run's lock; empty if none is alive."""
    holder = holder_of(run_dir)
    if holder is None or not holder.is_alive:
        return ""
    where = "" if holder.is_here else f" on {holder.host}"
    if not holder.is_here and time.time() - _last_sign_s(run_dir) > SILENCE_S:
        return ""
    return f"process {holder.pid}{where} works on it"


def _what_is_missing(run_dir: Path) -> str:
    """Return what of a complete run's output is gone; empty if nothing, or if it is on a store."""
    path = published_record(run_dir).get("path")
    if path is None:
        return "nothing is published; the same command publishes it"
    if not is_remote(path) and not path_of(path, run_dir).exists():
        return f"{path} is gone; the same command publishes it again"
    return ""


def _of_summary(summary: dict[str, Any]) -> RunState:
    num_rows, num_failed = summary["num_rows"], summary["num_failed"]
    name, detail = COMPLETE, f"{counted(num_failed, 'row')} failed" if num_failed else ""
    if num_rows and num_failed == num_rows:
        name, detail = FAILED, "every row failed; column error says why"
    elif (summary.get("scores") or {}).get("num_judged") == 0:
        name, detail = FAILED, "not a single response could be judged"
    if date := dates.moment(summary.get("finished")):
        finished = f"finished {dates.shown(date)}"
        detail = f"{detail}; {finished}" if detail else finished
    return RunState(name, num_rows, num_rows, num_failed, detail)


def _ending(run_dir: Path) -> tuple[str, str]:
    """Return state and detail of a run that is neither running nor complete, by its last launch."""
    attempt = last_attempt(run_dir)
    if attempt is None:
        return RESUMABLE, "no launch has begun to answer it"
    record = read_json(attempt / ENDED) or {}
    code, error = record.get("exit_code"), record.get("error")
    ended = dates.moment(record.get("ended") or record.get("at_s"))
    when = dates.shown(ended) if ended else "an unknown time"
    if not record:
        seen = dates.moment(_last_sign_s(run_dir))
        since = f", last active {dates.shown(seen)}" if seen else ""
        return RESUMABLE, f"the last launch was killed{since}"
    if code in OF_A_SIGNAL:
        return RESUMABLE, f"the last launch was interrupted at {when}"
    if isinstance(error, str) and error:
        return FAILED, f"{error} ({when})"
    return RESUMABLE, f"the last launch ended at {when} and did not finish the run"


def _last_sign_s(run_dir: Path) -> float:
    """Return when the last launch last wrote something, in seconds since 1970; 0: never."""
    attempt = last_attempt(run_dir) or run_dir
    files = [run_dir / "run.json", *(attempt / name for name in SIGNS_OF_LIFE)]
    return max((path.stat().st_mtime for path in files if path.exists()), default=0.0)
