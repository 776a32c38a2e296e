"""The place of the training file."""

from typing import TYPE_CHECKING

from rollout.config.sections.export import Format
from rollout.store.places import Place, place
from rollout.system.disk import path_of

if TYPE_CHECKING:
    from rollout.config.sections.postprocess import Postprocess


def export_place(settings: "Postprocess", export: str | None, section: str = "") -> Place | None:
    """Return the place of the training file, or None without an export."""
    if export is None or settings.export.format is Format.none:
        return None
    path = path_of(export)
    return place(f"{section}export.path", export, path, overwrite=settings.export.overwrite)
