"""Counters of a scoring: verdicts, reasons, the first error of each kind, and examples.

Memory is bounded, whatever the number of samples. Must not know about files.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rollout.postprocess.export.estimates import VERDICTS
from rollout.postprocess.scoring.scorers import Mark, Verdict

MAX_REASONS = 1000  # different reasons counted; a reason may quote the response
MAX_EXAMPLES = 2  # right ones, and as many wrong ones, each from another row
TAIL = 300  # characters kept of an example's end, where answers are
JUDGED = (Verdict.right, Verdict.wrong)


@dataclass(frozen=True, slots=True)
class Example:
    """One judged response, to show at a glance whether the scorer works as intended."""

    row: int
    sample: int
    verdict: str
    extracted: str | None
    compared: str | None
    error: str | None
    response_end: str


@dataclass(frozen=True, slots=True)
class FirstError:
    """The first error of its kind."""

    row: int
    sample: int
    error: str
    trace: str | None


@dataclass(slots=True)
class Tally:
    """Counters of the rows scored so far."""

    threshold: float = 1.0
    num_rows: int = 0
    num_failed_rows: int = 0  # without a response
    num_samples: int = 0
    num_scored: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)  # kinds of reasons not to judge a sample
    first_reasons: dict[str, str] = field(default_factory=dict)  # by kind, in full
    faults: dict[str, FirstError] = field(default_factory=dict)  # by kind; only errors with a trace
    examples: list[Example] = field(default_factory=list)

    @property
    def num_unscored(self) -> int:
        return self.num_samples - self.num_scored

    @property
    def num_judged(self) -> int:
        """Number of samples judged right or wrong."""
        return sum(self.verdicts[verdict] for verdict in JUDGED)

    def reasons(self) -> list[tuple[str, int]]:
        """Return the first reason of each kind and the kind's number, most frequent kind first."""
        return [(self.first_reasons[kind], number) for kind, number in self.kinds.most_common()]

    def counts(self) -> dict[str, int]:
        """Return the number of samples of each verdict, under the figures' names."""
        return {name: self.verdicts[Verdict[verdict]] for verdict, name in VERDICTS.items()}

    def add(self, texts: list[str | None], marks: list[Mark]) -> list[Verdict]:
        """Count a row's samples and return their verdicts, in order."""
        row, verdicts = self.num_rows, [self._verdict(mark) for mark in marks]
        self.num_rows += 1
        self.num_failed_rows += not marks
        self.num_samples += len(marks)
        self.num_scored += sum(mark.score is not None for mark in marks)
        self.verdicts.update(verdicts)
        for sample, (mark, verdict) in enumerate(zip(marks, verdicts, strict=True)):
            if verdict not in JUDGED or mark.trace:
                self._add_reason(row, sample, mark, verdict)
            if verdict in JUDGED and len(self.examples) < MAX_EXAMPLES * len(JUDGED):
                self._add_example(row, sample, texts[sample] or "", mark, verdict)
        return verdicts

    def _verdict(self, mark: Mark) -> Verdict:
        if mark.verdict is not None:
            return mark.verdict
        if mark.score is None:
            return Verdict.unjudged
        return Verdict.right if mark.score >= self.threshold else Verdict.wrong

    def _add_reason(self, row: int, sample: int, mark: Mark, verdict: Verdict) -> None:
        reason = mark.error or verdict.value
        kind = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", reason)  # ignore quoted text
        kind = re.sub(r"\d+", "N", kind)[:120]
        if verdict not in JUDGED and (kind in self.kinds or len(self.kinds) < MAX_REASONS):
            self.kinds[kind] += 1
            self.first_reasons.setdefault(kind, reason)
        if mark.trace and kind not in self.faults and len(self.faults) < MAX_REASONS:
            self.faults[kind] = FirstError(row, sample, reason, mark.trace)

    def _add_example(self, row: int, sample: int, text: str, mark: Mark, verdict: Verdict) -> None:
        same = [example for example in self.examples if example.verdict == verdict.name]
        if len(same) >= MAX_EXAMPLES or any(example.row == row for example in same):
            return
        cut = [
            t if t is None or len(t) <= TAIL else f"{t[:TAIL]}…"
            for t in (mark.extracted, mark.compared)
        ]
        end = text if len(text) <= TAIL else f"…{text[-TAIL:]}"
        self.examples.append(Example(row, sample, verdict.name, *cut, mark.error, end))

    def as_json(self) -> dict[str, Any]:
        """Return plain values for the figures beside the scored file."""
        from dataclasses import asdict

        return {
            **self.counts(),
            "num_rows_without_responses": self.num_failed_rows,
            "reasons": [{"reason": text, "num": number} for text, number in self.reasons()],
            "first_errors": {kind: asdict(fault) for kind, fault in self.faults.items()},
            "examples": [asdict(example) for example in self.examples],
        }
