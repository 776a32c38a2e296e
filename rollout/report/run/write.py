"""Write the page of a run into its directory."""

from pathlib import Path

from rollout.report.page import html_of
from rollout.report.run.page import page_of
from rollout.store.page_files import write_page

NAME = "report.html"


def write_report(run_dir: Path) -> Path:
    """Write the page of the run in `run_dir`; return its path. Takes no lock.

    For the launch that ends, once its ended.json is written; it may still hold the run's lock.
    Raises UserError if there is no run, or if a file that no report wrote has the page's name.
    """
    path = run_dir / NAME
    write_page(path, html_of(page_of(run_dir, is_ending=True)))
    return path
