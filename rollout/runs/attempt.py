"""One launch of a run: its directory and logs, the rows it owes and writes, and how it ends.

Attempts may share an engine (generate.py); each keeps its own error and its own record.
Must not know about the engine, beyond the facts it reports.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from rollout.config.fingerprint import to_plain
from rollout.config.sections.data import OnError
from rollout.config.sections.output import Layout
from rollout.engines import reasoning_splitter
from rollout.engines.base import Engine, EngineStats, Rung
from rollout.errors import EngineError, Interrupted, RolloutError, UserError
from rollout.inputs.prompt_record import with_prompt_record
from rollout.rows.owed import OwedRow, Wanted
from rollout.rows.reasoning import Splitter
from rollout.rows.result import Result
from rollout.runs.command import resume_command
from rollout.runs.fitting import record_steps
from rollout.runs.job import Job
from rollout.runs.progress import Clock, Report
from rollout.runs.publication import publication, source_contents
from rollout.runs.record import (
    ending,
    environment,
    fingerprint_record,
    renew_run_record,
)
from rollout.runs.resume import wanted_of
from rollout.runs.standing import Standing
from rollout.runs.stop_early import reason_to_stop
from rollout.runs.summary import Summary, num_preview_rows
from rollout.runs.tracked import track_output
from rollout.runs.tracking import Tracker, open_tracker
from rollout.runs.tracking.names import tags_of
from rollout.runs.workflow import score
from rollout.store.counts import RowCounter
from rollout.store.publish import write_output
from rollout.store.run_dir import next_attempt
from rollout.store.run_records import ENDED
from rollout.store.store import Store
from rollout.system.console import Console
from rollout.system.disk import atomic_write, write_json
from rollout.system.formats.plain_yaml import to_yaml
from rollout.system.signals import StopRequest


class Attempt:
    """A launch that works on an opened run. The caller closes it."""

    def __init__(
        self,
        job: Job,
        store: Store,
        standing: Standing,
        console: Console,
        patience_s: float | None = None,
    ):
        """Make the attempt's directory and logs, and open the tracker. Raises UserError.

        `patience_s` is the longest wait for the tracker.
        """
        self.job, self.standing, self.console = job, standing, console
        self.error: RolloutError | None = None
        self._store = store
        self._wanted: Wanted | None = None
        self._splitter: Splitter | None = None
        self._outcome: tuple[int | None, BaseException | None] = None, None
        self.directory = _directory(job, store, standing, console)
        console.record(f"owed: {standing}")
        clock = Clock()
        config, tracking = to_plain(job.settings), job.settings.tracking
        self._tracker = open_tracker(
            tracking, job.run_dir, config, console.note, patience_s, tags_of(job.settings)
        )
        self._ending: tuple[dict[str, Any], int] | None = None  # for the tracker; the first counts
        if self._tracker.line:
            console.note(self._tracker.line)
        self.report = Report(job, console, self._tracker, clock, standing, self.directory)

    @property
    def is_proven(self) -> bool:
        """Whether any row of this run was answered before this attempt."""
        state = self.standing.state
        return bool((state.present & ~state.failed).any())

    def begin(
        self,
        engine: Engine,
        run: int,
        load_s: float,
        steps: Sequence[Rung],
        waited_s: float,
        replica: str,
    ) -> None:
        """Use a loaded engine; `run` is this run's number among those that share it.

        `steps` are the settings that were lowered to save memory before it loaded;
        no engine was up for `waited_s` before. `replica` names the engine; empty if it is
        the only one. Raises EngineError if the engine died since.
        """
        job, kept = self.job, self.standing.kept
        wants_logprobs = "logprobs" in kept or "cumulative_logprob" in kept
        adapter = job.adapter.path if job.adapter else None
        sampling = job.settings.sampling
        with self.failing_alone(but=EngineError):
            sampler = engine.sampler(sampling, job.asked_model, wants_logprobs, adapter)
            self._wanted = wanted_of(job.settings, kept, sampler, run)
            record_steps(job, list(steps))
            texts = [str(step) for step in steps]
            self.report.engine_is_up(engine.facts, sampler, load_s, texts, waited_s, replica)

    def rows(self) -> Iterator[OwedRow]:
        """Yield the rows that are owed something, in input order; stop once the attempt failed."""
        with self.failing_alone():
            if self.error:
                return
            state = self.standing.state
            owed = self.job.prompts.where(self.standing.owed)
            for row in self._store.owed_rows(owed, state, self._wanted):
                if self.error:
                    return
                self.report.row_begins(row.prompt)
                yield row

    def watch(self, stats: Callable[..., EngineStats]) -> None:
        """Report progress until `unwatch`; `stats` returns the engine's current counters."""
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
        """Store finished rows and report them; `source_dry`: no more rows will be submitted."""
        if self.error:
            return
        with self.failing_alone():
            self._store.append(finished)
            self.report.turn(finished, source_dry)
            if not finished:  # most turns
                return
            if self.job.settings.data.on_error is OnError.fail:
                fail_on_error(finished)
            if not self.is_complete:  # stopping a complete run saves nothing
                self._stop_if_bad(finished)

    def _stop_if_bad(self, finished: list[Result]) -> None:
        """Raise RolloutError if a sign of a bad run is above its limit in `stop_if`.

        Only this attempt's rows count, so a resumed run finishes as many before it stops again.
        Short responses finish first. Truncated, unclosed and repetitive ones are long, so their
        share is lower so far than in the whole run: a stop for them is not a false alarm.
        """
        settings, tally = self.job.settings, self.report.tally
        num_asked = tally.num_samples + tally.signs.num_failed * settings.sampling.n_samples
        if num_asked >= settings.stop_if.after_samples:
            error = next((result.error for result in finished if result.error), None)
            signs = tally.signs_so_far
            if reason := reason_to_stop(signs, settings.stop_if, settings.sampling, error):
                raise RolloutError(reason)  # run.py adds the progress and the command to resume

    def flush(self) -> None:
        with self.failing_alone():
            self._store.flush()

    def publish(self, stop: StopRequest) -> Summary:
        """Write and report the output, its scores and the summary. Raises RolloutError.

        The tracker gets the samples, and its final figures with `finish_tracking`.
        """
        job = self.job
        with self.explaining_disk_errors():
            renew_run_record(job, self._store.rows_per_shard, self.standing.kept)
            counter = self._write_output()
            with self.report.scoring():
                scored = score(job.settings, job.places, job.writer, self.console, stop)
            count = num_preview_rows(job.settings)
            first = self._store.first_results(count)
            summary = self.report.finish(counter.totals(), first, scored)
            track_output(self._tracker, job, counter.num_of_length, first)
            self._ending = self._ending or (summary.figures, summary.exit_code)
        self._outcome = summary.exit_code, None
        if scored and scored.fault:  # responses and scores are written; only the export failed
            raise scored.fault
        return summary

    def _write_output(self) -> RowCounter:
        """Write the output under a temporary name, record what it was made from, and rename it."""
        job, output = self.job, self.job.settings.output
        record = publication(job)
        self.find_splitter()
        try:
            with (
                self.report.publishing() as counted,
                job.writer.written(job.places.output) as temporary,
            ):
                counter = write_output(
                    temporary,
                    job.prompts.batches(),
                    job.prompts.schema,
                    counted(self._store.parts()),
                    job.columns,
                    record["prefix"],
                    record["skips_failed"],
                    output.layout is Layout.per_sample,
                    output.partition_rows,
                    job.settings.model.reasoning_tags,
                    self._splitter,
                    partial(with_prompt_record, builder=job.prompts.builder),
                )
                write_json(job.run_dir / "published.json", record | source_contents(job))
        except FileExistsError:
            raise RolloutError(
                f"output.path={job.output_path} was written by another process during the run and "
                "is left as it is; all rows are on disk: type another output.path= to publish them "
                f"without an engine: {resume_command(job.argv, job)}"
            ) from None
        return counter

    def find_splitter(self) -> None:
        """Load vLLM's reasoning parser if output.reasoning_parser is set. Raises UserError.

        Without one, the model's reasoning tags split the responses. Called before an engine is
        loaded, so that a mistyped name is refused in seconds.
        """
        job = self.job
        name, model = job.settings.output.reasoning_parser, job.settings.model
        if self._splitter or name is None or not any(c.is_derived for c in job.columns):
            return
        with self.console.libraries_write_to(self.directory / "engine.log"):
            self._splitter = reasoning_splitter(name, job.model.path, model)

    @contextmanager
    def explaining_disk_errors(self) -> Iterator[None]:
        """Raise an OSError as a RolloutError with the command that resumes the run."""
        try:
            yield
        except OSError as error:
            raise RolloutError(
                f"could not write: {error}; what was flushed before is safe in {self.job.run_dir}; "
                "make room or fix the path; to resume: "
                f"{resume_command(self.job.argv, self.job)}"
            ) from error

    @contextmanager
    def failing_alone(self, but: tuple[type, ...] | type = ()) -> Iterator[None]:
        """Keep an error of the block in `error`, so that other runs on the engine continue.

        Errors of type `but` are raised.
        """
        try:
            with self.explaining_disk_errors():
                yield
        except but:
            raise
        except RolloutError as error:
            self.error = self.error or error

    def fail(self, error: BaseException) -> None:
        """Record in the log and ended.json why the attempt ends early, and note it for the tracker.

        The tracker keeps the figures of an attempt that was published before.
        """
        code = error.exit_code if isinstance(error, RolloutError | Interrupted) else 1
        text = f"{type(error).__name__}: {error}"
        self.console.record(text)
        self._outcome = code, error
        self._ending = self._ending or ({"error": text}, code)
        self._record_ending()

    @property
    def failed_early(self) -> bool:
        """Whether it failed before an engine had any row."""
        return self._outcome[1] is not None and not self.report.has_begun

    @property
    def is_tracked(self) -> bool:
        """Whether a tracker is open that sends anything."""
        return type(self._tracker) is not Tracker

    def track_images(self, images: Mapping[str, Path]) -> None:
        """Send image files to the tracker, under these names, before it is finished.

        They must stay until `close`.
        """
        self._tracker.images(images)

    def finish_tracking(self) -> None:
        """Send the final figures, or the error, without waiting; nothing is sent after that."""
        if self._ending:
            self._tracker.finish(*self._ending)

    def close(self) -> None:
        """Wait a bounded time until the tracker has sent everything, and close the log."""
        self.finish_tracking()
        self._tracker.wait()
        self.console.close()
        self._record_ending()

    def _record_ending(self) -> None:
        with suppress(OSError):  # a full disk
            write_json(self.directory / ENDED, ending(*self._outcome))


