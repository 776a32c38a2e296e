"""Open a run directory: start a new run, resume the one in it, or refuse; locked while open."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from rollout.config.settings import Resume
from rollout.errors import UserError
from rollout.runs.job import Job
from rollout.runs.record import record_of
from rollout.runs.refusals import refuse_changed_rows
from rollout.runs.resume import new_standing, resumed_standing
from rollout.runs.standing import Standing
from rollout.runs.workflow import refuse_failing_scorer
from rollout.store.run_dir import attempts, finish_moving, holds_rows, is_a_run, move_aside
from rollout.store.run_records import run_record
from rollout.store.shards import shard_rows
from rollout.store.store import Store
from rollout.system import disk, lock
from rollout.system.console import Console
from rollout.system.storage.faults import StorageError

LARGE_INPUT_BYTES = 1 << 30  # takes a second or more to read


@contextlib.contextmanager
def open_run(job: Job, console: Console) -> Iterator[tuple[Store, Standing]]:
    """Lock the run directory during the block; yield its store and the state of its run.

    Raises UserError if another launch holds the lock or the run can't be resumed, and RolloutError
    if the input changed meanwhile. Nothing is changed then.
    """
    run_dir = job.run_dir
    with contextlib.ExitStack() as stack:
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock.held(run_dir, console.note))
            opened = _opened(job, console)
        except StorageError:  # of the input or the output
            raise
        except OSError as error:
            raise UserError(
                f"run_dir={run_dir}: can't write there ({_reason(error, run_dir)}); make room, fix "
                "the cause, or type another run_dir="
            ) from error
        yield opened


def _reason(error: OSError, run_dir: Path) -> str:
    """Return the system's message, with the file if it is not the directory itself."""
    message = error.strerror or str(error)
    path = Path(error.filename) if isinstance(error.filename, str) else run_dir
    return message if path == run_dir else f"{path}: {message}"


def _opened(job: Job, console: Console) -> tuple[Store, Standing]:
    run_dir, settings = job.run_dir, job.settings
    if moved_to := finish_moving(run_dir):
        console.note(f"resume=fresh was interrupted: the old run is now in {moved_to}")
    if settings.resume is Resume.fresh and (moved_to := move_aside(run_dir)):
        console.note(f"resume=fresh: the old run is now in {moved_to}")
    shards = run_dir / "shards"
    if not is_a_run(run_dir) and shards.is_dir() and any(shards.iterdir()):
        raise UserError(
            f"run_dir={run_dir} has files in shards/ but no run.json to describe them; put "
            "run.json back, or type another run_dir="
        )
    if not (is_a_run(run_dir) and holds_rows(run_dir)):
        n, max_tokens = settings.sampling.n_samples, settings.sampling.token_limit
        store = Store(run_dir, job.prompts.num_rows, shard_rows(n, max_tokens))
        standing = new_standing(job)
        _take_digests(job, standing, console)
        disk.remove_leftovers(run_dir, "run.json")
        if is_a_run(run_dir):
            store.repair(console.note)
        shards.mkdir(exist_ok=True)
        disk.write_json(run_dir / "run.json", record_of(job, store.rows_per_shard, standing.kept))
        store.expect(standing.owed)
        return store, standing
    record = run_record(run_dir)
    store = Store(run_dir, job.prompts.num_rows, record["rows_per_shard"])
    standing = resumed_standing(job, store, record, console)
    if standing.num_given_up:
        tried = settings.data.max_attempts
        console.note(
            f"note: {standing.num_given_up:,} failed rows have reached data.max_attempts={tried}; "
            f"type data.max_attempts={tried + 1} or more to try them again"
        )
    if standing.finished:
        store.tidy()
        return store, standing
    if not standing.num_owed and (run_dir / "summary.json").exists():
        refuse_failing_scorer(settings)  # before _reopen moves the summary of a complete run
    _take_digests(job, standing, console)
    store.repair(console.note)
    store.expect(standing.owed)
    console.note(f"resuming: {standing}")
    if standing.num_left_cut:
        console.note(
            f"note: {standing.num_left_cut:,} rows keep samples cut off below the current "
            "sampling.max_tokens; type continue_truncated=true to continue them"
        )
    _reopen(job)
    return store, standing


def _take_digests(job: Job, standing: Standing, console: Console) -> None:
    """Digest the input files, which the run must keep to. Raises RolloutError if they changed."""
    num_bytes = sum(path.stat().st_size for path in job.prompts.files if path.exists())
    slow = console.waiting(f"computing digests of the input ({num_bytes / 2**30:.1f} GiB)")
    with slow if num_bytes >= LARGE_INPUT_BYTES else contextlib.nullcontext():
        was_touched = job.prompts.take_digests()
    if was_touched and standing.state.present.any():  # after the rows were compared
        refuse_changed_rows(job, standing.state)


def _reopen(job: Job) -> None:
    """Move summary.json, which marks a complete run, to the attempt that wrote it."""
    past = attempts(job.run_dir)
    summary = job.run_dir / "summary.json"
    if past and summary.exists():
        disk.rename(summary, past[-1] / "summary.json")


def standing_now(job: Job, console: Console) -> Standing:
    """Return the state of the run in the directory, for a dry run; change nothing."""
    is_new = job.settings.resume is Resume.fresh or not is_a_run(job.run_dir)
    if is_new or not holds_rows(job.run_dir):
        return new_standing(job)
    record = run_record(job.run_dir)
    store = Store(job.run_dir, job.prompts.num_rows, record["rows_per_shard"])
    return resumed_standing(job, store, record, console)
