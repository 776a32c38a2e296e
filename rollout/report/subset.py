"""Choose the rows of a sample browser: those that must be shown, then rows in a seeded order.

Each row has a rank. Rows are added in any order, and the first by rank that fit the budget are
held; so the draw is uniform over the rows that need not be shown, and no row's length is known
before it is read. Memory is bounded by the budget and one row. Must not know files or columns.
"""

import heapq
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rollout.report.page import PromptView, SampleView
from rollout.report.prompt_texts import Excerpt, cut
from rollout.report.script_json import num_script_bytes

if TYPE_CHECKING:
    import numpy as np

MAX_SAMPLES = 5_000
MAX_BYTES = 5_000_000  # of the rows as JSON, escaped for a page
MAX_FAILED = 100
SEED = 42
LINKED = -1  # the rank of a row that is shown in any case
ROW_BYTES = MAX_BYTES // 20  # of one row's texts, roughly: longer ones are cut
MAX_ROW_SAMPLES = 250  # of one row
SHORTEST = 200  # characters to which the texts of linked rows are cut at most


def ranks_of(num_rows: int, linked: Collection[int], failed: Sequence[int]) -> "np.ndarray":
    """Return each row's rank: linked rows first, then the first failed ones, then a random order.

    Rows are positions from 0 to num_rows - 1.
    """
    import numpy as np

    ranks = np.random.default_rng(SEED).permutation(num_rows) + MAX_FAILED
    ranks[failed[:MAX_FAILED]] = np.arange(min(len(failed), MAX_FAILED))
    ranks[list(linked)] = LINKED
    return ranks


def candidates_of(ranks: "np.ndarray") -> "np.ndarray":
    """Return the positions, ascending, of the rows that may be held: each has a sample or none."""
    import numpy as np

    if len(ranks) <= MAX_SAMPLES:
        return np.arange(len(ranks))
    first = np.argpartition(ranks, MAX_SAMPLES - 1)[:MAX_SAMPLES]
    linked = np.flatnonzero(ranks == LINKED)
    return np.union1d(first, linked)


def most_samples(num_linked: int) -> int:
    """Return how many samples of a row are shown at most, so that all linked rows fit."""
    return max(8, min(MAX_ROW_SAMPLES, MAX_SAMPLES // (2 * max(1, num_linked))))


@dataclass
class Held:
    """The rows held so far, by position."""

    views: dict[int, PromptView] = field(default_factory=dict)
    _sizes: dict[int, tuple[int, int]] = field(default_factory=dict)  # samples and bytes
    _by_rank: list[tuple[int, int]] = field(default_factory=list)  # the last rank first
    _bound: int | None = None  # rows of this rank or a later one are no longer held
    _linked: list[int] = field(default_factory=lambda: [0, 0])  # samples and bytes
    _others: list[int] = field(default_factory=lambda: [0, 0])

    def takes(self, rank: int) -> bool:
        """Return whether a row of this rank may still be held."""
        return self._bound is None or rank < self._bound

    def add(self, position: int, rank: int, view: PromptView) -> None:
        """Hold the row if it is among the first by rank that fit."""
        if not self.takes(rank):
            return
        size = num_samples_of(view), num_script_bytes(view)
        self.views[position], self._sizes[position] = view, size
        total = self._linked if rank == LINKED else self._others
        total[0], total[1] = total[0] + size[0], total[1] + size[1]
        if rank != LINKED:
            heapq.heappush(self._by_rank, (-rank, position))
        self._evict()

    def _evict(self) -> None:
        most = MAX_SAMPLES - self._linked[0], MAX_BYTES - min(self._linked[1], MAX_BYTES // 2)
        while self._by_rank and (self._others[0] > most[0] or self._others[1] > most[1]):
            rank, position = heapq.heappop(self._by_rank)
            self._bound = -rank
            del self.views[position]
            samples, size = self._sizes.pop(position)
            self._others[0], self._others[1] = self._others[0] - samples, self._others[1] - size

    def finish(self, linked: Collection[int]) -> dict[int, PromptView]:
        """Return the rows by position, ascending; linked rows are cut further if too long."""
        rows = {p: self.views[p] for p in linked if p in self.views}
        room, limit = MAX_BYTES - self._others[1], 10_000
        size = self._linked[1]
        while size > room and limit >= SHORTEST:
            rows = {position: shortened(view, limit) for position, view in rows.items()}
            size, limit = sum(map(num_script_bytes, rows.values())), limit // 2
        return dict(sorted((self.views | rows).items()))


def num_samples_of(view: PromptView) -> int:
    """Return the number of samples; a row without any counts as one."""
    return max(1, sum(len(samples or ()) for samples in view.samples))


def shortened(view: PromptView, limit: int) -> PromptView:
    """Return the row with every text cut to `limit` characters."""
    messages = [(role, cut(text, limit)) for role, text in view.messages]
    return replace(
        view,
        messages=messages,
        samples=[s and [_shortened(sample, limit) for sample in s] for s in view.samples],
        errors=[error and cut(error, limit) for error in view.errors],
        reference=view.reference and cut(view.reference, limit),
        is_cut=any(isinstance(text, Excerpt) for _, text in messages),
    )


def _shortened(sample: SampleView, limit: int) -> SampleView:
    names = ("text", "reasoning", "extracted", "error")
    texts = {name: getattr(sample, name) for name in names}
    texts = {name: text if text is None else cut(text, limit) for name, text in texts.items()}
    return replace(sample, **texts, is_cut=isinstance(texts["text"], Excerpt))
