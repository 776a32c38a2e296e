"""Everything said about a run while it goes and at its end: bar, metrics.jsonl, tracker, summary.

Owns the clock of a run. Knows no engine beyond its facts and counters.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollout import config, metrics, tracking
from rollout.config import Device, OnError, Settings, Template
from rollout.console import Console, duration, eta
from rollout.disk import read_json, write_json
from rollout.engines.base import Engine, EngineFacts, EngineStats
from rollout.errors import EngineError
from rollout.job import Job
from rollout.prompts import Prompts
from rollout.records import Result
from rollout.resume import Standing, resume_command
from rollout.survival import Engines

NUM_PREVIEW_ROWS = 8
LOOK_S = 0.1  # between two looks at the engine's counters


@dataclass(slots=True)
class Summary:
    """What a run came to. `figures` holds the throughput (see metrics.summarize)."""

    run_dir: Path
    output_path: Path
    num_rows: int = 0
    num_failed: int = 0
    num_samples: int = 0
    figures: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def exit_code(self) -> int:
        """1 where not a single row could be answered."""
        return int(self.num_rows > 0 and self.num_failed == self.num_rows)


class Clock:
    """Seconds since the launch."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def now(self) -> float:
        return time.monotonic() - self._start


class Report:
    """Everything said about a run while it goes: bar, metrics.jsonl, tracker, summary."""

    def __init__(
        self,
        job: Job,
        console: Console,
        tracker: tracking.Tracker,
        clock: Clock,
        standing: Standing,
        attempt_dir: Path,
    ):
        self._job, self._console, self._tracker, self._clock = job, console, tracker, clock
        self._standing, self._attempt_dir = standing, attempt_dir
        self._tally = metrics.Tally()
        self._timeline = metrics.Timeline()
        self._facts: EngineFacts | None = None
        self._tokens_per_s = 0.0
        self._looked_at = 0.0
        self._num_restarts = 0

    def engine_is_up(self, engine: Engine, load_s: float) -> None:
        """The first engine of the attempt, or one in place of a dead one."""
        facts = engine.facts
        is_first, self._facts = self._facts is None, facts
        self._timeline.load_s += load_s
        self._console.note(
            f"{facts.name} {facts.version} is up after {duration(load_s)}: "
            f"max_num_seqs={facts.max_num_seqs} max_model_len={facts.max_model_len}"
        )
        if not is_first:
            return
        self._timeline.max_num_seqs = facts.max_num_seqs
        self._timeline.num_gpus = facts.num_gpus
        values = " ".join(f"{k}={v}" for k, v in facts.sampling.items())
        notes = f" ({'; '.join(facts.sampling_notes)})" if facts.sampling_notes else ""
        self._console.note(f"sampling: {values}{notes}")
        for hint in hints(self._job, facts):
            self._console.note(f"note: {hint}")

    def engine_died(self, death: EngineError, what: str) -> None:
        self._num_restarts += 1
        self._console.note(f"{death}; loading it again: {what}")

    @contextlib.contextmanager
    def progress(self, engines: Engines) -> Iterator[None]:
        self._engines = engines
        stats = engines.stats()
        self._last = self._timeline.begin = metrics.mark(self._clock.now(), stats, self._tally)
        with (
            (self._attempt_dir / "metrics.jsonl").open("a", buffering=1) as self._metrics_file,
            self._console.progress() as self._bar,
        ):
            yield
            self._write_metrics(self._clock.now())
            self._show(self._clock.now(), engines.stats())
        end = metrics.mark(self._clock.now(), engines.stats(), self._tally)
        self._timeline.end = end

    def turn(self, finished: list[Result], source_dry: bool) -> None:
        for result in finished:
            self._tally.add(result)
        now = self._clock.now()
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at, stats = now, self._engines.stats()
        self._timeline.observe(now, stats, self._tally, source_dry)
        if now - self._last.at_s >= self._job.settings.tracking.interval_s:
            self._write_metrics(now)
        self._show(now, stats)

    def _show(self, now: float, stats: EngineStats) -> None:
        """Move the bar."""
        standing, num_owed = self._standing, self._standing.num_owed
        elapsed_s = now - self._timeline.begin.at_s
        n, max_tokens = standing.samples_per_owed_row, self._job.settings.sampling.max_tokens
        fraction, left_s = metrics.outlook(self._tally, stats, elapsed_s, num_owed, n, max_tokens)
        recent = self._tokens_per_s or stats.num_output_tokens / max(elapsed_s, 0.1)
        num_samples = self._job.settings.sampling.n_samples
        text = f"{self._rows_done()} rows x {num_samples}  {recent:,.0f} tokens/s"
        num_done = standing.num_rows - num_owed
        self._now = (num_done + fraction * num_owed) / standing.num_rows, left_s, text
        self._bar.update(*self._now)

    def _rows_done(self) -> str:
        standing = self._standing
        num_done = standing.num_rows - standing.num_owed + self._tally.num_rows
        return f"{num_done:,}/{standing.num_rows:,}"

    def tell(self) -> None:
        """Say how far it is, for SIGUSR1."""
        now = duration(self._clock.now())
        if not hasattr(self, "_now"):
            self._console.note(f"after {now}: {self._rows_done()} rows; the engine is loading")
            return
        fraction, left_s, text = self._now
        self._console.note(f"after {now}: {fraction:.0%}  {text}  {eta(left_s)}")

    def _write_metrics(self, now: float) -> None:
        stats, tally = self._engines.stats(), self._tally
        line = metrics.live(now, tally, stats, self._last)
        self._metrics_file.write(json.dumps(line) + "\n")
        self._tracker.log(line, now)
        self._last = metrics.mark(now, stats, tally)
        self._tokens_per_s = line["output_tokens_per_s"]

    def parting(self) -> str:
        """What is safe and what to type, for the message of a run that ends early."""
        return parting(self._job, self._standing, self._tally.num_rows)

    @contextlib.contextmanager
    def publishing(self) -> Iterator[Callable[[Iterable[Any]], Iterator[Any]]]:
        """Show how far publishing is; gives what is to be put around the parts read for it."""
        began, num_rows = self._clock.now(), self._standing.num_rows

        def counted(parts: Iterable[Any]) -> Iterator[Any]:
            num_read = 0
            for part in parts:
                yield part
                num_read += part.num_rows
                elapsed_s = self._clock.now() - began
                left_s = elapsed_s * (num_rows - num_read) / num_read
                bar.update(
                    num_read / num_rows, left_s, f"publishing {num_read:,}/{num_rows:,} rows"
                )

        with self._console.progress() as bar:
            yield counted
        self._timeline.publish_s = self._clock.now() - began

    def finish(self, totals: metrics.Totals, first_results: list[Result]) -> Summary:
        """Write summary.json, the sample table, and the last lines on screen."""
        job, facts = self._job, self._facts
        figures = metrics.summarize(totals, self._tally, self._timeline)
        figures["num_engine_restarts"] = self._num_restarts
        figures["attempt"] = int(self._attempt_dir.name)
        if facts:
            figures["engine"] = {
                "name": facts.name,
                "version": facts.version,
                "max_num_seqs": facts.max_num_seqs,
                "max_model_len": facts.max_model_len,
                "sampling": facts.sampling,
                "sampling_notes": facts.sampling_notes,
                **facts.details,
            }
        figures["output_path"] = str(job.output_path)
        texts = preview_prompts(job.prompts, len(first_results))
        write_json(self._attempt_dir / "summary.json", figures)
        write_json(job.run_dir / "summary.json", figures)
        self._tracker.table(*table_of(first_results, texts, job.settings))
        self._console.result(preview_text(first_results[:NUM_PREVIEW_ROWS], texts))
        self._console.result(closing_lines(figures, job))
        return summary_of(job, totals, figures)


