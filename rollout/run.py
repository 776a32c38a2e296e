"""The main path: from one configuration to one run directory and one published file."""

from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from rollout.config.effects import refuse_without_effect
from rollout.config.overrides import how_to_type
from rollout.config.settings import Settings
from rollout.config.validate import validate
from rollout.engines.fleet import Fleet
from rollout.engines.replicas import Replicas
from rollout.errors import RolloutError
from rollout.report.run.at_end import report_at_end
from rollout.runs.attempt import Attempt
from rollout.runs.fitting import refuse_impossible, refuse_no_room, settle
from rollout.runs.generate import answer
from rollout.runs.job import Job, describe, plan_of, prepare
from rollout.runs.opening import open_run, standing_now
from rollout.runs.standing import Standing
from rollout.runs.summary import Summary, finished_before, how_to_resume
from rollout.runs.turns import take_turns
from rollout.runs.workflow import with_prompts
from rollout.store.store import Store
from rollout.system.console import Console
from rollout.system.signals import StopRequest, stop_on_signals

EXAMPLES = "pkg://rollout/inputs/examples/"


def run(
    settings: Settings,
    console: Console,
    argv: list[str] | None = None,
    swept: Collection[str] = (),
) -> Summary:
    """Answer every prompt of `data.input` that is still owed samples, and publish `output.path`.

    `swept` are the keys whose value differs at other points of a sweep. Raises UserError before
    anything starts if the settings, the input, the machine or the run in the directory don't
    allow it; RolloutError or Interrupted later, with every finished row on disk.
    """
    with stop_on_signals(ends_process=argv is not None) as stop:
        stop.print_line = console.print_now
        validate(settings)  # first: a value out of range is the more basic error
        refuse_without_effect(settings, swept)
        directory = Path(settings.run_dir).expanduser().absolute()
        settings = with_prompts(settings, console, directory)
        job = prepare(settings, console, argv)
        refuse_impossible(job)
        refuse_no_room(job)
        if (settings.data.input or "").startswith(EXAMPLES):
            console.note(
                "answering the example prompts (experiment=demo); for your own, type "
                "data.input=FILE.parquet"
            )
        if settings.dry_run:
            job = settle(job, console)
            standing = standing_now(job, console)
            resumes = f"\n  resume  {standing}" if standing.num_present else ""
            console.result(describe(job) + resumes)
            return Summary(job.run_dir, job.output_path, num_rows=job.prompts.num_rows)
        with open_run(job, console) as (store, standing):
            if standing.finished:
                return finished_before(job, standing.finished, console)
            if standing.num_owed:
                job = settle(job, console, owns_run=True)
            stop.last_line = lambda: f"interrupted; {how_to_resume(job, standing)}"
            return launch(job, store, standing, console, stop)


def launch(
    job: Job, store: Store, standing: Standing, console: Console, stop: StopRequest
) -> Summary:
    """Make one attempt at an opened run: load, generate, publish, make its page."""
    attempt = Attempt(job, store, standing, console)
    stop.report_progress = attempt.report.note_progress
    stop.last_line = lambda: f"interrupted; {attempt.report.how_to_resume()}"
    try:
        if standing.num_owed:
            console.note(how_to_type("run_dir", str(job.run_dir)))  # to resume it, however it ends
            with closing(Fleet(console, stop)) as fleet, closing(Replicas(fleet)) as replicas:
                plan = plan_of(job, attempt.directory)
                answers = answer(replicas, plan, [attempt], stop, ladder=job.ladder)
                take_turns([answers], stop, fleet.wait)
        if error := attempt.error:
            more = f"; {attempt.report.how_to_resume()}" if attempt.report.has_begun else ""
            raise error.with_message(f"{error}{more}")
        summary = attempt.publish(stop)
        report_at_end(attempt)
    except BaseException as error:
        attempt.fail(error)
        if isinstance(error, RolloutError):
            report_at_end(attempt)
        raise
    finally:
        attempt.close()
    return summary
