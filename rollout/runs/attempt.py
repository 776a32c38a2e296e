"""One launch of one run: its directory and logs, its rows on their way in and out, how it ends.

Several attempts may share an engine (generate.py): each keeps its own error, and its own record.
Knows no engine but for the facts it is told.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from rollout.config.fingerprint import to_plain
from rollout.config.sections.data import OnError
from rollout.config.sections.output import Layout
from rollout.engines import reasoning_splitter
from rollout.engines.base import Engine, EngineStats, Rung
from rollout.errors import Interrupted, RolloutError, UserError
from rollout.inputs.asked import with_asked
from rollout.rows.owed import OwedRow, Wanted
from rollout.rows.reasoning import Splitter
from rollout.rows.result import Result
from rollout.runs.command import resume_command
from rollout.runs.fitting import ENDED, remember
from rollout.runs.job import Job
from rollout.runs.progress import Clock, Report, open_tracker
from rollout.runs.published import made_of, publication
from rollout.runs.record import environment, fingerprint_record
from rollout.runs.resume import wanted_of
from rollout.runs.standing import Standing
from rollout.runs.stop_early import verdict
from rollout.runs.summary import Summary, num_preview_rows
from rollout.runs.workflow import score
from rollout.store.counts import Totals
from rollout.store.publish import write_output
from rollout.store.run_dir import next_attempt
from rollout.store.store import Store
from rollout.system.console import Console
from rollout.system.disk import write_json, written_whole
from rollout.system.formats.plain_yaml import to_yaml
from rollout.system.signals import StopRequest


class Attempt:
    """An opened run that is gone on with. Whoever makes one calls `close`."""

    def __init__(
        self,
        job: Job,
        store: Store,
        standing: Standing,
        console: Console,
        patience_s: float | None = None,
    ):
        """Make the attempt's directory and logs, and tell the tracker; raises UserError.

        `patience_s` is how long to wait for the tracker at most.
        """
        self.job, self.standing, self.console = job, standing, console
        self.error: RolloutError | None = None
        self._store = store
        self._wanted: Wanted | None = None
        self._splitter: Splitter | None = None
        self.directory = _directory(job, store, console)
        console.record(f"owed: {standing}")
        clock = Clock()
        self._tracker = open_tracker(job, console, patience_s)
        self.report = Report(job, console, self._tracker, clock, standing, self.directory)

    @property
    def is_proven(self) -> bool:
        """Whether rows of this run were answered before."""
        state = self.standing.state
        return bool((state.present & ~state.failed).any())

    def begin(self, engine: Engine, run: int, load_s: float, steps: Sequence[Rung] = ()) -> None:
        """Take the engine that is up; `run` is this run's number among those that share it.

        `steps` are what it gave up for memory before it came up.
        """
        with self.failing_alone():
            settings, kept = self.job.settings, self.standing.kept
            wants_logprobs = "logprobs" in kept or "cumulative_logprob" in kept
            adapter = self.job.adapter.path if self.job.adapter else None
            sampler = engine.sampler(
                settings.sampling, self.job.asked_model, wants_logprobs, adapter
            )
            self._wanted = wanted_of(self.job.settings, self.standing.kept, sampler, run)
            remember(self.job, list(steps))
            self.report.engine_is_up(engine.facts, sampler, load_s, [str(step) for step in steps])

    def rows(self) -> Iterator[OwedRow]:
        """The rows that are owed something, in input order; none any more once it failed."""
        with self.failing_alone():
            if self.error:
                return
            state = self.standing.state
            owed = self.job.prompts.where(self.standing.owed)
            for row in self._store.owed_rows(owed, state, self._wanted):
                if self.error:
                    return
                yield row

    def watch(self, stats: Callable[[], EngineStats]) -> None:
        """Tell how far it is, until `unwatch`; `stats` are the engine's counters as they stand."""
        with self.failing_alone():
            self.report.begin(stats)

    def unwatch(self) -> None:
        with self.failing_alone():
            self.report.end()

    @property
    def is_complete(self) -> bool:
        """Whether every row that was owed is finished."""
        return self.report.tally.num_rows >= self.standing.num_owed

    def take(self, finished: list[Result], source_dry: bool) -> None:
        """Put finished rows on their way to the disk, and tell about them."""
        if self.error:
            return
        with self.failing_alone():
            self._store.append(finished)
            self.report.turn(finished, source_dry)
            if not finished:  # most turns
                return
            if self.job.settings.data.on_error is OnError.fail:
                fail_on_error(finished)
            if not self.is_complete:  # else nothing is saved by it
                self._stop_if_bad(finished)

    def _stop_if_bad(self, finished: list[Result]) -> None:
        """End the attempt where what it finished so far is as bad as stop_if says.

        Judged on this attempt's own rows, so a launch that goes on finishes as many before it
        ends again. Short responses finish first: what is cut off, unclosed or looping, and so
        long, is rarer among them than in the whole, so a stop for these is no false alarm.
        """
        settings, tally = self.job.settings, self.report.tally
        num_asked = tally.num_samples + tally.num_failed * settings.sampling.n_samples
        if num_asked >= settings.stop_if.after_samples:
            error = next((result.error for result in finished if result.error), None)
            if fault := verdict(tally.signs, settings.stop_if, settings.sampling, error):
                raise RolloutError(fault)  # how far it is and how to go on: run.py tells

    def flush(self) -> None:
        with self.failing_alone():
            self._store.flush()

    def publish(self, stop: StopRequest) -> Summary:
        """Write the output, its scores and the summary, and say so. Raises RolloutError."""
        job = self.job
        with self.own_errors():
            totals = self._write_output()
            scored = score(job.settings, job.places, job.writer, self.console, stop)
            count = num_preview_rows(self.job.settings)
            summary = self.report.finish(totals, self._store.first_results(count), scored)
            self._tracker.finish(summary.figures, summary.exit_code)
        if scored and scored.fault:  # the responses and their scores are there, no export
            raise scored.fault
        return summary

    def _write_output(self) -> Totals:
        """Write the output under a temporary name, note which file it is, and rename it."""
        job, output = self.job, self.job.settings.output
        what = publication(job)
        self.find_splitter()
        try:
            with (
                self.report.publishing() as counted,
                job.writer.written(job.places.output) as temporary,
            ):
                totals = write_output(
                    temporary,
                    job.prompts.batches(),
                    job.prompts.schema,
                    counted(self._store.parts()),
                    job.columns,
                    what["prefix"],
                    what["skips_failed"],
                    output.layout is Layout.per_sample,
                    output.partition_rows,
                    job.settings.model.reasoning_tags,
                    self._splitter,
                    partial(with_asked, wording=job.prompts.wording),
                )
                what |= made_of(job)
                write_json(job.run_dir / "published.json", what)
        except FileExistsError:
            raise RolloutError(
                f"output.path={job.output_path} was written by someone else during the run and is "
                "left as it is; all rows are on disk, so with another output.path= this publishes "
                f"them at once: {resume_command(job.argv, job)}"
            ) from None
        return totals

    def find_splitter(self) -> None:
        """Get vLLM's reasoning parser where one is wanted; else the tags split. Raises UserError.

        Before anything is loaded it ends a run with a mistyped name in seconds.
        """
        job = self.job
        name, model = job.settings.output.reasoning_parser, job.settings.model
        if self._splitter or name is None or not any(c.is_derived for c in job.columns):
            return
        with self.console.libraries_write_to(self.directory / "engine.log"):
            self._splitter = reasoning_splitter(name, job.model.path, model)

    @contextmanager
    def own_errors(self) -> Iterator[None]:
        """What the disk refuses ends the run with the command that goes on."""
        try:
            yield
        except OSError as error:
            raise RolloutError(could_not_write(self.job, error)) from error

    @contextmanager
    def failing_alone(self) -> Iterator[None]:
        """An error in the block is this run's own: it is kept, and others go on."""
        try:
            with self.own_errors():
                yield
        except RolloutError as error:
            self.error = self.error or error

    def fail(self, error: BaseException) -> None:
        """Tell log and tracker why the attempt ends early."""
        code = error.exit_code if isinstance(error, RolloutError | Interrupted) else 1
        self.console.record(f"{type(error).__name__}: {error}")
        self._tracker.finish({"error": f"{type(error).__name__}: {error}"}, code)

    def close(self) -> None:
        """Wait until the tracker has all, a bounded time, and close the log."""
        self._tracker.wait()
        self.console.close()
        with suppress(OSError):  # a full disk
            write_json(self.directory / ENDED, {"at_s": time.time()})


