"""The speed of a run: its headline figure, further figures, and a line for each replica. Pure.

docs/throughput.md defines the figures. Must not know how they were measured.
"""

from collections.abc import Mapping
from typing import Any

from rollout.report.page import Block, Facts, Figure, Table, TableColumn, TableRow
from rollout.report.recorded import number_in
from rollout.report.run.records import AttemptRecords, RunRecords
from rollout.report.run.so_far import generated_s, kept_rate, sampled_rate
from rollout.report.run.times import RATES, phase_rate, seconds_text
from rollout.system.terminal import rate_text

NOT_KNOWN = "not known"
FIRST_LOST = (
    "the first line of metrics.jsonl is missing or damaged, and only it tells when the generation"
)
NAMES = {  # figure -> its name and how it is written; empty: as a rate
    "steady_output_tokens_per_s": ("steady output tokens/s", ""),
    "engine_output_tokens_per_s": ("output tokens/s that engines sampled while up", ""),
    "prompt_tokens_per_s": ("prompt tokens/s", ""),
    "requests_per_s": ("rows/s", ",.2f"),
    "output_tokens_per_s_per_gpu": ("output tokens/s per GPU", ""),
    "output_tokens_per_gpu_hour": ("output tokens per GPU-hour", ",.0f"),
    "gpu_hours": ("GPU-hours, loading included", ",.3f"),
    "energy_j": ("energy of the GPUs, in J", ",.0f"),
    "output_tokens_per_j": ("output tokens per J", ",.2f"),
    "peak_memory_gib": ("peak memory, in GiB", ",.1f"),
    "kv_cache_usage_peak": ("peak KV cache use", ".1%"),
    "prefix_cache_hit_rate": ("prefix cache hit rate", ".1%"),
    "num_preemptions": ("preemptions", ",.0f"),
    "num_engine_restarts": ("engine restarts", ",.0f"),
    "num_discarded_tokens": ("tokens sampled and thrown away", ",.0f"),
}


def speed_figure(records: RunRecords) -> Figure:
    """Return the output tokens per second of the last launch that measured them, and of when."""
    label, attempt = "output tokens/s", records.measured
    if attempt is None:
        return Figure(NOT_KNOWN, label, "nothing was measured yet")
    which = f" of attempt {attempt.number}" if len(records.attempts) > 1 else ""
    if (rate := number_in(attempt.summary, "output_tokens_per_s")) is not None:
        return Figure(rate_text(rate), label, _note(attempt.summary, which))
    seconds, sampled = generated_s(attempt), sampled_rate(attempt) if attempt.lines else None
    drawn = "" if sampled is None else f"; sampled, unfinished rows included: {rate_text(sampled)}"
    if seconds is None:
        return Figure(NOT_KNOWN, label, f"{FIRST_LOST}{which} began{drawn}")
    if not seconds:
        return Figure(NOT_KNOWN, label, f"nothing was measured{which} yet")
    over = f"over the first {seconds_text(seconds)} of the generation{which}, as far as it got"
    if (kept := kept_rate(attempt)) is None:
        is_known = number_in(attempt.lines[-1], "num_generated_tokens") is not None
        none = "no row was finished" if is_known else "kept tokens are not recorded"
        return Figure(NOT_KNOWN, label, f"{none} {over}{drawn}")
    return Figure(rate_text(kept), label, f"kept tokens, {over}{drawn}")


def _note(summary: Mapping[str, Any], which: str) -> str:
    over = number_in(summary, "generate_s")
    spent = "" if over is None else f" ({seconds_text(over)})"
    note = f"over the generation{which}{spent}, without load and publishing"
    if (steady := phase_rate(summary, "steady")) is not None:
        note += f"; steady {rate_text(steady)}"
    if (per_gpu := number_in(summary, "output_tokens_per_s_per_gpu")) is not None:
        note += f"; {rate_text(per_gpu)} per GPU"
    if (shared := number_in(summary, "num_sharing") or 1) > 1:
        note += f"; {shared:.0f} runs shared the engine"
    return note


def speed_blocks(attempt: AttemptRecords) -> list[Block]:
    """Return the figures of a launch's summary that are known, and its replicas."""
    facts = [
        (name, format(value, style) if style else rate_text(value))
        for key, (name, style) in NAMES.items()
        if (value := _known(attempt.summary, key)) is not None
    ]
    replicas = _replica_table(attempt.summary)
    return [*([Facts(facts)] if facts else []), *([replicas] if replicas else [])]


def _known(summary: Mapping[str, Any], key: str) -> float | None:
    phase = next((name for name, rate in RATES.items() if rate == key), None)
    return phase_rate(summary, phase) if phase else number_in(summary, key)


def _replica_table(summary: Mapping[str, Any]) -> Table | None:
    """Return a line for each of several replicas; None without."""
    found = summary.get("replicas")
    replicas = [r for r in found if isinstance(r, dict)] if isinstance(found, list) else []
    if len(replicas) < 2:
        return None
    keys = ("replica", "num_rows", "output_tokens_per_s", "up_s", "num_restarts")
    labels = ("replica", "rows", "output tokens/s", "up for", "restarts")
    columns = [TableColumn(label, True) for label in labels]
    columns.insert(1, TableColumn("on"))
    rows = []
    for replica in replicas:
        values = [number_in(replica, key) for key in keys]
        cells = ["" if value is None else f"{value:,.0f}" for value in values]
        cells[2] = "" if values[2] is None else rate_text(values[2])
        cells[3] = "" if values[3] is None else seconds_text(values[3])
        where = str(replica.get("where") or "was never up")
        rows.append(TableRow([cells[0], where, *cells[1:]], [values[0], where, *values[1:]]))
    balance = number_in(summary, "balance")
    note = "" if balance is None else f"Balance, the slowest over the fastest: {balance:.2f}."
    return Table(columns, rows, note=note)
