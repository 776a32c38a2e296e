"""The top of a run's page: its title, what was run, the verdict and five figures. Pure."""

from typing import Any

from rollout.report.page import Figure
from rollout.report.run.records import RunRecords
from rollout.report.run.rows import RowStatistics
from rollout.report.run.speed import NOT_KNOWN, speed_figure
from rollout.report.run.times import started_at, took
from rollout.report.values import short_model
from rollout.runs.state import COMPLETE, FAILED, RESUMABLE, RUNNING, RunState
from rollout.system.terminal import counted, share_text

STYLES = {COMPLETE: "good", RUNNING: "neutral", RESUMABLE: "warning", FAILED: "bad"}
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "seed")


def title_of(records: RunRecords) -> str:
    """Return the model's and the run's name."""
    name = records.run_dir.resolve().name
    return f"{short_model(model_of(records))} · {name}" if model_of(records) else name


def model_of(records: RunRecords) -> str:
    """Return the model as typed; of the scripted engine, that; empty if unknown."""
    if records.setting("engine.backend") == "scripted":
        return "scripted engine"
    found = records.summary.get("model") or records.setting("model.model_path")
    return found if isinstance(found, str) else ""


def subtitle_of(records: RunRecords, state: RunState) -> list[str]:
    """Return the lines under the title: model, data and sampling, when and where."""
    lines = [_model_line(records), _data_line(records, state), _when_line(records)]
    return [line for line in [*lines, f"in {records.run_dir}"] if line]


def _model_line(records: RunRecords) -> str:
    if records.setting("engine.backend") == "scripted":  # the title says so
        return ""
    parts = [model_of(records)]
    parts += [str(v) for k in ("dtype", "quantization") if (v := records.setting(f"engine.{k}"))]
    if lora := records.setting("model.lora_path"):
        parts.append(f"adapter {lora}")
    engine = records.engine
    if engine.get("name") and engine.get("name") != "scripted":
        parts.append(f"{engine['name']} {engine.get('version', '')}".rstrip())
    return ", ".join(part for part in parts if part)


def _data_line(records: RunRecords, state: RunState) -> str:
    source = records.summary.get("input") or records.setting("data.input")
    source = source or records.setting("prepare.source") or ""
    rows = "" if state.num_rows is None else f": {counted(state.num_rows, 'row')}"
    values = [("n", records.setting("sampling.n_samples"))]
    values += [(name, records.setting(f"sampling.{name}")) for name in SAMPLING]
    shown = ", ".join(
        f"{name} {_plain(value)}" for name, value in values if value not in (None, -1)
    )
    return f"{source}{rows}; {shown}" if shown else f"{source}{rows}"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _when_line(records: RunRecords) -> str:
    first = records.attempts[0] if records.attempts else None
    started = started_at(first) if first else ""
    parts = [f"started {started}"] if started else []
    parts += [f"took {time}"] if (time := took(records)) else []
    environment = records.last.environment if records.last else {}
    machine, host = environment.get("machine"), environment.get("host")
    if machine:
        parts.append(f"machine: {machine}" + (f", host {host}" if host else ""))
    return ", ".join(parts)


def verdict_of(state: RunState, statistics: RowStatistics) -> tuple[str, str]:
    """Return the verdict as a sentence, and its style."""
    if state.name == COMPLETE:
        counts = counted(state.num_rows, "row")
        if _has_all(state, statistics):
            counts += f", {counted(statistics.num_samples, 'sample')}"
        text = f"{COMPLETE}: {counts}" + (f"; {state.detail}" if state.detail else "")
        return text, "warning" if state.num_failed else STYLES[COMPLETE]
    counts = _progress(state)
    parts = [counts, state.detail] if state.name != FAILED else [state.detail, counts]
    return f"{state.name}: " + "; ".join(p for p in parts if p), STYLES.get(state.name, "warning")


def _has_all(state: RunState, statistics: RowStatistics) -> bool:
    """Return whether every row of a complete run could be read; failed ones may be left out."""
    return state.num_rows - statistics.num_rows in (0, state.num_failed)


def _progress(state: RunState) -> str:
    if state.num_done is None:
        return ""
    whole = NOT_KNOWN if state.num_rows is None else f"{state.num_rows:,}"
    failed = f", {state.num_failed:,} of them failed" if state.num_failed else ""
    return f"{state.num_done:,} of {whole} rows finished{failed}"


def figures_of(
    records: RunRecords, state: RunState, statistics: RowStatistics, score: Figure | None
) -> list[Figure]:
    """Return the five figures; `score` replaces the last one where the run was scored."""
    return [
        speed_figure(records),
        _samples(records, state, statistics),
        _truncated(records, statistics),
        _length(statistics),
        score or _distinct(records, statistics) or _failed(statistics),
    ]


def _samples(records: RunRecords, state: RunState, statistics: RowStatistics) -> Figure:
    n = records.setting("sampling.n_samples")
    whole = f" of {state.num_rows:,}" if state.num_rows not in (None, statistics.num_rows) else ""
    each = f", n={n}" if isinstance(n, int) else ""
    note = f"{statistics.num_rows:,}{whole} rows{each}"
    if statistics.num_failed:
        note += f"; {counted(statistics.num_failed, 'row')} failed"
    if state.name == COMPLETE and not _has_all(state, statistics):
        return Figure(NOT_KNOWN, "samples", f"{statistics.num_samples:,} could be read: {note}")
    return Figure(f"{statistics.num_samples:,}", "samples", note)


def _truncated(records: RunRecords, statistics: RowStatistics) -> Figure:
    num, whole, label = statistics.num_truncated, statistics.num_samples, "truncated"
    if num is None or not whole:
        return Figure(NOT_KNOWN, label, "" if whole else "no samples")
    limit = records.setting("sampling.max_tokens")
    reached = isinstance(limit, int) and (statistics.length_at(100) or 0) >= limit
    at = f"max_tokens={limit} or the context" if reached else "max_tokens or the context"
    return Figure(
        share_text(num / whole), label, f"{num:,} of {whole:,} samples were cut off by {at}"
    )


def _length(statistics: RowStatistics) -> Figure:
    mean, label = statistics.mean_length, "mean response tokens"
    if mean is None:
        return Figure(NOT_KNOWN, label, "" if statistics.num_samples else "no samples")
    ends = {"p95": statistics.length_at(95), "longest": statistics.length_at(100)}
    note = ", ".join(f"{name} {length:,}" for name, length in ends.items() if length is not None)
    return Figure(f"{mean:,.0f}" if mean >= 100 else f"{mean:.1f}", label, note)


def _distinct(records: RunRecords, statistics: RowStatistics) -> Figure | None:
    """Return the share of different responses; None if a prompt has only one."""
    num, whole = statistics.num_distinct, statistics.num_samples
    if records.setting("sampling.n_samples") == 1:
        return None
    if num is None or not whole:
        return Figure(NOT_KNOWN, "distinct", "" if whole else "no samples")
    note = f"{whole - num:,} of {whole:,} samples are equal to an earlier one of their prompt"
    return Figure(share_text(num / whole), "distinct", note)


def _failed(statistics: RowStatistics) -> Figure:
    num, whole = statistics.num_failed, statistics.num_rows
    if not whole:
        return Figure(NOT_KNOWN, "failed rows", "no rows")
    return Figure(share_text(num / whole), "failed rows", f"{num:,} of {whole:,} rows")