def fail_on_error(finished: list[Result]) -> None:
    for result in finished:
        if result.error:
            raise RolloutError(
                f"row {result.row} failed: {result.error}; type data.on_error=record to keep "
                "such rows with their error, or skip to leave them out"
            )


def _directory(job: Job, store: Store, console: Console) -> Path:
    """Make attempts/N; a failed start leaves a readable record."""
    try:
        directory = next_attempt(job.run_dir)
        write_json(directory / "environment.json", environment(job))
        with written_whole(directory / "config.yaml") as temporary:  # cut off, it would be valid
            temporary.write_text(to_yaml(to_plain(job.settings)), "utf-8")
        console.log_to(directory / "run.log")
    except OSError as error:
        raise UserError(
            f"run_dir={job.run_dir}: can't write there ({error.strerror}); make room, or type "
            "another run_dir="
        ) from error
    # Rows written from here on are made with these settings; until then nothing is bound.
    record: dict[str, Any] = fingerprint_record(job)
    store.before_first_write = lambda: write_json(directory / "fingerprint.json", record)
    return directory


def could_not_write(job: Job, error: OSError) -> str:
    return (
        f"could not write: {error}; what was flushed before is safe in {job.run_dir}; make room "
        f"or mend the path; to go on: {resume_command(job.argv, job)}"
    )
