"""Throughput arithmetic: marks in, figures out. Pure: no clock, no file, no engine.

Marks split a run's time into load (until the engine is up), fill (until it first runs as many
samples as it can, its slow first steps included), steady (until less than a full batch is left
and no prompt waits), tail (the rest) and publish. Steady rates describe the engine; rates over
generation (fill + steady + tail) describe the run.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from operator import iadd
from typing import Any

from rollout.engines.base import EngineStats
from rollout.rows.reasoning import TAGS
from rollout.rows.result import Result
from rollout.rows.signs import SIGNS, Signs, signs_of
from rollout.store.counts import Totals

PHASES = ("fill", "steady", "tail")


@dataclass(slots=True)
class Tally:
    """Counts of the results that this attempt finished so far."""

    num_rows: int = 0
    num_failed: int = 0
    num_samples: int = 0
    num_drawn: int = 0  # samples without the copies of greedy ones
    num_output_tokens: int = 0
    num_prompt_tokens: int = 0  # of finished rows, each prompt once
    num_begun: int = 0  # rows: finished ones and those in the engine
    signs: Signs = field(default_factory=Signs)  # of finished rows

    @property
    def signs_so_far(self) -> Signs:
        """The signs, among all rows begun: one that can't be sent fails before others finish."""
        return replace(self.signs, num_rows=max(self.num_begun, self.signs.num_rows))

    def add(self, result: Result, tags: Sequence[str] = TAGS) -> None:
        self.num_rows += 1
        self.num_failed += result.error is not None
        self.num_samples += result.num_new_samples
        self.num_drawn += (
            min(result.num_new_samples, 1) if result.repeats else result.num_new_samples
        )
        self.num_output_tokens += result.num_new_tokens
        self.num_prompt_tokens += result.num_prompt_tokens or 0
        self.signs += signs_of(result, tags)

    def join(self, other: "Tally") -> None:
        for f in fields(self):
            setattr(self, f.name, iadd(getattr(self, f.name), getattr(other, f.name)))


@dataclass(slots=True)
class Mark:
    """A moment: seconds since the launch, and the counters at that time."""

    at_s: float
    stats: EngineStats
    num_rows: int = 0
    num_prompt_tokens: int = 0


@dataclass(slots=True)
class Timeline:
    """The marks of one attempt; `begin` is the first submission."""

    load_s: float = 0.0
    begin: Mark | None = None
    full: Mark | None = None
    drain: Mark | None = None
    end: Mark | None = None
    publish_s: float = 0.0
    peak_memory_gib: float | None = None  # highest machine.memory_in_use_gib
    max_num_seqs: int = 1
    num_gpus: int = 0
    _last_running: int = 0

    @property
    def ends(self) -> tuple[Mark, Mark]:
        """First and last mark of the generation; equal if no engine was needed."""
        nothing = Mark(0.0, EngineStats())
        return self.begin or nothing, self.end or self.begin or nothing

    def observe(self, at_s: float, stats: EngineStats, tally: Tally, source_dry: bool) -> None:
        """Set the `full` and `drain` marks the first time their conditions hold.

        Full: nine tenths of max_num_seqs run, or none was admitted although some wait (the KV
        cache is full). Draining: nothing is left to submit and less than a batch is unfinished.
        """
        if self.full is None:
            stuck = stats.num_waiting > 0 and stats.num_running <= self._last_running
            if stuck or stats.num_running >= 0.9 * self.max_num_seqs:
                self.full = mark(at_s, stats, tally)
            self._last_running = stats.num_running
        if self.drain is None and source_dry:
            if stats.num_running + stats.num_waiting < self.max_num_seqs:
                self.drain = mark(at_s, stats, tally)


def mark(at_s: float, stats: EngineStats, tally: Tally) -> Mark:
    return Mark(at_s, replace(stats), tally.num_rows, tally.num_prompt_tokens)


def rate(count: float, seconds: float) -> float | None:
    """Return count / seconds, or None if no time passed."""
    return count / seconds if seconds > 0 else None


def share(part: float | None, whole: float) -> float | None:
    return part / whole if part is not None and whole else None


def phases(timeline: Timeline) -> dict[str, dict[str, float | None]]:
    """Return seconds and token rates of fill, steady and tail; a phase that did not occur has 0 s.

    A run too small to fill the engine has no steady phase, only fill and tail.
    """
    begin, end = timeline.ends
    drain = timeline.drain or end
    full = timeline.full or drain
    edges = [begin, full, drain, end]
    for i in range(1, 4):  # never backwards
        edges[i] = edges[i] if edges[i].at_s >= edges[i - 1].at_s else edges[i - 1]
    return {
        name: _rates(before, after)
        for name, before, after in zip(PHASES, edges, edges[1:], strict=False)
    }


def _rates(before: Mark, after: Mark) -> dict[str, float | None]:
    seconds = after.at_s - before.at_s
    output = after.stats.num_output_tokens - before.stats.num_output_tokens
    prompt = after.num_prompt_tokens - before.num_prompt_tokens
    return {
        "s": seconds,
        "output_tokens_per_s": rate(output, seconds),
        "prompt_tokens_per_s": rate(prompt, seconds),
        "total_tokens_per_s": rate(output + prompt, seconds),
    }


