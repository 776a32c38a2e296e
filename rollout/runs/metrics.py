"""Throughput arithmetic: marks and counts in, figures out. Pure: no clock, no file, no engine.

docs/throughput.md defines every figure. Tokens are counted in two places: engines count those
that they sample, also of rows that a death throws away; a run keeps those of finished rows.
"""

from dataclasses import asdict
from functools import cache
from typing import Any

from rollout.engines.base import EngineStats
from rollout.rows.signs import OF_SAMPLES
from rollout.runs.tally import Tally
from rollout.runs.timeline import PHASES, Mark, Timeline, mark, overlap
from rollout.store.counts import Totals


def rate(count: float | None, seconds: float) -> float | None:
    """Return count / seconds, or None if no time passed."""
    return count / seconds if count is not None and seconds > 0 else None


def share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def phases(timeline: Timeline) -> dict[str, dict[str, float | None]]:
    """Return seconds and token rates of fill, steady and tail; a phase that did not occur has 0 s.

    The rates are of the engines: over the time in which any was up, with all tokens they sampled.
    """
    return {
        name: {
            "s": after.at_s - before.at_s,
            **_rates(timeline, before, after, overlap(timeline.reloads, (before.at_s, after.at_s))),
        }
        for name, before, after in timeline.edges()
    }


def _rates(
    timeline: Timeline, before: Mark, after: Mark, idle_s: float = 0.0
) -> dict[str, float | None]:
    """Return the token rates between two marks, without `idle_s` seconds of it.

    None for output tokens of a shared engine: those of rows in flight are not known.
    """
    output = after.stats.num_output_tokens - before.stats.num_output_tokens
    prompt = after.num_prompt_tokens - before.num_prompt_tokens
    seconds = after.at_s - before.at_s - idle_s
    return token_rates(None if timeline.is_shared else output, prompt, seconds)


def token_rates(output: int | None, prompt: int, seconds: float) -> dict[str, float | None]:
    return {
        "output_tokens_per_s": rate(output, seconds),
        "prompt_tokens_per_s": rate(prompt, seconds),
        "total_tokens_per_s": rate(None if output is None else output + prompt, seconds),
    }


def live(
    timeline: Timeline, at_s: float, tally: Tally, stats: EngineStats, before: Mark
) -> dict[str, Any]:
    """Return one line of metrics.jsonl: totals so far, and rates since `before`."""
    rates = _rates(timeline, before, mark(at_s, stats, tally))
    unknown = {"output_tokens_per_s", "total_tokens_per_s"} if timeline.is_shared else set()
    return {
        "elapsed_s": round(at_s, 3),
        "phase": timeline.phase,
        "num_rows": tally.num_rows,
        "num_failed": tally.signs.num_failed,
        "num_samples": tally.num_samples,
        "num_output_tokens": None if timeline.is_shared else stats.num_output_tokens,
        "num_generated_tokens": tally.num_output_tokens,
        "num_prompt_tokens": tally.num_prompt_tokens,
        **{name: None if name in unknown else value or 0.0 for name, value in rates.items()},
        "rows_per_s": rate(tally.num_rows - before.num_rows, at_s - before.at_s) or 0.0,
        "num_running": stats.num_running,
        "num_waiting": stats.num_waiting,
        "kv_cache_usage": stats.kv_cache_usage,
        "prefix_cache_hit_rate": share(stats.num_cached_tokens, stats.num_queried_tokens) or 0.0,
        "num_preemptions": stats.num_preemptions,
        **{f"{sign}_fraction": tally.signs.share(sign) for sign in OF_SAMPLES},
        **(live_gpus(stats) if timeline.num_gpus else {}),
        **live_replicas(stats, before.stats, at_s - before.at_s),
    }


def live_gpus(stats: EngineStats) -> dict[str, float]:
    """Return the state of the engines' GPUs, as far as NVML knows it."""
    known = {
        "gpu_memory_gib": stats.memory_gib,
        "gpu_utilization": stats.gpu_utilization,
        "power_w": stats.power_w,
    }
    return {name: value for name, value in known.items() if value is not None}


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