def fail_on_error(finished: list[Result]) -> None:
    """Raise RolloutError for the first failed row."""
    for result in finished:
        if result.error:
            raise RolloutError(
                f"row {result.row} failed: {result.error}; type data.on_error=record to keep "
                "such rows with their error, or skip to leave them out"
            )


def _directory(job: Job, store: Store, standing: Standing, console: Console) -> Path:
    """Make attempts/N with a record of the launch, before anything can fail. Raises UserError."""
    try:
        directory = next_attempt(job.run_dir)
        write_json(directory / "environment.json", environment(job))
        with atomic_write(directory / "config.yaml") as temporary:  # half of it is valid YAML
            temporary.write_text(to_yaml(to_plain(job.settings)), "utf-8")
        console.log_to(directory / "run.log")
    except OSError as error:
        raise UserError(
            f"run_dir={job.run_dir}: can't write there ({error.strerror}); make room, or type "
            "another run_dir="
        ) from error
    # An attempt that writes no row does not bind later launches to its settings.
    record: dict[str, Any] = fingerprint_record(job)

    def bind() -> None:
        # In this order: a kill in between leaves a run.json that no row contradicts yet.
        write_json(directory / "fingerprint.json", record)
        renew_run_record(job, store.rows_per_shard, standing.kept)

    store.before_first_write = bind
    return directory
