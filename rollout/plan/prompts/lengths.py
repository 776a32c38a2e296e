"""The lengths of an input's prompts, in tokens.

Owns which rows are tokenized. Guarantees that every row is read once, that the same input gives the
same figures on any machine (the budget is in bytes, not seconds), that memory does not grow with
the texts, and that each figure states whether it is exact. Must not know where a tokenizer comes
from, engines, or how figures are printed.
"""

import heapq
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from rollout.inputs.prompts import Prompts
from rollout.plan.prompts.tokenizer import Count, PromptTokenizer, num_bytes
from rollout.rows.prompt import Prompt

BYTES_PER_S = 3 << 20  # tokenized by one core: SmolLM2, README text
STRING_COST, CHAT_COST = 16, 160  # overhead per row, in bytes; a chat is rendered
NUM_LONGEST = 64  # rows tokenized because they have the most bytes
NUM_FIRST = 32  # rows for which the bytes added by the template are measured first
NUM_BINS = 12
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio


@dataclass(frozen=True, slots=True)
class NumRows:
    """A number of rows; an estimate from the sample if not exact."""

    num_rows: int
    is_exact: bool

    def __str__(self) -> str:
        return f"{'' if self.is_exact else 'about '}{self.num_rows:,}"


@dataclass(frozen=True, slots=True)
class Bin:
    """Counted rows with at least `low` and fewer than `high` tokens."""

    low: int
    high: int
    num_rows: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """Prompt lengths of an input, in tokens as the model sees them."""

    num_rows: int
    num_bad: int  # rows that can't be sent, not counting those that the template refuses
    first_bad: str | None
    num_refused: int  # by the template, among the rows that were tokenized
    first_refusal: str | None
    num_strings: int
    num_chats: int
    num_given: int  # prompts that are token ids
    num_bytes: int  # of all prompts, without the template's text
    num_counted: int  # rows behind mean, percentiles and histogram
    is_sample: bool  # False: those are all rows that can be sent
    mean: float
    p50: int
    p95: int
    p99: int
    longest: int  # of all counted rows
    longest_bound: int  # upper bound over all rows
    histogram: tuple[Bin, ...]
    sample: tuple[int, ...] = field(repr=False)  # ascending
    long_rows: tuple[int, ...] = field(repr=False)  # ascending; counted besides the sample
    doubts: tuple[tuple[int, int], ...] = field(repr=False)  # (least, most) tokens of other rows

    @property
    def is_longest_exact(self) -> bool:
        """Whether `longest` is the longest of all rows, not only of the counted ones."""
        return self.longest == self.longest_bound

    def num_longer_than(self, context: int) -> NumRows:
        """Return the number of rows with more than `context` tokens."""
        num_sampled = sum(1 for n in self.sample if n > context)
        num_known = num_sampled + sum(1 for n in self.long_rows if n > context)
        if not any(least <= context < most for least, most in self.doubts):
            return NumRows(num_known, is_exact=True)
        share = num_sampled / max(1, len(self.sample))
        num_askable = self.num_rows - self.num_bad
        return NumRows(max(num_known, round(share * num_askable)), is_exact=False)

    def num_cut(self, context: int, limit: int) -> NumRows:
        """Return the number of rows with room in `context` for 1 to `limit` - 1 more tokens."""
        cut, over = self.num_longer_than(context - limit), self.num_longer_than(context - 1)
        return NumRows(cut.num_rows - over.num_rows, cut.is_exact and over.is_exact)


