"""Write the figures of a page into a directory; only files that a report wrote are replaced.

figures/written.json   the files that a report wrote, see ledger.py
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from rollout.errors import UserError
from rollout.store.ledger import Ledger
from rollout.store.places import Kind, Place, Writer

DIRECTORY = "figures"


def write_figures(directory: Path, draw: Callable[[Path], list[Path]]) -> list[Path]:
    """Write the files that `draw` makes in an empty directory into `directory`; return them.

    Figures of an earlier report that this one does not have are removed. Raises UserError if
    another file has the name of one, or nothing can be written there.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        ledger = Ledger(directory)
        writer = Writer(ledger=ledger)
        with tempfile.TemporaryDirectory() as temporary:
            drawn = draw(Path(temporary))
            places = [_place(directory, path.name) for path in drawn]
            for old in ledger.inside():
                if old not in {path.name for path in drawn}:
                    writer.remove_if_ours(_place(directory, old))
            for path, place in zip(drawn, places, strict=True):
                with writer.written(place) as part:
                    shutil.copyfile(path, part)
    except FileExistsError:
        raise UserError(
            f"{directory} has a file of the same name that no report wrote; move it elsewhere"
        ) from None
    except OSError as error:
        raise UserError(
            f"can't write figures in {directory} ({error.strerror or error}); type "
            "output=FILE.html to write page and figures elsewhere"
        ) from error
    return [place.path for place in places]


def _place(directory: Path, name: str) -> Place:
    path = directory.resolve() / name
    return Place("output", str(path), path, Kind.companion, what=name, is_ours=lambda path: False)