def summarize(totals: Totals, tally: Tally, timeline: Timeline) -> dict[str, float | None]:
    """Return the numbers of summary.json: counts of the run, times and rates of this attempt.

    See docs/throughput.md. Rates are over the generation, reloads included, and count what is
    kept; those of a phase and `engine_output_tokens_per_s` count what engines sampled while up.
    """
    _, end = timeline.ends
    stats, seconds, split = end.stats, timeline.generate_s, phases(timeline)
    whole = token_rates(tally.num_output_tokens, tally.num_prompt_tokens, seconds)
    sampled = None if timeline.is_shared else stats.num_output_tokens
    return {
        **_of_totals(totals),
        "num_generated_rows": tally.num_rows,
        "num_generated_samples": tally.num_samples,
        "num_generated_tokens": tally.num_output_tokens,
        "num_sampled_tokens": sampled,
        "num_discarded_tokens": None if sampled is None else discarded(sampled, tally),
        "load_s": timeline.load_s,
        "generate_s": seconds,
        "reload_s": timeline.reload_s,
        **{f"{name}_s": split[name]["s"] for name in PHASES},
        "publish_s": timeline.publish_s,
        "score_s": timeline.score_s,
        **whole,
        "engine_output_tokens_per_s": rate(sampled, seconds - timeline.reload_s),
        **{f"{name}_output_tokens_per_s": split[name]["output_tokens_per_s"] for name in PHASES},
        "requests_per_s": rate(tally.num_rows - tally.signs.num_failed, seconds),
        "samples_per_s": rate(tally.num_drawn, seconds),
        "prefix_cache_hit_rate": share(stats.num_cached_tokens, stats.num_queried_tokens),
        "kv_cache_usage_peak": stats.kv_cache_usage_peak,
        "num_preemptions": stats.num_preemptions,
        "num_steps": stats.num_steps,
        "peak_memory_gib": timeline.peak_memory_gib,
        **_of_gpus(tally, timeline, whole),
    }


@cache
def number_names() -> tuple[str, ...]:
    """Return the names of the numbers of summary.json."""
    return tuple(summarize(Totals(), Tally(), Timeline()))


def _of_totals(totals: Totals) -> dict[str, float | None]:
    num_samples = totals.num_samples
    return {
        **asdict(totals),
        "truncated_fraction": share(totals.num_truncated, num_samples),
        "empty_fraction": share(totals.num_empty, num_samples),
        "distinct_fraction": share(totals.num_distinct, num_samples),
        "unclosed_fraction": share(totals.num_unclosed, num_samples),
        "repetitive_fraction": share(totals.num_repetitive, num_samples),
        "mean_response_tokens": share(totals.num_output_tokens, num_samples),
    }


def discarded(num_sampled: int, tally: Tally) -> int:
    """Return the tokens that were sampled and not kept.

    Not below 0: a replica on a lost node has not reported its last tokens, and its finished rows
    may be kept.
    """
    return max(num_sampled - tally.num_output_tokens, 0)


def _of_gpus(
    tally: Tally, timeline: Timeline, whole: dict[str, float | None]
) -> dict[str, float | None]:
    """Return the figures per GPU, and those of the GPUs' energy during the generation."""
    gpus, per_gpu_s = timeline.num_gpus, share(whole["output_tokens_per_s"], timeline.num_gpus)
    held_s = timeline.load_s + timeline.generate_s
    begin, end = timeline.ends
    energies = begin.stats.energy_j, end.stats.energy_j
    is_known = gpus and not timeline.is_shared and None not in energies
    energy_j = energies[1] - energies[0] if is_known else None
    return {
        "num_gpus": gpus,
        **{f"{name}_per_gpu": share(value, gpus) for name, value in whole.items()},
        "output_tokens_per_gpu_hour": None if per_gpu_s is None else 3600 * per_gpu_s,
        "gpu_hours": gpus * held_s / 3600 if gpus else None,
        "energy_j": energy_j,
        "output_tokens_per_j": share(tally.num_output_tokens, energy_j),
    }
