"""May this launch go on with the run in the directory, and what does it owe?

Owns the comparison of a launch with the run it finds: settings by the fingerprint, rows by
position and digest, samples by number. A run is refused with what differs and the ways out, or
gone on with; a row finished is never asked again, except for what was asked for by name
(sampling.n_samples raised, continue_truncated, retry_failed). Knows no engine.
"""

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rollout.config.schema import MAX_INT
from rollout.config.settings import Settings
from rollout.errors import UserError
from rollout.rows.owed import KEPT_IF_CHOSEN, Wanted
from rollout.runs.job import Job
from rollout.runs.published import is_published
from rollout.runs.refusals import (
    MANY_ROWS,
    refuse_changed_rows,
    refuse_failed_rows,
    refuse_fewer_rows,
    refuse_other_settings,
    start_over,
)
from rollout.runs.standing import Standing
from rollout.runs.summary_record import summary_record
from rollout.store.counts import Totals
from rollout.store.run_dir import made_with
from rollout.store.store import State, Store
from rollout.system.console import Console

if TYPE_CHECKING:
    pass


def begin(job: Job) -> Standing:
    """The standing of a run that has nothing yet."""
    import numpy as np

    num_rows = job.prompts.num_rows
    kept = [c.name for c in job.columns if c.name in KEPT_IF_CHOSEN]
    num_samples = num_rows * job.settings.sampling.n_samples
    return Standing(State(num_rows), np.ones(num_rows, bool), num_samples, kept=kept)


def go_on(job: Job, store: Store, record: dict[str, Any], console: Console) -> Standing:
    """What this launch owes the run that `record` (its run.json) began.

    Raises UserError where it can't go on with it.
    """
    settings = job.settings
    refuse_other_settings(job, record)
    kept = record.get("kept", [])
    for column in job.columns:
        if column.name in KEPT_IF_CHOSEN and column.name not in kept:
            raise UserError(
                f"output.columns={column.name}: the first launch of this run did not ask for it, "
                f"so it was not kept; leave it out, or {start_over()}"
            )
    if not store.shards.found() and (standing := _without_shards(job, kept)):
        return standing
    state = store.state()
    refuse_fewer_rows(job, state, record)
    num_found = int(state.present.sum())
    slow = console.waiting(f"comparing {num_found:,} finished rows with the input")
    with slow if num_found >= MANY_ROWS else contextlib.nullcontext():
        refuse_changed_rows(job, state)
    standing = standing_of(state, settings, kept)
    refuse_failed_rows(job, standing)
    summary = summary_record(job.run_dir)
    if summary and standing.num_owed == 0 and is_published(job):
        standing.finished = Totals.known(summary)
    return standing


def standing_of(state: State, settings: Settings, kept: list[str]) -> Standing:
    """Which rows are owed what."""
    n, max_tokens = settings.sampling.n_samples, settings.sampling.token_limit or MAX_INT
    answered = state.present & ~state.failed
    if (too_many := int(state.num_samples.max(initial=0))) > n:
        raise UserError(
            f"sampling.n_samples={n} is less than the {too_many} samples that rows of this run "
            f"have already; type sampling.n_samples={too_many} or more, or another run_dir="
        )
    lacking = answered & (state.num_samples < n)
    cut = answered & (state.shortest_cut >= 0) & (state.shortest_cut < max_tokens)
    num_cut = int(cut.sum())
    cut &= settings.continue_truncated
    failed = state.present & state.failed & settings.retry_failed
    num_failed = int(failed.sum())
    failed &= state.num_attempts < settings.data.max_attempts
    owed = ~state.present | lacking | cut | failed
    return Standing(
        state,
        owed,
        int((n - state.num_samples[owed]).sum() + cut.sum()),
        num_topped_up=int(lacking.sum()),
        num_continued=int(cut.sum()),
        num_retried=int(failed.sum()),
        num_given_up=num_failed - int(failed.sum()),
        num_left_cut=num_cut - int(cut.sum()),
        kept=kept,
    )


def wanted_of(settings: Settings, kept: list[str], sampler: Any, run: int) -> Wanted:
    sampling = settings.sampling
    return Wanted(
        sampling.n_samples,
        sampling.seed,
        sampling.token_limit,
        settings.continue_truncated,
        frozenset(kept),
        sampler,
        run,
    )


def _without_shards(job: Job, kept: list[str]) -> Standing | None:
    """A finished run whose shards were deleted: it can be told, and nothing can be added.

    None where the directory is there and empty: its only shard was damaged and is made again, but
    never in place of what was published of it.
    """
    summary = summary_record(job.run_dir)
    was = made_with(job.run_dir).get("fingerprint", {})
    is_same = was.get("sampling.n_samples") == job.settings.sampling.n_samples
    is_same &= was.get("sampling.max_tokens") == job.settings.sampling.max_tokens
    if summary and is_same and is_published(job):
        if not (job.settings.retry_failed and summary["num_failed"]):
            standing = begin(job)
            return replace(standing, owed=~standing.owed, finished=Totals.known(summary))
    stands = summary and job.writer.ledger.knows(job.output_path)  # others would take its place
    if (job.run_dir / "shards").is_dir() and not stands:
        return None
    raise UserError(
        f"run_dir={job.run_dir} is finished and its shards/ are gone, so nothing can be added or "
        f"published anew; {start_over()}; what is published can be scored by python -m "
        f"rollout.postprocess input={job.run_dir} scorer=... output.path=..."
    )


# What was published.


# Refusals.
