"""The times of an attempt: marks in, phases out. Pure: no clock, no file, no engine.

    load      from asking for an engine until the first one is up
    fill      until the engines first run as many samples as they can, slow first steps included
    steady    until less than a full batch is left and no prompt waits
    tail      until the last row is finished
    publish   while the output is written
    score     while it is scored and exported

Fill, steady and tail are the generation. It includes the time in which no engine was up because
the last one had died (reloads), but rates of a phase leave that time out: they describe the engine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from rollout.engines.base import EngineStats
from rollout.runs.tally import Tally

PHASES = ("fill", "steady", "tail")
Span = tuple[float, float]  # begin and end, in seconds since the launch


@dataclass(slots=True)
class Mark:
    """A moment: seconds since the launch, and the counters at that time."""

    at_s: float
    stats: EngineStats
    num_rows: int = 0
    num_prompt_tokens: int = 0


def mark(at_s: float, stats: EngineStats, tally: Tally) -> Mark:
    return Mark(at_s, replace(stats), tally.num_rows, tally.num_prompt_tokens)


@dataclass(slots=True)
class Timeline:
    """The marks of one attempt; `begin` is the first submission."""

    load: Span = (0.0, 0.0)  # empty if an engine was up already
    begin: Mark | None = None
    full: Mark | None = None
    drain: Mark | None = None
    end: Mark | None = None
    reloads: list[Span] = field(default_factory=list)  # no engine was up, after the first one
    publish: Span = (0.0, 0.0)
    score: Span = (0.0, 0.0)  # empty if nothing was scored
    peak_memory_gib: float | None = None  # highest EngineStats.memory_gib
    max_num_seqs: int = 1
    num_gpus: int = 0  # the most that were in use at the same time
    is_shared: bool = False  # with other runs: the engine's tokens can't be split between them
    _last_running: int = 0

    @property
    def load_s(self) -> float:
        return length(self.load)

    @property
    def publish_s(self) -> float:
        return length(self.publish)

    @property
    def score_s(self) -> float:
        return length(self.score)

    @property
    def generate_s(self) -> float:
        begin, end = self.ends
        return end.at_s - begin.at_s

    @property
    def reload_s(self) -> float:
        """Seconds of the generation in which no engine was up."""
        begin, end = self.ends
        return overlap(self.reloads, (begin.at_s, end.at_s))

    @property
    def ends(self) -> tuple[Mark, Mark]:
        """First and last mark of the generation; equal if no engine was needed."""
        nothing = Mark(0.0, EngineStats())
        return self.begin or nothing, self.end or self.begin or nothing

    @property
    def phase(self) -> str:
        """The phase of the generation that the last observation was in."""
        if self.drain:
            return "tail"
        return "steady" if self.full else "fill"

    def weigh(self, stats: EngineStats) -> None:
        """Note the highest memory."""
        known = (self.peak_memory_gib, stats.memory_gib)
        self.peak_memory_gib = max((gib for gib in known if gib is not None), default=None)

    def observe(self, at_s: float, stats: EngineStats, tally: Tally, source_dry: bool) -> None:
        """Set the `full` and `drain` marks the first time their conditions hold.

        Full: nine tenths of max_num_seqs run, or none was admitted although some wait (the KV
        cache is full). Draining: nothing is left to submit and less than a batch is unfinished.
        """
        if self.drain is not None:
            return
        if self.full is None:
            stuck = stats.num_waiting > 0 and stats.num_running <= self._last_running
            if stuck or stats.num_running >= 0.9 * self.max_num_seqs:
                self.full = mark(at_s, stats, tally)
            self._last_running = stats.num_running
        if source_dry and stats.num_running + stats.num_waiting < self.max_num_seqs:
            self.drain = mark(at_s, stats, tally)

    def edges(self) -> list[tuple[str, Mark, Mark]]:
        """Return fill, steady and tail with the marks at both ends; never backwards.

        A run too small to fill the engine has no steady phase, only fill and tail.
        """
        begin, end = self.ends
        drain = self.drain or end
        marks = [begin, self.full or drain, drain, end]
        for i in range(1, 4):
            marks[i] = marks[i] if marks[i].at_s >= marks[i - 1].at_s else marks[i - 1]
        return [(name, *both) for name, both in zip(PHASES, pairwise(marks), strict=True)]

    def spans(self) -> Iterator[dict[str, str | float]]:
        """Yield the phases that took time, in seconds since the launch, in order."""
        generation = ((name, (a.at_s, b.at_s)) for name, a, b in self.edges())
        after = ("publish", self.publish), ("score", self.score)
        for name, span in (("load", self.load), *generation, *after):
            if length(span) > 0:
                yield {"phase": name, "start_s": span[0], "end_s": span[1]}


def length(span: Span) -> float:
    return span[1] - span[0]


def overlap(spans: Sequence[Span], within: Span) -> float:
    """Return the seconds of `spans`, which don't overlap each other, that are `within` another."""
    begin, end = within
    return sum(max(min(b, end) - max(a, begin), 0.0) for a, b in spans)