def num_preview_rows(settings: Settings) -> int:
    return max(NUM_PREVIEW_ROWS, settings.tracking.num_table_rows)


def parting(job: Job, standing: Standing, num_more: int = 0) -> str:
    """What is on disk and the command that goes on, for the message of a run that ends early."""
    num_done = standing.num_rows - standing.num_owed + num_more
    return (
        f"{num_done:,} of {standing.num_rows:,} rows are finished and on disk in {job.run_dir}; "
        f"to go on: {resume_command(job.argv, job)}"
    )


def summary_of(job: Job, totals: metrics.Totals, figures: dict[str, Any]) -> Summary:
    return Summary(
        job.run_dir,
        job.output_path,
        totals.num_rows,
        totals.num_failed,
        totals.num_samples,
        figures,
    )


def finished_before(job: Job, totals: metrics.Totals, console: Console) -> Summary:
    """Tell of a run that owes nothing and stands published."""
    failed = f", {totals.num_failed:,} of them failed" if totals.num_failed else ""
    console.result(
        f"finished already: {totals.num_rows:,} rows{failed}, {totals.num_samples:,} samples; "
        "nothing is owed, no engine was started\n"
        f"output  {job.output_path}\nrun     {job.run_dir}"
    )
    if totals.num_failed and not job.settings.retry_failed:
        console.note("note: retry_failed=true tries the failed rows again")
    return summary_of(job, totals, read_json(job.run_dir / "summary.json") or {})


