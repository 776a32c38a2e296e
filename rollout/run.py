"""The main path: one configuration to one run directory and one published file."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from rollout import config
from rollout.config import OnError, Resume, Settings
from rollout.console import Console
from rollout.driver import drive
from rollout.engines import load_engine
from rollout.engines.base import Engine, EnginePlan
from rollout.errors import Interrupted, RolloutError, UserError
from rollout.job import Job, describe, environment, prepare, record_of
from rollout.records import Request, Result, seed_of
from rollout.report import Clock, Report, Summary, open_tracker
from rollout.signals import StopRequest, stop_on_signals
from rollout.store import Store, next_attempt, shard_rows, write_json

EXAMPLES = "pkg://rollout/examples/"


def run(settings: Settings, console: Console, argv: list[str] | None = None) -> Summary:
    """Answer every prompt of `data.input` and publish `output.path`.

    Raises UserError before anything is started where the settings, the input or the machine
    can't serve; RolloutError or Interrupted later, with every finished row on disk.
    """
    with stop_on_signals() as stop:
        job = prepare(settings, console)
        if (settings.data.input or "").startswith(EXAMPLES):
            console.note(
                "answering the example prompts (experiment=demo); for your own, type "
                "data.input=FILE.parquet"
            )
        if settings.dry_run:
            console.result(describe(job))
            return Summary(job.run_dir, job.output_path, num_rows=job.prompts.num_rows)
        return launch(job, console, argv or [], stop)


def launch(job: Job, console: Console, argv: list[str], stop: StopRequest) -> Summary:
    """Run a checked job: load, generate, publish, report."""
    clock = Clock()
    with attempt(job, console, argv) as (store, attempt_dir):
        tracker = open_tracker(job, console)
        report = Report(job, console, tracker, clock, attempt_dir / "metrics.jsonl")
        try:
            with loaded_engine(job, console, clock, attempt_dir) as engine:
                report.engine_is_up(engine)
                generate(job, engine, store, report, stop)
            publish(job, store, report)
            summary = report.finish()
            tracker.finish(summary.figures, summary.exit_code)
        except BaseException as error:
            code = error.exit_code if isinstance(error, RolloutError) else 1
            tracker.finish({"error": f"{type(error).__name__}: {error}"}, code)
            raise
    return summary


def generate(job: Job, engine: Engine, store: Store, report: Report, stop: StopRequest) -> None:
    """Drive the engine until every row is finished and on disk."""
    n, run_seed = job.settings.sampling.n_samples, job.settings.sampling.seed

    def requests() -> Iterator[Request]:
        for prompt in job.prompts:
            yield Request(prompt, n, None if run_seed is None else seed_of(run_seed, prompt))

    with stop.deferred(), report.progress():
        try:
            for tick in drive(engine, requests()):
                store.append(tick.finished)
                report.turn(tick.finished, tick.source_dry)
                if job.settings.data.on_error is OnError.fail:
                    fail_on_error(tick.finished)
                stop.raise_if_requested()
        except RolloutError as error:
            if stop.signal_number is not None:
                # Ctrl-C reaches the engine's own processes too: their death is then no fault.
                message = f"interrupted; {report.standing()}"
                raise Interrupted(stop.signal_number, message) from error
            error.args = (f"{error}; {report.standing()}",)
            raise
        finally:
            store.flush()


def fail_on_error(finished: list[Result]) -> None:
    for result in finished:
        if result.error:
            raise RolloutError(
                f"row {result.row} failed: {result.error}; type data.on_error=record to keep "
                "such rows with their error, or skip to leave them out"
            )


def publish(job: Job, store: Store, report: Report) -> None:
    settings = job.settings

    def write(path: Path) -> None:
        store.publish(
            job.prompts.batches(),
            job.prompts.schema,
            path,
            settings.output.prefix,
            skip_failed=settings.data.on_error is OnError.skip,
            replace=settings.output.overwrite,
        )

    with report.publishing():
        try:
            write(job.output_path)
        except FileExistsError:
            spare = job.run_dir / "output.parquet"
            if spare != job.output_path:
                write(spare)
            raise RolloutError(
                f"output.path={job.output_path} was written by someone else during the run and is "
                f"left as it is; the result is in {spare if spare.exists() else job.run_dir}"
            ) from None


# One launch.


@contextlib.contextmanager
def attempt(job: Job, console: Console, argv: list[str]) -> Iterator[tuple[Store, Path]]:
    """Open the run directory and this attempt's logs; a failed start leaves a readable record."""
    settings, run_dir = job.settings, job.run_dir
    n, max_tokens = settings.sampling.n_samples, settings.sampling.max_tokens
    rows = shard_rows(n, max_tokens)
    record = record_of(job, argv, rows)
    try:
        start_over = settings.resume is Resume.fresh
        store = Store.create(run_dir, record, job.columns, job.prompts.num_rows, rows, start_over)
        if store.moved_to:
            console.note(f"resume=fresh: the old run now stands at {store.moved_to}")
        attempt_dir = next_attempt(run_dir)
        write_json(attempt_dir / "environment.json", environment(job))
        from omegaconf import OmegaConf

        plain = OmegaConf.to_yaml(config.to_plain(settings))
        (attempt_dir / "config.yaml").write_text(plain, "utf-8", "backslashreplace")
        console.log_to(attempt_dir / "run.log")
    except OSError as error:
        raise UserError(f"run_dir={run_dir}: can't write there ({error.strerror})") from error
    try:
        try:
            yield store, attempt_dir
        except OSError as error:
            raise RolloutError(
                f"could not write: {error}; what was flushed before is safe in {run_dir}"
            ) from error
    except BaseException as error:
        console.record(f"{type(error).__name__}: {error}")
        raise
    finally:
        console.close()
        store.close()


@contextlib.contextmanager
def loaded_engine(job: Job, console: Console, clock: Clock, attempt_dir: Path) -> Iterator[Engine]:
    """Load the engine; shut it down on every way out."""
    settings, model, log = job.settings, job.model, attempt_dir / "engine.log"
    plan = EnginePlan(
        model=settings.model,
        model_path=model.path if model else "",
        revision=model.revision if model else None,
        sampling=settings.sampling,
        engine=settings.engine,
        device=job.device,
        available_gib=job.machine.available_gib,
        log_file=log,
        wants_logprobs="cumulative_logprob" in settings.output.columns,
    )
    name = settings.model.model_path if model else "the scripted engine"
    with console.libraries_write_to(log):
        with console.waiting(f"loading {name} on {job.device.name}"):
            engine = load_engine(plan)
        clock.load_s = clock.now()
        try:
            yield engine
        finally:
            engine.shutdown()