def read_lengths(
    prompts: Prompts,
    tokenizer: PromptTokenizer,
    context: int | None = None,
    budget_s: float = 1.0,
) -> Lengths:
    """Read every row; tokenize all rows of a small input, else a sample and the longest rows.

    An input is small up to `budget_s` * BYTES_PER_S bytes, including templates and the overhead
    per row. Of a larger input, an evenly spread sample of that size is tokenized, and as much
    again of the rows with the most bytes: those that may exceed `context` tokens, and at least
    NUM_LONGEST. A token has at least one byte, so no other row can be longer (normalizers that
    lengthen text, such as NFKC, are ignored). `num_longer_than` is exact from `context` on, unless
    those rows alone exceed the budget.
    """
    budget = max(1, int(budget_s * BYTES_PER_S))
    rows = iter(prompts)
    head = list(islice(rows, NUM_FIRST))
    reading = _Reading(budget, context, tokenizer.num_added + 1, _overhead(head, tokenizer))
    for prompt in chain(head, rows):
        reading.take(prompt)
    return reading.lengths(prompts.num_rows, tokenizer)


class _Reading:
    """The rows kept while the input is streamed: the sample and the longest ones."""

    def __init__(self, budget: int, context: int | None, num_added: int, per_message: float):
        self.budget, self.num_added, self.per_message = budget, num_added, per_message
        self.context = float("inf") if context is None else context
        self.num_bad, self.first_bad = 0, None
        self.num_strings = self.num_chats = self.num_given = self.num_bytes = 0
        self.sample: dict[int, tuple[int, float, Prompt]] = {}  # index: spread, cost, prompt
        self.sample_cost, self.below = 0.0, 1 << 64
        # Heap of (most tokens, index, cost, prompt).
        self.longest: list[tuple[float, int, float, Prompt]] = []
        self.longest_cost = 0.0
        self.rest: float = 0  # most tokens of any row that is not in `longest`
        self.most_messages = 0

    def take(self, prompt: Prompt) -> None:
        content = prompt.content
        if prompt.error is not None:
            self.num_bad += 1
            self.first_bad = self.first_bad or f"row {prompt.row}: {prompt.error}"
            return
        if prompt.token_ids is not None:
            size = len(prompt.token_ids)
            most = cost = size
            self.num_given += 1
        elif isinstance(content, str):
            size = num_bytes(content)
            most: float = size + self.num_added
            cost = most + STRING_COST
            self.num_strings += 1
        else:
            size = _chat_bytes(prompt)
            most = size + self.num_added + self.per_message * len(content)
            cost = most + CHAT_COST
            self.num_chats += 1
            self.most_messages = max(self.most_messages, len(content))
        self.num_bytes += size
        # Evenly spread, and not aligned with any period of the rows.
        spread = (prompt.index + 1) * _GOLDEN % (1 << 64)
        if spread < self.below:
            self.sample[prompt.index] = spread, cost, prompt
            self.sample_cost += cost
            if self.sample_cost > self.budget:
                self._thin()
        if len(self.longest) < NUM_LONGEST or most > min(self.context, self.longest[0][0]):
            heapq.heappush(self.longest, (most, prompt.index, cost, prompt))
            self.longest_cost += cost
            while self._is_too_much():
                most, _, cost, _ = heapq.heappop(self.longest)
                self.longest_cost -= cost
                self.rest = max(self.rest, most)
        else:
            self.rest = max(self.rest, most)

    def _is_too_much(self) -> bool:
        if len(self.longest) <= 1:
            return False
        is_needless = len(self.longest) > NUM_LONGEST and self.longest[0][0] <= self.context
        return is_needless or self.longest_cost > self.budget

    def _thin(self) -> None:
        while self.sample_cost > self.budget and len(self.sample) > 1:
            self.below //= 2
            kept = {i: row for i, row in self.sample.items() if row[0] < self.below}
            if not kept:
                first = min(self.sample, key=lambda index: self.sample[index][0])
                kept = {first: self.sample[first]}
                self.below = kept[first][0] + 1
            self.sample = kept
            self.sample_cost = sum(cost for _, cost, _ in kept.values())

    def lengths(self, num_rows: int, tokenizer: PromptTokenizer) -> Lengths:
        num_askable = self.num_strings + self.num_chats + self.num_given
        is_sample = len(self.sample) < num_askable
        kept = {index: prompt for index, (_, _, prompt) in self.sample.items()}
        if is_sample:
            kept |= {index: prompt for _, index, _, prompt in self.longest}
        counts = dict(zip(kept, tokenizer.count_many(kept.values(), self.budget), strict=True))
        refusals = {i: count for i, count in counts.items() if isinstance(count, str)}
        counted = {i: count for i, count in counts.items() if isinstance(count, Count)}
        sample = sorted(c.num_tokens for i, c in counted.items() if i in self.sample)
        long_rows = sorted(c.num_tokens for i, c in counted.items() if i not in self.sample)
        doubts = [
            (c.num_tokens, c.num_bytes + self.num_added) for c in counted.values() if not c.is_whole
        ]
        if is_sample and len(counts) < num_askable:
            seen = max((_per_message(kept[i], c) for i, c in counted.items()), default=0.0)
            excess = max(0.0, seen - self.per_message) * self.most_messages
            doubts.append((0, int(self.rest + excess)))
        longest = max((c.num_tokens for c in counted.values()), default=0)
        return Lengths(
            num_rows=num_rows,
            num_bad=self.num_bad,
            first_bad=self.first_bad,
            num_refused=len(refusals),
            first_refusal=refusals[min(refusals)] if refusals else None,
            num_strings=self.num_strings,
            num_chats=self.num_chats,
            num_given=self.num_given,
            num_bytes=self.num_bytes,
            num_counted=len(sample),
            is_sample=is_sample,
            mean=sum(sample) / max(1, len(sample)),
            p50=_percentile(sample, 0.5),
            p95=_percentile(sample, 0.95),
            p99=_percentile(sample, 0.99),
            longest=longest,
            longest_bound=max([longest, *(most for _, most in doubts)]),
            histogram=_histogram(sample),
            sample=tuple(sample),
            long_rows=tuple(long_rows),
            doubts=tuple(doubts),
        )


