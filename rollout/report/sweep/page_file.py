"""The page of a sweep: made from sweep.json at any time, and written with the tables."""

from collections.abc import Sequence
from pathlib import Path

from rollout.errors import UserError
from rollout.report.html import html_of
from rollout.report.page import Page
from rollout.report.sweep.points import Point
from rollout.report.sweep.ranking import Ranking, rank
from rollout.report.sweep.record import RECORD, recorded_objective, recorded_points
from rollout.report.sweep.sections import page_of_sweep
from rollout.report.sweep.status import as_of_now
from rollout.store.ledger import Ledger
from rollout.store.places import Writer, table_place

PAGE = "sweep.html"


def page_now(directory: Path) -> Page:
    """Return the page of the sweep from sweep.json, as its points are now, finished or not.

    Raises UserError if the directory holds no sweep or its record is damaged.
    """
    if not (directory / RECORD).is_file():
        raise UserError(f"{directory} holds no sweep (it has no {RECORD})")
    recorded = recorded_points(directory, with_unstarted=True).values()
    points = [as_of_now(point) for point in recorded]
    objective = recorded_objective(directory, [point.figures for point in points])
    return page_of_sweep(directory, points, rank(points, objective))


def page_text(directory: Path, points: Sequence[Point], ranking: Ranking) -> str:
    """Return the page as HTML."""
    return html_of(page_of_sweep(directory, points, ranking))


def write_page(directory: Path, text: str) -> None:
    """Replace sweep.html atomically. Raises FileExistsError if it is not a sweep's."""
    with Writer(ledger=Ledger(directory)).written(table_place(directory, PAGE)) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
