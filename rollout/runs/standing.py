"""The state of a run on disk: which rows are finished, and which are owed."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rollout.store.counts import Totals
from rollout.store.store import State

if TYPE_CHECKING:
    import numpy as np


@dataclass(slots=True)
class Standing:
    """The state of a run on disk: what each row has, and which rows are owed something."""

    state: State
    owed: "np.ndarray"  # mask over the rows
    num_owed_samples: int = 0
    num_topped_up: int = 0
    num_continued: int = 0
    num_retried: int = 0
    num_given_up: int = 0  # failed rows that reached data.max_attempts
    num_left_cut: int = 0  # rows with samples cut off below max_tokens that are not continued
    kept: list[str] = field(default_factory=list)  # of KEPT_IF_CHOSEN
    finished: Totals | None = None  # set if the output is published and nothing is owed
    num_owed: int = field(init=False)  # rows; counted once, because every turn of the loop reads it

    def __post_init__(self) -> None:
        self.num_owed = int(self.owed.sum())

    @property
    def num_rows(self) -> int:
        return len(self.owed)

    @property
    def num_present(self) -> int:
        """Rows with anything on disk; all of them if the run is published."""
        return self.num_rows if self.finished else int(self.state.present.sum())

    def num_samples_done(self, n_samples: int) -> int:
        """Return the samples on disk, without those to be continued."""
        num_missing = int((n_samples - self.state.num_samples[self.owed]).sum())
        return int(self.state.num_samples.sum()) - (self.num_owed_samples - num_missing)

    @property
    def samples_per_owed_row(self) -> float:
        return self.num_owed_samples / max(self.num_owed, 1)

    def __str__(self) -> str:
        if self.finished:
            return f"finished already: {self.num_rows:,} rows"
        also = [
            f"{count:,} {what}"
            for count, what in (
                (self.num_topped_up, "of them for more samples"),
                (self.num_continued, "of them to continue truncated samples"),
                (self.num_retried, "of them failed and are retried"),
            )
            if count
        ]
        done = self.num_rows - self.num_owed
        if not self.num_owed:
            also.append("to be published")
        return f"{done:,} of {self.num_rows:,} rows done, {self.num_owed:,} owed" + "".join(
            f", {text}" for text in also
        )