def _num_bytes(value: Any) -> int:
    """Return the UTF-8 length of the text in a message's member; about JSON's length if nested."""
    if isinstance(value, str):
        return num_bytes(value)
    if isinstance(value, dict):
        return sum(_num_bytes(key) + _num_bytes(member) + 6 for key, member in value.items())
    if isinstance(value, list):
        return sum(map(_num_bytes, value))
    return len(str(value))


def _chat_bytes(prompt: Prompt) -> int:
    """Return the bytes of the text in a chat's messages and tools."""
    size = sum(_num_bytes(member) for m in prompt.content for member in m.values())
    return size + (_num_bytes(prompt.tools) if prompt.tools else 0)


def _per_message(prompt: Prompt, count: Count) -> float:
    """Return the bytes that the template adds to a chat, per message."""
    if not isinstance(prompt.content, list):
        return 0.0
    return (count.num_bytes - _chat_bytes(prompt)) / len(prompt.content)


def _overhead(head: list[Prompt], tokenizer: PromptTokenizer) -> float:
    chats = [prompt for prompt in head if isinstance(prompt.content, list)]
    counts = zip(chats, tokenizer.count_many(chats, max_chars=0), strict=True)
    return max((_per_message(chat, c) for chat, c in counts if isinstance(c, Count)), default=0.0)


def _percentile(ascending: list[int], share: float) -> int:
    """Return the percentile by nearest rank."""
    return ascending[max(0, -int(-share * len(ascending) // 1) - 1)] if ascending else 0


def _histogram(counts: list[int]) -> tuple[Bin, ...]:
    """Return bins between powers of two; beyond NUM_BINS, the shortest prompts share one."""
    if not counts:
        return ()
    counts = [max(1, n) for n in counts]  # a template may drop a prompt's whole text
    last = counts[-1].bit_length()
    first = max(counts[0].bit_length(), last - NUM_BINS + 1)
    edges = [1 << power for power in range(first, last + 1)]
    lows = [1 << counts[0].bit_length() - 1 if first == counts[0].bit_length() else 0, *edges[:-1]]
    pairs = zip(lows, edges, strict=True)
    return tuple(Bin(low, high, sum(low <= n < high for n in counts)) for low, high in pairs)
