"""Signs of a bad run, seen in finished rows: cut off, empty, unclosed, looping, all the same.

Owns what each sign is, how they are counted, told and judged against `stop_if`. Pure: no file,
no engine, no clock. A sign is no verdict: zeros of a matrix loop, answers of one word repeat.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

from rollout.rows.owed import is_cut
from rollout.rows.reasoning import TAGS
from rollout.rows.result import Result

# A text loops where its end is one phrase at least LOOP_REPEATS times, LOOP_CHARS characters or
# more. A refrain, "ha ha ha!", a ruled line of 80 signs stay below; 40 tokens of "the" do not.
LOOP_REPEATS = 4
LOOP_CHARS = 160
LOOP_WINDOW = 8000  # characters looked at, so a phrase of at most a quarter of it
LINE_NUMBER = re.compile(r"^[ \t]*\d+[.):]", re.MULTILINE)

# From which share on each sign is worth a word while the run goes.
NOTEWORTHY = {
    "truncated": 0.1,
    "empty": 0.05,
    "unclosed": 0.1,
    "repetitive": 0.05,
    "duplicate": 0.5,
    "failed": 0.05,
}
SIGNS = tuple(NOTEWORTHY)
WORDS = {"unclosed": "reasoning unclosed", "repetitive": "repetitive", "duplicate": "duplicates"}


@dataclass(slots=True)
class Signs:
    """Counts over the samples of finished rows, those of earlier attempts included."""

    num_rows: int = 0
    num_failed: int = 0  # rows
    num_samples: int = 0
    num_truncated: int = 0  # finish_reason length
    num_empty: int = 0
    num_unclosed: int = 0  # reasoning that was begun and not closed
    num_repetitive: int = 0  # `is_repetitive`
    num_duplicate: int = 0  # equal to an earlier sample of the row

    def __iadd__(self, other: "Signs") -> "Signs":
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def share(self, sign: str) -> float:
        """The share of the samples (`failed`: of the rows) that show it; 0 where there are none."""
        whole = self.num_rows if sign == "failed" else self.num_samples
        return getattr(self, f"num_{sign}") / whole if whole else 0.0

    def __str__(self) -> str:
        """What is worth a word: `83% truncated, 60% duplicates`; else nothing."""
        return ", ".join(
            f"{share:.0%} {WORDS.get(sign, sign)}"
            for sign, least in NOTEWORTHY.items()
            if (share := self.share(sign)) >= least
        )


COUNTS = tuple(f.name for f in fields(Signs))


def signs_of(result: Result, tags: Sequence[str] = TAGS) -> Signs:
    """The signs of one finished row; `tags` are those of its reasoning."""
    texts = [sample.text for sample in result.samples]
    return Signs(
        num_rows=1,
        num_failed=int(result.error is not None),
        num_samples=len(texts),
        num_truncated=sum(map(is_cut, result.samples)),
        num_empty=texts.count(""),
        num_unclosed=sum([is_unclosed(text, result.opens_reasoning, tags) for text in texts]),
        num_repetitive=num_repetitive_in(result),
        num_duplicate=0 if result.repeats else len(texts) - num_distinct_in(result),
    )


def num_repetitive_in(result: Result) -> int:
    """How many of its responses are repetitive; counted once, then kept in the result."""
    if result.num_repetitive is None:
        result.num_repetitive = sum([is_repetitive(sample.text) for sample in result.samples])
    return result.num_repetitive


def num_distinct_in(result: Result) -> int:
    """How many different responses it has; counted once, then kept in the result."""
    if result.num_distinct is None:
        result.num_distinct = len({sample.text for sample in result.samples})
    return result.num_distinct


def is_unclosed(text: str, opened: bool, tags: Sequence[str] = TAGS) -> bool:
    """Whether reasoning was begun and not closed, as reasoning.split has it, without the copies."""
    return tags[1] not in text and (opened or tags[0] in text)


def is_repetitive(text: str) -> bool:
    """Whether the text ends in one phrase over and over; line numbers are not looked at.

    The end may break the phrase off anywhere. A phrase of p characters, that is a period p of the
    last n = max(LOOP_CHARS, LOOP_REPEATS * p), makes the last n - p occur p characters earlier.
    For every p that holds of the last LOOP_CHARS * (1 - 1 / LOOP_REPEATS), so each p where those
    occur is tried, the shortest first. Tries that fail lie far apart (two near each other make
    their distance a period), so they are few: 15 us for 4,000 characters of prose.
    """
    tail = text[-LOOP_WINDOW:]
    if _loops(tail):
        return True
    bare = LINE_NUMBER.sub("", tail)
    return len(bare) < len(tail) and _loops(bare)


def _loops(tail: str) -> bool:
    size = LOOP_CHARS - LOOP_CHARS // LOOP_REPEATS
    if len(tail) < LOOP_CHARS:
        return False
    anchor, at = tail[-size:], len(tail) - size
    while (at := tail.rfind(anchor, 0, at + size - 1)) >= 0:
        period = len(tail) - size - at
        length = max(LOOP_CHARS, LOOP_REPEATS * period)
        if length > len(tail):
            return False
        if tail[-length:-period] == tail[period - length :]:
            return True
    return False
