"""Estimates: pass@k, mean, majority vote and best of n, over all rows and by groups.

Keeps eight numbers for each row and never a text: 44 bytes. Must not know files.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rollout.training.pass_at_k import interval, pass_at_k
from rollout.training.settings import Estimate, Unscored

if TYPE_CHECKING:
    import numpy as np

MAX_GROUPS = 1000
OTHER = "(other)"


@dataclass(frozen=True, slots=True)
class Value:
    """An estimate: mean over `num_rows` rows; null where there are none."""

    value: float | None
    low: float | None
    high: float | None
    num_rows: int


@dataclass(slots=True)
class Group:
    """What is estimated of one group of rows, or of all (`name` is empty)."""

    name: dict[str, str]
    num_rows: int
    num_samples: int
    num_unscored: int
    num_rows_unscored: int  # no sample has a score
    solved: int  # rows with a sample that passes
    always: int
    never: int
    values: dict[str, Value] = field(default_factory=dict)  # pass@1, ..., mean, maj@n, best@n


class Counts:
    """Rows' counts, added in order and estimated at the end."""

    def __init__(self, settings: Estimate, pass_threshold: float):
        self.settings = settings
        self.threshold = pass_threshold
        self._group_of: dict[tuple[str, ...], int] = {}
        self._any_answer = False
        self._group, self._drawn, self._unscored = array("i"), array("i"), array("i")
        self._n, self._c = array("i"), array("i")
        self._mean, self._vote, self._best = array("d"), array("d"), array("d")

    def add(
        self,
        scores: Sequence[float | None] | None,
        answers: Sequence[str | None] | None,
        group: tuple[str, ...] = (),
    ) -> None:
        """Count one row: its samples' scores and canonical answers, aligned."""
        scores = scores or ()
        fails = self.settings.unscored is Unscored.fail
        pairs = [
            (0.0 if score is None else score, score is not None and score >= self.threshold, answer)
            for score, answer in zip(scores, answers or [None] * len(scores), strict=True)
            if fails or score is not None
        ]
        if group not in self._group_of and len(self._group_of) >= MAX_GROUPS:
            group = (OTHER,) * len(group)
        self._group.append(self._group_of.setdefault(group, len(self._group_of)))
        self._drawn.append(len(scores))
        self._n.append(len(pairs))
        self._c.append(sum(passed for _, passed, _ in pairs))
        self._mean.append(sum(s for s, _, _ in pairs) / len(pairs) if pairs else float("nan"))
        self._best.append(max((s for s, _, _ in pairs), default=float("nan")))
        self._any_answer |= any(answer is not None for _, _, answer in pairs)
        self._vote.append(
            majority([(p, a) for _, p, a in pairs]) if pairs else float("nan"),
        )
        self._unscored.append(sum(score is None for score in scores))

    def groups(self) -> list[Group]:
        """Estimate all rows first, then each group in order of appearance."""
        import numpy as np

        ks = self.ks()
        numbers = np.array(self._group, dtype=np.int32)
        found = [self._estimate({}, np.ones(len(numbers), dtype=bool), ks)]
        if self.settings.group_by:
            for names, number in self._group_of.items():
                name = dict(zip(self.settings.group_by, names, strict=True))
                found.append(self._estimate(name, numbers == number, ks))
        return found

    def ks(self) -> list[int]:
        """The k that are asked for; else powers of two up to the most samples, and that."""
        if self.settings.k:
            return sorted(set(self.settings.k))
        most = max(self._n, default=0)
        return sorted({2**i for i in range(most.bit_length())} | {most} - {0}) or [1]

    def _estimate(self, name: dict[str, str], chosen: "np.ndarray", ks: list[int]) -> Group:
        import numpy as np

        def of(column: array) -> "np.ndarray":
            return np.array(column)[chosen]

        n, c, drawn, unscored = of(self._n), of(self._c), of(self._drawn), of(self._unscored)
        group = Group(
            name=name,
            num_rows=len(n),
            num_samples=int(drawn.sum()),
            num_unscored=int(unscored.sum()),
            num_rows_unscored=int((unscored == drawn).sum()),
            solved=int((c > 0).sum()),
            always=int(((c == n) & (n > 0)).sum()),
            never=int(((c == 0) & (n > 0)).sum()),
        )
        for k in ks:
            group.values[f"pass@{k}"] = self._value(
                pass_at_k(n, c, k) if len(n) else n.astype(float)
            )
        group.values["mean"] = self._value(of(self._mean))
        if self._any_answer:
            group.values["maj@n"] = self._value(of(self._vote))
        group.values["best@n"] = self._value(of(self._best))
        return group

    def _value(self, values: "np.ndarray") -> Value:
        import numpy as np

        values = values[~np.isnan(values)]
        if not len(values):
            return Value(None, None, None, 0)
        s = self.settings
        low, high = interval(values, s.confidence, s.resamples, s.seed) or (None, None)
        return Value(float(values.mean()), low, high, len(values))


def majority(votes: Sequence[tuple[bool, Any]]) -> float:
    """Give the expected pass of the most frequent answer among (passed, answer).

    A sample without an answer does not vote; where none votes, the row fails. Of tied answers each
    is as likely (self-consistency: Wang et al. 2022, arXiv 2203.11171, with ties by expectation).
    """
    counts = Counter(answer for _, answer in votes if answer is not None)
    if not counts:
        return 0.0
    passed = defaultdict(int)
    for passes, answer in votes:
        passed[answer] += passes
    most = max(counts.values())
    winners = [answer for answer, count in counts.items() if count == most]
    return sum(passed[answer] / most for answer in winners) / len(winners)
