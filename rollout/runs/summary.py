"""The result of a run as text: summary, table, and how to resume.

Must not know about engines, clocks.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollout.config.sections.data import OnError
from rollout.config.settings import Settings
from rollout.postprocess.export.score_texts import score_text
from rollout.rows.signs import WORDS
from rollout.runs.command import resume_command
from rollout.runs.display import percent
from rollout.runs.job import Job
from rollout.runs.preview import NUM_PREVIEW_ROWS
from rollout.runs.standing import Standing
from rollout.runs.summary_record import summary_record
from rollout.runs.tracking.names import upload_command
from rollout.store.counts import Totals
from rollout.system.console import Console
from rollout.system.terminal import counted, duration, rate_text

MAX_REPLICA_LINES = 16
MOSTLY = 0.5  # share of repeats above which a note is printed


@dataclass(slots=True)
class Summary:
    """The result of a run. `figures` holds the throughput (see metrics.summarize)."""

    run_dir: Path
    output_path: Path
    num_rows: int = 0
    num_failed: int = 0
    num_samples: int = 0
    figures: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def exit_code(self) -> int:
        """1 if not a single row was answered, or not a single response could be judged."""
        nothing_judged = (self.figures.get("scores") or {}).get("num_judged") == 0
        return int(nothing_judged or (self.num_rows > 0 and self.num_failed == self.num_rows))


def num_preview_rows(settings: Settings) -> int:
    return max(NUM_PREVIEW_ROWS, settings.tracking.num_table_rows)


def how_to_resume(job: Job, standing: Standing, num_more: int = 0) -> str:
    """Return what is on disk and the command that resumes, for a run that ends early."""
    num_done = standing.num_rows - standing.num_owed + num_more
    return (
        f"{num_done:,} of {standing.num_rows:,} rows are finished and on disk in {job.run_dir}; "
        f"to resume: {resume_command(job.argv, job)}"
    )


def summary_of(job: Job, totals: Totals, figures: dict[str, Any]) -> Summary:
    counts = totals.num_rows, totals.num_failed, totals.num_samples
    return Summary(job.run_dir, job.output_path, *counts, figures)


def finished_before(job: Job, totals: Totals, console: Console) -> Summary:
    """Report a run that is published and owes nothing."""
    failed = f", {totals.num_failed:,} of them failed" if totals.num_failed else ""
    text = (
        f"finished already: {counted(totals.num_rows, 'row')}{failed}, "
        f"{counted(totals.num_samples, 'sample')}; "
        "nothing is owed, no engine was started\n"
        f"output  {job.output_path}\nrun     {job.run_dir}"
    )
    figures = (summary_record(job.run_dir) or {}) | {"output_path": str(job.output_path)}
    if (scores := figures.get("scores")) and job.places.scoring:  # the run may have moved
        scores = scores | {"path": str(job.places.scoring.scored.path)}
        figures["scores"] = scores
        known = [f"{k} {score_text(v)}" for k, v in scores.items() if isinstance(v, float)]
        text += f"\nscored  {scores['path']}: {', '.join(known)}"
    console.summary(text, figures | {"run_dir": str(job.run_dir)})
    if totals.num_failed and not job.settings.retry_failed:
        console.note(
            f"note: {counted(totals.num_failed, 'row')} failed; type retry_failed=true to retry "
            f"{'it' if totals.num_failed == 1 else 'them'}"
        )
    if job.settings.tracking.artifact:
        upload = upload_command(job.settings, job.run_dir.name, job.output_path)
        console.note(f"note: a finished run sends nothing to wandb; to upload its output: {upload}")
    return summary_of(job, totals, figures)


def closing_lines(figures: dict[str, Any], job: Job) -> str:
    """Return the last lines of a run: counts, speed, warnings and places."""

    def rate(key: str) -> str:
        return "n/a" if figures[key] is None else rate_text(figures[key])

    failed = figures["num_failed"]
    counts = ", ".join(counted(figures[f"num_{noun}s"], noun) for noun in ("row", "sample"))
    num_of_attempt = figures["num_generated_samples"]
    if figures["num_generated_rows"] and num_of_attempt != figures["num_samples"]:
        own = f"{num_of_attempt:,}" if num_of_attempt else "none"
        counts += f" ({own} of them in this attempt)"
    speed = (
        f" in {duration(figures['generate_s'])} after a load of {duration(figures['load_s'])}: "
        f"{rate('output_tokens_per_s')} output tokens/s, "
        f"{rate('total_tokens_per_s')} total tokens/s"
    )
    parts = [counts + speed if figures["num_generated_rows"] else f"{counts}, published again"]
    if figures["truncated_fraction"]:
        parts.append(f"{percent(figures['truncated_fraction'])} truncated at max_tokens")
    if figures["empty_fraction"]:
        parts.append(f"{percent(figures['empty_fraction'])} empty")
    for sign in ("unclosed", "repetitive"):
        if share := figures[f"{sign}_fraction"]:
            parts.append(f"{percent(share)} {WORDS[sign]}")
    if failed:
        kept = "left out" if job.settings.data.on_error is OnError.skip else "see column error"
        parts.append(f"{counted(failed, 'row')} failed ({kept})")
    alarm = duplicate_alarm(figures, job.settings)
    return "\n".join(
        (
            "; ".join(parts),
            *([alarm] if alarm else []),
            f"output  {job.output_path}",
            f"run     {job.run_dir}",
        )
    )


def replica_lines(replicas: list[dict[str, Any]], balance: float | None) -> str:
    """Return a line for each replica, or for the slowest and fastest of many."""

    def line(replica: dict[str, Any]) -> str:
        rate, restarts = replica["output_tokens_per_s"], replica["num_restarts"]
        speed = "n/a" if rate is None else rate_text(rate)
        more = f", {restarts} restart{'s' * (restarts != 1)}" if restarts else ""
        if not replica["where"]:
            return f"  replica {replica['replica']}: was never up{more}"
        more += "" if replica["is_up"] else ", not up at the end"
        return (
            f"  replica {replica['replica']} on {replica['where']}: "
            f"{replica['num_rows']:,} rows, {speed} output tokens/s{more}"
        )

    head = f"{len(replicas)} replica{'s' * (len(replicas) != 1)}"
    if len(replicas) > 1:
        head += f", balance {'n/a' if balance is None else f'{balance:.2f}'}"
    if len(replicas) > MAX_REPLICA_LINES:
        by_rate = sorted(replicas, key=lambda r: r["output_tokens_per_s"] or 0.0)
        half = MAX_REPLICA_LINES // 2
        head += f"; the {half} slowest and the {half} fastest:"
        replicas = [*by_rate[:half], *by_rate[-half:]]
    return "\n".join([head, *map(line, replicas)])


def duplicate_alarm(figures: dict[str, Any], settings: Settings) -> str | None:
    """Return a note if most samples that could repeat an earlier one of their prompt do.

    Not for a run with rows of their own temperature: greedy ones always repeat.
    """
    sampling = settings.sampling
    num_samples, num_distinct = figures["num_samples"], figures["num_distinct"]
    num_rows = figures["num_sampled_rows"]
    num_free = num_samples - num_rows  # the first sample of each prompt repeats none
    is_greedy = sampling.temperature == 0 or settings.data.sampling_key is not None
    if num_distinct is None or num_free <= 0 or is_greedy:
        return None
    if (share := (num_samples - num_distinct) / num_free) <= MOSTLY:
        return None
    heat = "the model's own" if sampling.temperature is None else f"{sampling.temperature:g}"
    return (
        f"note: {share:.0%} of the samples after a prompt's first repeat an earlier one, at "
        f"temperature {heat}; this is normal for answers of a word or two, otherwise raise "
        "sampling.temperature, or widen sampling.top_p and top_k"
    )
