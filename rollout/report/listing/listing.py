"""List the runs and sweeps under a directory, newest first."""

from dataclasses import dataclass
from pathlib import Path

from rollout.errors import UserError
from rollout.report.listing.entry import Entry, SweepEntry, entry_of
from rollout.report.listing.search import find


@dataclass(slots=True)
class Listing:
    """What is under a directory, and notes on what could not be read."""

    entries: list[Entry | SweepEntry]
    notes: list[str]


def listing_of(directory: Path) -> Listing:
    """Read the records of all runs and sweeps in `directory` and below it."""
    found = find(directory)
    notes = found.notes
    entries: list[Entry | SweepEntry] = _entries(found.runs, notes)
    if found.sweeps:
        from rollout.report.listing.sweeps import sweep_entry

        for sweep, points in found.sweeps.items():
            entries.append(sweep_entry(sweep, _entries(points, notes), notes))
    entries.sort(key=lambda entry: (entry.when.timestamp() if entry.when else 0.0, entry.path))
    return Listing(entries[::-1], notes)


def _entries(run_dirs: list[Path], notes: list[str]) -> list[Entry]:
    """Return the runs' entries; one that can't be read, or is moved meanwhile, is noted."""
    entries = []
    for run_dir in run_dirs:
        try:
            entries.append(entry_of(run_dir))
        except (OSError, UserError) as error:
            notes.append(f"{run_dir} is left out: {error}")
    return entries
