"""The interface of a tracker, and the one that sends nothing."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class Tracker:
    """Receives the metrics of a run; this one sends nothing, WandbTracker does.

    No method raises, and only `wait` may take long. A `make` is called later in another thread, or
    never; its error is the tracker's one warning.
    """

    def __init__(self, line: str = ""):
        self.line = line  # where the run is tracked, for the user; may be empty

    def log(self, metrics: Mapping[str, Any], elapsed_s: float) -> None:
        """Send the numbers of a line of metrics.jsonl, `elapsed_s` seconds into the attempt."""

    def table(self, make: Callable[[], tuple[list[str], list[list]]]) -> None:
        """Send the table of samples, columns and rows; text stays text, and long cells are cut."""

    def histogram(self, name: str, make: Callable[[], "tuple[np.ndarray, np.ndarray]"]) -> None:
        """Send a histogram as numpy makes them, counts and edges; none if there are no counts."""

    def images(self, files: Mapping[str, Path]) -> None:
        """Send image files under their names; they must stay until `wait` returns."""

    def artifact(self, files: Mapping[str, Path]) -> None:
        """Upload files and directories at the end, under these names, as one version."""

    def finish(self, figures: Mapping[str, Any], exit_code: int) -> None:
        """Send the final figures, nested plain values, and close; only the first call counts.

        Nothing is sent after it.
        """

    def wait(self) -> None:
        """Wait a bounded time until everything is sent."""
