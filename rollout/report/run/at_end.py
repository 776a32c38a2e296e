"""Make a run's page when its attempt ends, and send the page's figures to the tracker."""

import shlex
from contextlib import ExitStack
from pathlib import Path

from rollout.errors import RolloutError
from rollout.report.html import html_of
from rollout.report.page import Page
from rollout.report.run.page import page_of
from rollout.runs.attempt import Attempt
from rollout.store.page_files import REPORT, write_page
from rollout.system.unexpected import explained

FIGURES = "figures"  # of the attempt; the tracker reads them until it is closed
SLOW_ROWS = 20_000  # takes a second or more to read


def report_at_end(attempt: Attempt) -> None:
    """Write report.html of a run that was published or failed, unless `report` is false.

    A run is what it is without a page, so a fault is a note that says how to try again.
    """
    job, console = attempt.job, attempt.console
    if not job.settings.report or attempt.failed_early:
        return
    path = job.run_dir / REPORT
    with ExitStack() as stack:
        if job.prompts.num_rows >= SLOW_ROWS:
            stack.enter_context(console.waiting(f"writing {path}"))
        try:
            page = page_of(job.run_dir, is_ending=True)
            write_page(path, html_of(page))
            if attempt.is_tracked:
                attempt.track_images(_images(page, attempt.directory / FIGURES))
        except Exception as error:
            fault = error if isinstance(error, RolloutError) else explained(error, job.run_dir)
            console.note(
                f"note: no page was written: {fault}; the run itself is not affected; to try "
                f"again: python -m rollout.report {shlex.quote(str(job.run_dir))}"
            )
            return
    if console.is_json:
        console.event("report", path=str(path))
    else:
        console.result(f"report  {path}")


def _images(page: Page, directory: Path) -> dict[str, Path]:
    from rollout.report.images import write_images

    return {path.stem: path for path in write_images(page.charts, directory, ("png",), page.title)}
