"""The main path: one configuration to one run directory and one published file."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from rollout import config
from rollout.config import OnError, Settings
from rollout.console import Console
from rollout.disk import read_json, write_json, written_whole
from rollout.engines import load_engine
from rollout.engines.base import Engine, EnginePlan
from rollout.errors import EngineError, Interrupted, RolloutError, UserError
from rollout.guard import guard
from rollout.input_files import seal
from rollout.job import Job, describe, environment, fingerprint_record, is_published, prepare
from rollout.metrics import Totals
from rollout.opening import open_run, peek
from rollout.owed import OwedRow
from rollout.publish import write_output
from rollout.records import Prompt, Result
from rollout.report import Clock, Report, open_tracker
from rollout.resume import Standing, publication, resume_command, wanted_of
from rollout.signals import StopRequest, stop_on_signals
from rollout.store import Store, next_attempt
from rollout.summary import Summary, finished_before, num_preview_rows, parting
from rollout.survival import Engines, drive_on

EXAMPLES = "pkg://rollout/examples/"


def run(settings: Settings, console: Console, argv: list[str] | None = None) -> Summary:
    """Answer every prompt of `data.input` that is owed an answer, and publish `output.path`.

    Raises UserError before anything is started where the settings, the input, the machine or
    what is in the directory can't serve; RolloutError or Interrupted later, with every finished
    row on disk.
    """
    with stop_on_signals(ends_process=argv is not None) as stop:
        stop.say = console.say_now
        job = prepare(settings, console, argv)
        if (settings.data.input or "").startswith(EXAMPLES):
            console.note(
                "answering the example prompts (experiment=demo); for your own, type "
                "data.input=FILE.parquet"
            )
        if settings.dry_run:
            console.result("\n".join([describe(job), *peek(job, console)]))
            return Summary(job.run_dir, job.output_path, num_rows=job.prompts.num_rows)
        with open_run(job, console) as (store, standing):
            if standing.finished:
                return finished_before(job, standing.finished, console)
            stop.farewell = lambda: f"interrupted; {parting(job, standing)}"
            return launch(job, store, standing, console, stop)


def launch(
    job: Job, store: Store, standing: Standing, console: Console, stop: StopRequest
) -> Summary:
    """One attempt at an opened run: load, generate, publish, report."""
    with attempt(job, store, console) as attempt_dir:
        console.record(f"owed: {standing}")
        clock = Clock()
        tracker = open_tracker(job, console)
        report = Report(job, console, tracker, clock, standing, attempt_dir)
        stop.tell = report.tell
        stop.farewell = lambda: f"interrupted; {report.parting()}"
        try:
            if standing.num_owed:
                with loaded_engines(job, standing, report, console, stop, attempt_dir) as engines:
                    generate(job, engines, store, standing, report, stop)
            totals = publish(job, store, report)
            summary = report.finish(totals, store.first_results(num_preview_rows(job.settings)))
            tracker.finish(summary.figures, summary.exit_code)
        except BaseException as error:
            code = error.exit_code if isinstance(error, RolloutError) else 1
            tracker.finish({"error": f"{type(error).__name__}: {error}"}, code)
            raise
    return summary


def generate(
    job: Job,
    engines: Engines,
    store: Store,
    standing: Standing,
    report: Report,
    stop: StopRequest,
) -> None:
    """Drive the engine, and others after it if it dies, until every owed row is on disk."""
    wanted, max_restarts = wanted_of(job.settings, standing.kept), job.settings.engine.max_restarts
    is_proven = bool((standing.state.present & ~standing.state.failed).any())
    owed: Iterator[Prompt] = job.prompts.where(standing.owed)
    rows: Iterator[OwedRow] = store.owed_rows(owed, standing.state, wanted)

    def on_death(death: EngineError, what: str) -> None:
        stop.raise_if_requested()  # Ctrl-C reaches the engine's own processes too
        store.flush()
        report.engine_died(death, what)

    with stop.deferred(), report.progress(engines):
        try:
            for tick in drive_on(engines, rows, max_restarts, on_death, is_proven):
                store.append(tick.finished)
                report.turn(tick.finished, tick.source_dry)
                if job.settings.data.on_error is OnError.fail:
                    fail_on_error(tick.finished)
                stop.raise_if_requested()
        except Interrupted:
            raise
        except RolloutError as error:
            stop.raise_if_requested()
            error.args = (f"{error}; {report.parting()}",)
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


def publish(job: Job, store: Store, report: Report) -> Totals:
    """Write the output under a temporary name, note which file it is, and rename it."""
    path = job.output_path
    what = publication(job)
    may_replace = job.settings.output.overwrite or (
        path.exists() and is_published(job.run_dir, path)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            report.publishing() as counted,
            written_whole(path, tag_of(job.run_dir), may_replace) as temporary,
        ):
            totals = write_output(
                temporary,
                job.prompts.batches(),
                job.prompts.schema,
                counted(store.parts()),
                job.columns,
                what["prefix"],
                what["skips_failed"],
            )
            seals = (read_json(job.run_dir / "published.json") or {}).get("seals", {})
            # Until the new file has its name, the one it replaces is ours as well.
            new = [*seals.get(what["path"], [])[-1:], seal(temporary).hex()]
            what["seals"] = seals | {what["path"]: new}
            what["input_digest"] = job.prompts.digest()
            write_json(job.run_dir / "published.json", what)
    except FileExistsError:
        raise RolloutError(
            f"output.path={path} was written by someone else during the run and is left as it is; "
            f"all rows are on disk, so with another output.path= this publishes them at once: "
            f"{resume_command(job.argv, job)}"
        ) from None
    return totals


def tag_of(run_dir: Path) -> str:
    """For the name of the half-written output, which the run's next launch then overwrites."""
    return hashlib.blake2b(os.fsencode(run_dir), digest_size=4).hexdigest()


