"""Count the rows that an attempt finished."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import iadd

from rollout.rows.reasoning import TAGS
from rollout.rows.result import Result
from rollout.rows.signs import Signs, signs_of


@dataclass(slots=True)
class Tally:
    """Counts of the results that this attempt finished so far."""

    num_rows: int = 0
    num_samples: int = 0  # with the copies of greedy ones
    num_drawn: int = 0  # without
    num_output_tokens: int = 0  # drawn by this attempt
    num_prompt_tokens: int = 0  # of finished rows, each prompt once
    num_begun: int = 0  # rows: finished ones and those in the engine
    signs: Signs = field(default_factory=Signs)  # of finished rows

    @property
    def signs_so_far(self) -> Signs:
        """The signs, among all rows begun: one that can't be sent fails before others finish."""
        return replace(self.signs, num_rows=max(self.num_begun, self.signs.num_rows))

    def add(self, result: Result, tags: Sequence[str] = TAGS) -> None:
        self.num_rows += 1
        num_new = result.num_new_samples
        self.num_samples += num_new
        self.num_drawn += min(num_new, 1) if result.repeats else num_new
        self.num_output_tokens += result.num_new_tokens
        self.num_prompt_tokens += result.num_prompt_tokens or 0
        self.signs += signs_of(result, tags)


def joined(tallies: Iterable[Tally]) -> Tally:
    """Return the sums."""
    total = Tally()
    for tally in tallies:
        for f in fields(Tally):
            setattr(total, f.name, iadd(getattr(total, f.name), getattr(tally, f.name)))
    return total
