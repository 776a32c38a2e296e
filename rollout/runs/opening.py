"""Opening a run directory: new, gone on with, or refused; locked while it is open."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from rollout.config.settings import Resume
from rollout.errors import UserError
from rollout.runs.job import Job
from rollout.runs.record import record_of
from rollout.runs.refusals import refuse_changed_rows
from rollout.runs.resume import begin, go_on
from rollout.runs.standing import Standing
from rollout.runs.workflow import refuse_failing_scorer
from rollout.store.run_dir import attempts, finish_moving, holds_rows, is_a_run, move_aside
from rollout.store.run_records import run_record
from rollout.store.shards import shard_rows
from rollout.store.store import Store
from rollout.system import disk, lock
from rollout.system.console import Console

LARGE_INPUT_BYTES = 1 << 30  # to read takes a second or more


@contextlib.contextmanager
def open_run(job: Job, console: Console) -> Iterator[tuple[Store, Standing]]:
    """Hold the run directory during the block; say how far the run in it is.

    Raises UserError where another launch holds it, or the run in it can't be gone on with, and
    RolloutError where the input changed meanwhile. Nothing is changed then.
    """
    run_dir = job.run_dir
    with contextlib.ExitStack() as stack:
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock.held(run_dir, console.note))
            opened = _opened(job, console)
        except OSError as error:
            raise UserError(
                f"run_dir={run_dir}: can't write there ({_told(error, run_dir)}); make room, put "
                "that right, or type another run_dir="
            ) from error
        yield opened


def _told(error: OSError, run_dir: Path) -> str:
    """What the system says, and of which file in the directory."""
    said = error.strerror or str(error)
    path = Path(error.filename) if isinstance(error.filename, str) else run_dir
    return said if path == run_dir else f"{path}: {said}"


def _opened(job: Job, console: Console) -> tuple[Store, Standing]:
    run_dir, settings = job.run_dir, job.settings
    if moved_to := finish_moving(run_dir):
        console.note(f"resume=fresh was interrupted: the old run now stands at {moved_to}")
    if settings.resume is Resume.fresh and (moved_to := move_aside(run_dir)):
        console.note(f"resume=fresh: the old run now stands at {moved_to}")
    shards = run_dir / "shards"
    if not is_a_run(run_dir) and shards.is_dir() and any(shards.iterdir()):
        raise UserError(
            f"run_dir={run_dir} has files in shards/ and no run.json that says what they are; put "
            "it back, or type another run_dir="
        )
    if not (is_a_run(run_dir) and holds_rows(run_dir)):
        n, max_tokens = settings.sampling.n_samples, settings.sampling.token_limit
        store = Store(run_dir, job.prompts.num_rows, shard_rows(n, max_tokens))
        standing = begin(job)
        _hold_to_input(job, standing, console)
        disk.remove_leftovers(run_dir, "run.json")
        if is_a_run(run_dir):
            store.repair(console.note)
        shards.mkdir(exist_ok=True)
        disk.write_json(run_dir / "run.json", record_of(job, store.rows_per_shard, standing.kept))
        store.expect(standing.owed)
        return store, standing
    record = run_record(run_dir)
    store = Store(run_dir, job.prompts.num_rows, record["rows_per_shard"])
    standing = go_on(job, store, record, console)
    if standing.num_given_up:
        tried = settings.data.max_attempts
        console.note(
            f"note: {standing.num_given_up:,} failed rows were tried {tried} times already; type "
            f"data.max_attempts={tried + 1} or more to try them again"
        )
    if standing.finished:
        store.tidy()
        return store, standing
    if not standing.num_owed and (run_dir / "summary.json").exists():
        refuse_failing_scorer(settings)  # what stands there complete stays so
    _hold_to_input(job, standing, console)
    store.repair(console.note)
    store.expect(standing.owed)
    console.note(f"resuming: {standing}")
    if standing.num_left_cut:
        console.note(
            f"note: {standing.num_left_cut:,} rows keep samples cut off below the present "
            "sampling.max_tokens; continue_truncated=true goes on with them"
        )
    _reopen(job)
    return store, standing


def _hold_to_input(job: Job, standing: Standing, console: Console) -> None:
    """Note what the input holds, once for the whole run. Raises RolloutError where it changed."""
    num_bytes = sum(path.stat().st_size for path in job.prompts.files if path.exists())
    slow = console.waiting(f"noting what the input holds ({num_bytes / 2**30:.1f} GiB)")
    with slow if num_bytes >= LARGE_INPUT_BYTES else contextlib.nullcontext():
        was_touched = job.prompts.take_digests()
    if was_touched and standing.state.present.any():  # since these were compared
        refuse_changed_rows(job, standing.state)


def _reopen(job: Job) -> None:
    """Take the mark of completeness away; each attempt keeps its own summary."""
    past = attempts(job.run_dir)
    summary = job.run_dir / "summary.json"
    if past and summary.exists():
        disk.rename(summary, past[-1] / "summary.json")


def standing_now(job: Job, console: Console) -> Standing:
    """For a dry run: how far the run in the directory is; nothing is changed."""
    is_new = job.settings.resume is Resume.fresh or not is_a_run(job.run_dir)
    if is_new or not holds_rows(job.run_dir):
        return begin(job)
    record = run_record(job.run_dir)
    store = Store(job.run_dir, job.prompts.num_rows, record["rows_per_shard"])
    return go_on(job, store, record, console)