def live(at_s: float, tally: Tally, stats: EngineStats, before: Mark) -> dict[str, float | int]:
    """Return one line of metrics.jsonl: totals so far, and rates since `before`."""
    rates = _rates(before, mark(at_s, stats, tally))
    return {
        "elapsed_s": round(at_s, 3),
        "num_rows": tally.num_rows,
        "num_failed": tally.num_failed,
        "num_samples": tally.num_samples,
        "num_output_tokens": stats.num_output_tokens,
        "num_prompt_tokens": tally.num_prompt_tokens,
        **{name: value or 0.0 for name, value in rates.items() if name != "s"},
        "rows_per_s": rate(tally.num_rows - before.num_rows, at_s - before.at_s) or 0.0,
        "num_running": stats.num_running,
        "num_waiting": stats.num_waiting,
        "kv_cache_usage": stats.kv_cache_usage,
        "prefix_cache_hit_rate": share(stats.num_cached_tokens, stats.num_queried_tokens) or 0.0,
        "num_preemptions": stats.num_preemptions,
        **{f"{sign}_fraction": tally.signs.share(sign) for sign in SIGNS if sign != "failed"},
        **live_replicas(stats, before.stats, at_s - before.at_s),
    }


def of_replicas(timeline: Timeline) -> dict[str, Any]:
    """Return what each replica did in this attempt; nothing of an engine in this process.

    `balance` is the slowest replica's output tokens per second while it was up, as a share of the
    fastest's: 1 if all were equally busy. Replicas that finished no row don't count; None if less
    than two did.
    """
    _, end = timeline.ends
    if not end.stats.replicas:
        return {}
    each = [
        {"replica": r.number, **{k: v for k, v in asdict(r).items() if k != "number"},
         "output_tokens_per_s": r.output_tokens_per_s}
        for r in end.stats.replicas
    ]  # fmt: skip
    rates = [r.output_tokens_per_s for r in end.stats.replicas if r.num_rows and r.up_s > 0]
    rates = rates if len(rates) > 1 else []
    return {"replicas": each, "balance": share(min(rates, default=None), max(rates, default=0))}


def live_replicas(stats: EngineStats, before: EngineStats, seconds: float) -> dict[str, float]:
    """Return the rates of the replicas since `before`, for a line of metrics.jsonl."""
    if not stats.replicas:
        return {}
    known = {replica.number: replica for replica in before.replicas}
    rates = {
        f"replica_{r.number}_output_tokens_per_s": rate(
            r.since(known.get(r.number)).num_output_tokens, seconds
        )
        or 0.0
        for r in stats.replicas
    }
    return {"num_replicas": sum(r.is_up for r in stats.replicas), **rates}


def summarize(totals: Totals, tally: Tally, timeline: Timeline) -> dict:
    """Return the figures of summary.json: counts of the run, times and rates of this attempt.

    Rates are over the generation (fill + steady + tail). Output tokens are counted by the engine
    as it samples them, prompt tokens once per row; a request is a row.
    """
    begin, end = timeline.ends
    whole = _rates(begin, end)
    seconds = whole.pop("s")
    gpus = timeline.num_gpus
    stats = end.stats
    split = phases(timeline)
    return {
        **asdict(totals),
        "truncated_fraction": share(totals.num_truncated, totals.num_samples),
        "empty_fraction": share(totals.num_empty, totals.num_samples),
        "distinct_fraction": share(totals.num_distinct, totals.num_samples),
        "unclosed_fraction": share(totals.num_unclosed, totals.num_samples),
        "repetitive_fraction": share(totals.num_repetitive, totals.num_samples),
        "mean_response_tokens": share(totals.num_output_tokens, totals.num_samples),
        "num_generated_rows": tally.num_rows,
        "num_generated_samples": tally.num_samples,
        "num_generated_tokens": tally.num_output_tokens,
        "load_s": timeline.load_s,
        "generate_s": seconds,
        **{f"{name}_s": split[name]["s"] for name in PHASES},
        "publish_s": timeline.publish_s,
        **whole,
        "output_tokens_per_s_per_gpu": share(whole["output_tokens_per_s"], gpus),
        "steady_output_tokens_per_s": split["steady"]["output_tokens_per_s"],
        "tail_output_tokens_per_s": split["tail"]["output_tokens_per_s"],
        "requests_per_s": rate(tally.num_rows - tally.num_failed, seconds or 0.0),
        "samples_per_s": rate(tally.num_samples, seconds or 0.0),
        "prefix_cache_hit_rate": share(stats.num_cached_tokens, stats.num_queried_tokens),
        "kv_cache_usage_peak": stats.kv_cache_usage_peak,
        "num_preemptions": stats.num_preemptions,
        "num_steps": stats.num_steps,
        "num_gpus": gpus,
        "peak_memory_gib": timeline.peak_memory_gib,
    }