# One attempt.


@contextlib.contextmanager
def attempt(job: Job, store: Store, console: Console) -> Iterator[Path]:
    """This attempt's directory and logs; a failed start leaves a readable record."""
    settings, run_dir = job.settings, job.run_dir
    try:
        attempt_dir = next_attempt(run_dir)
        write_json(attempt_dir / "environment.json", environment(job))
        from omegaconf import OmegaConf

        plain = OmegaConf.to_yaml(config.to_plain(settings))
        (attempt_dir / "config.yaml").write_text(plain, "utf-8", "backslashreplace")
        console.log_to(attempt_dir / "run.log")
    except OSError as error:
        raise UserError(
            f"run_dir={run_dir}: can't write there ({error.strerror}); make room, or type another "
            "run_dir="
        ) from error
    # Rows written from here on are made with these settings; until then nothing is bound.
    store.before_first_write = lambda: write_json(
        attempt_dir / "fingerprint.json", fingerprint_record(job)
    )
    try:
        try:
            yield attempt_dir
        except OSError as error:
            raise RolloutError(could_not_write(job, error)) from error
    except BaseException as error:
        console.record(f"{type(error).__name__}: {error}")
        raise
    finally:
        console.close()


def could_not_write(job: Job, error: OSError) -> str:
    return (
        f"could not write: {error}; what was flushed before is safe in {job.run_dir}; make room "
        f"or mend the path; to go on: {resume_command(job.argv, job)}"
    )


@contextlib.contextmanager
def loaded_engines(
    job: Job,
    standing: Standing,
    report: Report,
    console: Console,
    stop: StopRequest,
    attempt_dir: Path,
) -> Iterator[Engines]:
    """Load the engine; shut it, or the one in its place, down on every way out."""
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
        wants_logprobs="cumulative_logprob" in standing.kept,
    )
    name = settings.model.model_path if model else "the scripted engine"

    def load() -> Engine:
        clock = Clock()
        with stop.deferred(False), console.waiting(f"loading {name} on {job.device.name}"):
            engine = load_engine(plan)
        report.engine_is_up(engine, clock.now())
        return engine

    engines = Engines(load)
    with guard(console.note), console.libraries_write_to(log):
        try:
            engines.start()
            yield engines
        finally:
            engines.shutdown()
