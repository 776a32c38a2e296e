"""The files that a scoring writes: scored rows, figures, errors and an export."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rollout.config.sections.postprocess import Postprocess
from rollout.postprocess.error_file import error_path, is_error_file
from rollout.postprocess.export.destination import export_place
from rollout.store.places import Kind, Place, place
from rollout.system.disk import read_json


@dataclass(frozen=True, slots=True)
class ScoringPlaces:
    """Where a scoring writes. Iterating yields every place, the scored rows first."""

    scored: Place
    figures: Place
    errors: Place
    export: Place | None

    def __iter__(self) -> Iterator[Place]:
        yield from (self.scored, self.figures, self.errors)
        if self.export:
            yield self.export


def scoring_places(
    settings: Postprocess, scored: Path, export: str | None, section: str = ""
) -> ScoringPlaces:
    """Return the places of a scoring into `scored`; messages put `section` before the keys.

    Raises UserError if a file can't be written to one of them.
    """
    key, output = f"{section}output.path", settings.output
    rows = place(key, output.path or scored, scored, overwrite=output.overwrite)
    figures, errors = (
        Place(key, rows.given, path, Kind.companion, output.overwrite, what, is_ours)
        for path, what, is_ours in (
            (rows.path.with_suffix(".json"), "the figures", is_figures),
            (error_path(rows.path), "the errors", is_error_file),
        )
    )
    return ScoringPlaces(rows, figures, errors, export_place(settings, export, section))


def is_figures(path: Path) -> bool:
    """Return whether the file holds the figures of a scoring."""
    return path.is_file() and "groups" in (read_json(path) or {})
