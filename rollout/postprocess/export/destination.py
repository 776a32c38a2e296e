"""The place of the training file."""

from pathlib import Path
from typing import TYPE_CHECKING

from rollout.config.sections.export import Format
from rollout.store.places import Place, place
from rollout.system.disk import expand_home

if TYPE_CHECKING:
    from rollout.config.sections.postprocess import Postprocess


def export_place(settings: "Postprocess", export: str | None, section: str = "") -> Place | None:
    """Return the place of the training file, or None without an export."""
    if export is None or settings.export.format is Format.none:
        return None
    path = Path(expand_home(export)).absolute()
    return place(f"{section}export.path", export, path, overwrite=settings.export.overwrite)
