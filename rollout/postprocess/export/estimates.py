"""Estimates: pass@k, mean, majority vote and best of n, over all rows and by group.

Keeps six numbers (36 bytes) per row and no text. Must not know about files or scorers.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rollout.config.sections.export import Estimate, Unscored
from rollout.postprocess.export.intervals import interval, mean
from rollout.postprocess.export.pass_at_k import pass_at_k

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MAX_GROUPS = 1000
OTHER = "(other)"
VERDICTS = {  # name of a scoring's Verdict -> its counter in Group
    "right": "num_right",
    "wrong": "num_wrong",
    "no_answer": "num_no_answer",
    "cut_off": "num_cut_off",
    "error": "num_errors",
    "unjudged": "num_unjudged",
}


@dataclass(frozen=True, slots=True)
class Value:
    """An estimate: the mean over `num_rows` rows, with its interval; null without rows."""

    value: float | None
    low: float | None
    high: float | None
    num_rows: int


@dataclass(slots=True)
class Group:
    """The counters and estimates of one group of rows, or of all rows (`name` is empty)."""

    name: dict[str, str]
    num_rows: int = 0
    num_samples: int = 0
    num_right: int = 0
    num_wrong: int = 0
    num_no_answer: int = 0  # no answer in the response; not solved
    num_cut_off: int = 0  # max_tokens ended it before an answer; not solved
    num_errors: int = 0  # the scorer raised, took too long or died
    num_unjudged: int = 0  # the row can't be judged; in no estimate
    num_rows_unjudged: int = 0  # rows with an unjudged sample
    num_rows_repeated: int = 0  # rows with several samples, all the same text
    errors_fail: bool = True  # whether errors count as not solved
    num_rows_counted: int = 0  # rows with a sample that counts
    fewest_samples: int = 0  # fewest samples that count in such a row
    most_samples: int = 0
    solved: int = 0  # rows with a passing sample
    always: int = 0
    never: int = 0
    values: dict[str, Value] = field(default_factory=dict)  # pass@1, ..., mean, maj@n, best@n

    @property
    def num_judged(self) -> int:
        """Number of samples judged right or wrong."""
        return self.num_right + self.num_wrong


class Counts:
    """Counters of rows, added in order and estimated at the end."""

    def __init__(self, settings: Estimate, pass_threshold: float):
        self.settings = settings
        self.threshold = pass_threshold
        self._numbers: dict[tuple[str, ...] | None, int] = {}  # of each group; None: all others
        self.num_rows_other = 0  # rows of groups after the first MAX_GROUPS
        self._totals: list[Counter[str]] = []  # of each group
        self._any_answer = False
        self._group, self._n, self._c = array("i"), array("i"), array("i")
        self._mean, self._vote, self._best = array("d"), array("d"), array("d")

    def add(
        self,
        scores: Sequence[float | None] | None,
        answers: Sequence[str | None] | None,
        verdicts: Sequence[str | None] | None = None,
        group: tuple[str, ...] | None = (),
        num_distinct: int | None = None,
    ) -> None:
        """Count one row: its samples' scores, canonical answers and verdicts, aligned.

        Without verdicts, the scores decide, and null is an error. `num_distinct` is the number of
        different texts among the samples.
        """
        scores = scores or ()
        verdicts = verdicts or [self._verdict(score) for score in scores]
        fails = self.settings.unscored is Unscored.fail
        counted = [  # score, whether it passed, answer
            (score or 0.0, verdict == "right", answer)
            for score, verdict, answer in zip(
                scores, verdicts, answers or [None] * len(scores), strict=True
            )
            if verdict != "unjudged" and (fails or verdict != "error")
        ]
        if group not in self._numbers and len(self._numbers) >= MAX_GROUPS:
            group = None
            self.num_rows_other += 1
        number = self._numbers.setdefault(group, len(self._numbers))
        if number == len(self._totals):
            self._totals.append(Counter())
        totals = self._totals[number]
        totals.update(VERDICTS[verdict] for verdict in verdicts)
        totals["num_samples"] += len(scores)
        totals["num_rows_unjudged"] += "unjudged" in verdicts
        totals["num_rows_repeated"] += len(scores) > 1 and num_distinct == 1
        self._group.append(number)
        self._n.append(len(counted))
        self._c.append(sum(passed for _, passed, _ in counted))
        nan = float("nan")
        self._mean.append(mean([s for s, _, _ in counted]) if counted else nan)
        self._best.append(max((s for s, _, _ in counted), default=nan))
        self._any_answer |= any(answer is not None for _, _, answer in counted)
        self._vote.append(majority([(p, a) for _, p, a in counted]) if counted else nan)

    def _verdict(self, score: float | None) -> str:
        if score is None:
            return "error"
        return "right" if score >= self.threshold else "wrong"

    def groups(self) -> list[Group]:
        """Return the estimates of all rows, then of the groups as they appeared, then of others."""
        import numpy as np

        numbers, figures = np.array(self._group, dtype=np.int32), self.by_row()
        everyone = np.ones(len(numbers), dtype=bool)
        found = [self._estimate({}, everyone, sum(self._totals, Counter()), figures)]
        if self.settings.group_by:
            for names, number in self._numbers.items():
                names = names or (OTHER,) * len(self.settings.group_by)
                name = dict(zip(self.settings.group_by, names, strict=True))
                rows, totals = numbers == number, self._totals[number]
                found.append(self._estimate(name, rows, totals, figures))
        return found

    def ks(self) -> list[int]:
        """Return the k of the settings; else powers of two up to the most samples, and the most."""
        if self.settings.k:
            return sorted(set(self.settings.k))
        most = max(self._n, default=0)
        return sorted({2**i for i in range(most.bit_length())} | {most} - {0}) or [1]

    def by_row(self) -> "dict[str, np.ndarray]":
        """Return each figure's value per row, NaN for none; the estimates are their means."""
        import numpy as np

        n, c = np.array(self._n), np.array(self._c)
        found = {f"pass@{k}": pass_at_k(n, c, k) if len(n) else n.astype(float) for k in self.ks()}
        found["mean"] = np.array(self._mean)
        if self._any_answer:
            found["maj@n"] = np.array(self._vote)
        return found | {"best@n": np.array(self._best)}

    def _estimate(
        self,
        name: dict[str, str],
        chosen: "np.ndarray",
        totals: Counter[str],
        figures: "dict[str, np.ndarray]",
    ) -> Group:
        import numpy as np

        group = Group(name, num_rows=int(chosen.sum()), **totals)
        group.errors_fail = self.settings.unscored is Unscored.fail
        # If no sample is right or wrong, 0 % would claim more than is known.
        chosen = chosen & (np.array(self._n) > 0) & bool(group.num_judged)
        n, c = np.array(self._n)[chosen], np.array(self._c)[chosen]
        group.num_rows_counted = len(n)
        group.fewest_samples, group.most_samples = int(min(n, default=0)), int(max(n, default=0))
        group.solved, group.never = int((c > 0).sum()), int((c == 0).sum())
        group.always = int((c == n).sum())
        for figure, values in figures.items():
            is_share = figure.startswith(("pass@", "maj@"))
            group.values[figure] = self._value(values[chosen], is_share)
        return group

    def _value(self, values: "np.ndarray", is_share: bool) -> Value:
        import numpy as np

        values = values[~np.isnan(values)]
        if not len(values):
            return Value(None, None, None, 0)
        s = self.settings
        drawn = interval(values, s.confidence, s.resamples, s.seed, is_share)
        low, high = drawn or (None, None)
        return Value(mean(values.tolist()), low, high, len(values))


def counts_of(verdicts: "pa.Array", settings: Estimate) -> "tuple[np.ndarray, np.ndarray]":
    """Return the number of samples that count, and of right ones, in each row of a column."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = pc.list_parent_indices(verdicts).to_numpy()
    names = pc.list_flatten(verdicts).fill_null("")
    left_out = ["unjudged", *(["error"] if settings.unscored is Unscored.leave_out else [])]
    is_out = pc.is_in(names, value_set=pa.array(left_out, names.type))
    n, c = (
        np.bincount(rows[flags.to_numpy(zero_copy_only=False)], minlength=len(verdicts))
        for flags in (pc.invert(is_out), pc.equal(names, "right"))
    )
    return n, c


def majority(votes: Sequence[tuple[bool, Any]]) -> float:
    """Return the expected pass rate of the most frequent answer among pairs (passed, answer).

    A sample without an answer does not vote; without votes, the row fails. Tied answers are equally
    likely (self-consistency: Wang et al. 2022, arXiv 2203.11171, with ties by expectation).
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
