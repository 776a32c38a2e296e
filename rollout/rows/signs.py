"""Signs of a bad run in finished rows: truncated, empty, unclosed, repetitive, duplicate, failed.

Owns what each sign means, and how it is counted and shown. A sign is not a verdict: a matrix of
zeros is repetitive, one-word answers are duplicates. Pure: no file, no engine, no clock.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

from rollout.rows.owed import is_cut
from rollout.rows.reasoning import TAGS
from rollout.rows.result import Result

# A text loops if it ends in one phrase at least LOOP_REPEATS times, LOOP_CHARS characters or more.
# A refrain, "ha ha ha!" and a ruled line of 80 characters stay below; 40 tokens of "the" do not.
LOOP_REPEATS = 4
LOOP_CHARS = 160
LOOP_WINDOW = 8000  # characters examined, so a phrase has at most a quarter of that
ANCHOR_CHARS = LOOP_CHARS - LOOP_CHARS // LOOP_REPEATS  # occur twice in any text that loops
LINE_NUMBER = re.compile(r"^[ \t]*\d+[.):]", re.MULTILINE)

# The smallest share at which a sign is shown during the run.
NOTEWORTHY = {
    "truncated": 0.1,
    "empty": 0.05,
    "unclosed": 0.1,
    "repetitive": 0.05,
    "duplicate": 0.5,
    "failed": 0.05,
}
SIGNS = tuple(NOTEWORTHY)
OF_SAMPLES = tuple(sign for sign in SIGNS if sign != "failed")  # the others are of rows
WORDS = {"unclosed": "reasoning unclosed", "repetitive": "repetitive", "duplicate": "duplicates"}


@dataclass(slots=True)
class Signs:
    """Counts over the samples of finished rows, including those of earlier attempts."""

    num_rows: int = 0
    num_failed: int = 0  # rows
    num_samples: int = 0
    num_truncated: int = 0  # finish_reason is length
    num_empty: int = 0
    num_unclosed: int = 0  # `is_unclosed`
    num_repetitive: int = 0  # `is_repetitive`
    num_duplicate: int = 0  # equal to an earlier sample of the row

    def __iadd__(self, other: "Signs") -> "Signs":
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def share(self, sign: str) -> float:
        """Return the share of samples (`failed`: rows) that show the sign; 0 if there are none."""
        whole = self.num_rows if sign == "failed" else self.num_samples
        return getattr(self, f"num_{sign}") / whole if whole else 0.0

    def __str__(self) -> str:
        """Return the noteworthy signs, such as `83% truncated, 60% duplicates`; may be empty."""
        return ", ".join(
            f"{share:.0%} {WORDS.get(sign, sign)}"
            for sign, least in NOTEWORTHY.items()
            if (share := self.share(sign)) >= least
        )


COUNTS = tuple(f.name for f in fields(Signs))


def signs_of(result: Result, tags: Sequence[str] = TAGS) -> Signs:
    """Count the signs of one finished row; `tags` are its reasoning tags."""
    texts = [sample.text for sample in result.samples]
    return Signs(
        num_rows=1,
        num_failed=int(result.error is not None),
        num_samples=len(texts),
        num_truncated=sum(map(is_cut, result.samples)),
        num_empty=texts.count(""),
        num_unclosed=_num_unclosed(texts, result.opens_reasoning, tags),
        num_repetitive=num_repetitive_in(result),
        num_duplicate=0 if result.repeats else len(texts) - num_distinct_in(result),
    )


def num_repetitive_in(result: Result) -> int:
    """Count the repetitive responses, once; the result keeps the number."""
    if result.num_repetitive is None:
        result.num_repetitive = sum([is_repetitive(sample.text) for sample in result.samples])
    return result.num_repetitive


def num_distinct_in(result: Result) -> int:
    """How many different responses it has; counted once, then kept in the result."""
    if result.num_distinct is None:
        result.num_distinct = len({sample.text for sample in result.samples})
    return result.num_distinct


def _num_unclosed(texts: Sequence[str], opened: bool, tags: Sequence[str]) -> int:
    if not opened and tags[0] not in "".join(texts):  # most models do not reason
        return 0
    return sum([is_unclosed(text, opened, tags) for text in texts])


def is_unclosed(text: str, opened: bool, tags: Sequence[str] = TAGS) -> bool:
    """Whether reasoning was begun and not closed: as reasoning.split, but without copying."""
    return tags[1] not in text and (opened or tags[0] in text)


def is_repetitive(text: str) -> bool:
    """Whether the text ends in one phrase over and over; line numbers are ignored.

    The last repeat may be incomplete. A phrase of p characters gives the last
    n = max(LOOP_CHARS, LOOP_REPEATS * p) characters the period p: their last n - p occur p
    characters earlier, too. So do the last LOOP_CHARS * (1 - 1 / LOOP_REPEATS), whatever p is. So
    only each p at which those occur is tried, the shortest first. Failed tries lie far apart (two
    near each other make their distance a period), so there are few: 15 us for 4,000 characters of
    prose.
    """
    tail = text[-LOOP_WINDOW:]
    if _loops(tail):
        return True
    bare = LINE_NUMBER.sub("", tail)
    return len(bare) < len(tail) and _loops(bare)


def _loops(tail: str) -> bool:
    if len(tail) < LOOP_CHARS:
        return False
    anchor, at = tail[-ANCHOR_CHARS:], len(tail) - ANCHOR_CHARS
    while (at := tail.rfind(anchor, 0, at + ANCHOR_CHARS - 1)) >= 0:
        period = len(tail) - ANCHOR_CHARS - at
        length = max(LOOP_CHARS, LOOP_REPEATS * period)
        if length > len(tail):
            return False
        if tail[-length:-period] == tail[period - length :]:
            return True
    return False
