"""Decide whether a launch may resume the run in its directory, and which rows it owes.

Owns the comparison of the launch with that run: settings by fingerprint, rows by position and
digest, samples by number. A refusal states what differs and what to type. A finished row is
submitted again only if the settings ask for it: more sampling.n_samples, continue_truncated or
retry_failed. Must not know about engines.
"""

import contextlib
from dataclasses import replace
from typing import Any

from rollout.config.schema import MAX_INT
from rollout.config.settings import Settings
from rollout.errors import UserError
from rollout.rows.owed import KEPT_IF_CHOSEN, Wanted
from rollout.runs.job import Job
from rollout.runs.publication import is_published
from rollout.runs.refusals import (
    MANY_ROWS,
    START_OVER,
    refuse_changed_rows,
    refuse_failed_rows,
    refuse_fewer_rows,
    refuse_other_settings,
)
from rollout.runs.standing import Standing
from rollout.runs.summary_record import summary_record
from rollout.store.counts import Totals
from rollout.store.run_dir import settings_of_rows
from rollout.store.store import State, Store
from rollout.system.console import Console


def new_standing(job: Job) -> Standing:
    """Return the state of a run that has no rows yet: all are owed."""
    import numpy as np

    num_rows = job.prompts.num_rows
    kept = [c.name for c in job.columns if c.name in KEPT_IF_CHOSEN]
    num_samples = num_rows * job.settings.sampling.n_samples
    return Standing(State(num_rows), np.ones(num_rows, bool), num_samples, kept=kept)


def resumed_standing(job: Job, store: Store, record: dict[str, Any], console: Console) -> Standing:
    """Return the state of the run in the directory; `record` is its run.json.

    Raises UserError if this launch can't resume it.
    """
    settings = job.settings
    refuse_other_settings(job, record)
    kept = record.get("kept", [])
    for column in job.columns:
        if column.name in KEPT_IF_CHOSEN and column.name not in kept:
            raise UserError(
                f"output.columns={column.name}: the first launch of this run did not ask for it, "
                f"so it was not kept; leave it out, or {START_OVER}"
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
    """Return which rows are owed what. Raises UserError if rows have more than n_samples."""
    n, max_tokens = settings.sampling.n_samples, settings.sampling.token_limit or MAX_INT
    answered = state.present & ~state.failed
    if (too_many := int(state.num_samples.max(initial=0))) > n:
        raise UserError(
            f"sampling.n_samples={n} is less than the {too_many} samples that rows of this run "
            f"already have; type sampling.n_samples={too_many} or more, or another run_dir="
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
    """Return what each row of a run should have; `run` is its number on a shared engine."""
    s, continues = settings.sampling, settings.continue_truncated
    return Wanted(s.n_samples, s.seed, s.token_limit, continues, frozenset(kept), sampler, run)


def _without_shards(job: Job, kept: list[str]) -> Standing | None:
    """Return the state of a finished run without shards, which can be reported but not extended.

    None if its shards/ is there and empty and no output was published: its only shard was damaged
    and is generated again. Raises UserError if rows are owed or must be published again.
    """
    summary = summary_record(job.run_dir)
    was = settings_of_rows(job.run_dir).get("fingerprint", {})
    is_same = was.get("sampling.n_samples") == job.settings.sampling.n_samples
    is_same &= was.get("sampling.max_tokens") == job.settings.sampling.max_tokens
    if summary and is_same and is_published(job):
        if not (job.settings.retry_failed and summary["num_failed"]):
            standing = new_standing(job)
            return replace(standing, owed=~standing.owed, finished=Totals.known(summary))
    has_output = summary and job.writer.ledger.knows(job.output_path)  # must not be replaced
    if (job.run_dir / "shards").is_dir() and not has_output:
        return None
    raise UserError(
        f"run_dir={job.run_dir} is finished and its shards/ are gone, so nothing can be added or "
        f"published again; {START_OVER}; to score what is published, type python -m "
        f"rollout.postprocess input={job.run_dir} scorer=... output.path=..."
    )