def hints(job: Job, facts: EngineFacts) -> Iterator[str]:
    """What a user may not have meant, or not know, before it costs a night."""
    data = job.settings.data
    first = next(iter(job.prompts)).content
    as_they_are = data.apply_chat_template is Template.auto and data.prompt_format.name == "auto"
    if isinstance(first, str) and as_they_are and facts.has_chat_template:
        yield (
            "strings go to the model as they are, though it has a chat template; to ask them as "
            "user messages, type data.apply_chat_template=always"
        )
    busy = job.machine.load_average / job.machine.num_cpus
    if facts.name == "vllm" and job.device is Device.cpu and busy > 1.2:
        yield (
            f"the machine is busy (load {job.machine.load_average:.1f} on {job.machine.num_cpus} "
            "cores); the CPU engine may run several times slower"
        )


def preview_prompts(prompts: Prompts, count: int) -> list[str]:
    """The first prompts as text, for people."""
    texts = []
    for prompt, _ in zip(prompts, range(count), strict=False):
        content = prompt.content
        if isinstance(content, list):
            content = " / ".join(f"{m['role']}: {m['content']}" for m in content)
        texts.append(content if content is not None else "")
    return texts


def table_of(
    results: list[Result], texts: list[str], settings: Settings
) -> tuple[list[str], list[list[Any]]]:
    rows = [
        [r.row, texts[r.index], i, s.text, s.finish_reason, s.num_tokens]
        for r in results[: settings.tracking.num_table_rows]
        for i, s in enumerate(r.samples)
    ]
    names = ["row", "prompt", "sample_index", "response", "finish_reason", "num_response_tokens"]
    return names, rows


def preview_text(results: list[Result], texts: list[str], responses: int = 2) -> str:
    """Some prompts with their first responses, a line each, safe to print."""
    width = max(40, shutil.get_terminal_size((100, 24)).columns - 6)
    lines = []
    for result in results:
        lines.append(one_line(texts[result.index], width))
        if result.error:
            lines.append(f"   ! row {result.row}: {one_line(result.error, width)}")
        for sample in result.samples[:responses]:
            lines.append(f"   > {one_line(sample.text, width) or '(empty)'}")
    return "\n".join(lines) + "\n"


def one_line(text: str, width: int) -> str:
    """Untrusted text on one line: no control characters, cut at `width`."""
    cut = text[: 4 * width]
    flat = "".join(c if c.isprintable() else " " for c in " ".join(cut.split()))
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def closing_lines(figures: dict[str, Any], job: Job) -> str:
    def number(key: str) -> str:
        return "n/a" if figures[key] is None else f"{figures[key]:,.0f}"

    failed = figures["num_failed"]
    counts = f"{figures['num_rows']:,} rows, {figures['num_samples']:,} samples"
    if figures["num_generated_samples"] != figures["num_samples"]:
        counts += f" ({figures['num_generated_samples']:,} of them in this attempt)"
    parts = [
        f"{counts} in {duration(figures['generate_s'])} (load {duration(figures['load_s'])}): "
        f"{number('output_tokens_per_s')} output tokens/s, "
        f"{number('total_tokens_per_s')} total tokens/s"
    ]
    if figures["truncated_fraction"]:
        parts.append(f"{figures['truncated_fraction']:.0%} truncated at max_tokens")
    if figures["empty_fraction"]:
        parts.append(f"{figures['empty_fraction']:.0%} empty")
    if failed:
        kept = "left out" if job.settings.data.on_error is OnError.skip else "see column error"
        parts.append(f"{failed:,} rows failed ({kept})")
    return "\n".join(
        (
            "; ".join(parts),
            f"output  {job.output_path}",
            f"run     {job.run_dir}",
        )
    )


def open_tracker(job: Job, console: Console) -> tracking.Tracker:
    settings = job.settings
    tracker = tracking.open_tracker(
        settings.tracking,
        job.run_dir,
        config.to_plain(settings),
        group=settings.tracking.group,
        say=console.note,
    )
    if tracker.line:
        console.note(tracker.line)
    return tracker
