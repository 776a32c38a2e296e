"""Everything said about a run while it goes and at its end: bar, metrics.jsonl, tracker, summary.

Owns the clock of a run. Knows no engine beyond its facts and counters.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollout import config, metrics, tracking
from rollout.config import Device, OnError, Settings, Template
from rollout.console import Console, duration
from rollout.engines.base import Engine, EngineFacts, EngineStats
from rollout.job import Job
from rollout.prompts import Prompts
from rollout.records import Result
from rollout.store import write_json

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
        self.load_s = 0.0

    def now(self) -> float:
        return time.monotonic() - self._start


class Report:
    """Everything said about a run while it goes: bar, metrics.jsonl, tracker, summary."""

    def __init__(
        self, job: Job, console: Console, tracker: tracking.Tracker, clock: Clock, path: Path
    ):
        self._job, self._console, self._tracker, self._clock = job, console, tracker, clock
        self._metrics_path = path
        self._tally = metrics.Tally()
        self._timeline = metrics.Timeline()
        self._preview: list[Result] = []
        self._num_preview = max(NUM_PREVIEW_ROWS, job.settings.tracking.num_table_rows)
        self._tokens_per_s = 0.0
        self._looked_at = 0.0

    def engine_is_up(self, engine: Engine) -> None:
        facts = engine.facts
        self._engine, self._facts = engine, facts
        self._timeline.load_s = self._clock.load_s
        self._timeline.max_num_seqs = facts.max_num_seqs
        self._timeline.num_gpus = facts.num_gpus
        self._console.note(
            f"{facts.name} {facts.version} is up after {duration(self._clock.load_s)}: "
            f"max_num_seqs={facts.max_num_seqs} max_model_len={facts.max_model_len}"
        )
        values = " ".join(f"{k}={v}" for k, v in facts.sampling.items())
        notes = f" ({'; '.join(facts.sampling_notes)})" if facts.sampling_notes else ""
        self._console.note(f"sampling: {values}{notes}")
        for hint in hints(self._job, facts):
            self._console.note(f"note: {hint}")

    @contextlib.contextmanager
    def progress(self) -> Iterator[None]:
        stats = self._engine.stats()
        self._last = self._timeline.begin = metrics.mark(self._clock.now(), stats, self._tally)
        with (
            self._metrics_path.open("a", buffering=1) as self._metrics_file,
            self._console.progress() as self._bar,
        ):
            yield
            self._write_metrics(self._clock.now())
            self._show(self._clock.now(), self._engine.stats())
        end = metrics.mark(self._clock.now(), self._engine.stats(), self._tally)
        self._timeline.end = end

    def turn(self, finished: list[Result], source_dry: bool) -> None:
        for result in finished:
            self._tally.add(result)
            if result.index < self._num_preview:
                self._preview.append(result)
        now = self._clock.now()
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at, stats = now, self._engine.stats()
        self._timeline.observe(now, stats, self._tally, source_dry)
        if now - self._last.at_s >= self._job.settings.tracking.interval_s:
            self._write_metrics(now)
        self._show(now, stats)

    def _show(self, now: float, stats: EngineStats) -> None:
        """Move the bar."""
        job, tally = self._job, self._tally
        sampling, num_rows = job.settings.sampling, job.prompts.num_rows
        elapsed_s = now - self._timeline.begin.at_s
        n, max_tokens = sampling.n_samples, sampling.max_tokens
        fraction, left_s = metrics.outlook(tally, stats, elapsed_s, num_rows, n, max_tokens)
        recent = self._tokens_per_s or stats.num_output_tokens / max(elapsed_s, 0.1)
        text = f"{tally.num_rows:,}/{num_rows:,} rows x {n}  {recent:,.0f} tokens/s"
        self._bar.update(fraction, left_s, text)

    def _write_metrics(self, now: float) -> None:
        stats, tally = self._engine.stats(), self._tally
        line = metrics.live(now, tally, stats, self._last)
        self._metrics_file.write(json.dumps(line) + "\n")
        self._tracker.log(line, now)
        self._last = metrics.mark(now, stats, tally)
        self._tokens_per_s = line["output_tokens_per_s"]

    def standing(self) -> str:
        """What is safe at this moment, for the message of a run that ends early."""
        tally, job = self._tally, self._job
        return (
            f"{tally.num_rows:,} of {job.prompts.num_rows:,} rows are finished and on disk "
            f"in {job.run_dir}; going on from there is not built yet: to start over, type "
            "resume=fresh (the old directory is kept) or another run_dir="
        )

    @contextlib.contextmanager
    def publishing(self) -> Iterator[None]:
        began = self._clock.now()
        yield
        self._timeline.publish_s = self._clock.now() - began

    def finish(self) -> Summary:
        """Write summary.json, the sample table, and the last lines on screen."""
        job, tally = self._job, self._tally
        figures = metrics.summarize(tally, self._timeline)
        facts = self._facts
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
        self._preview.sort(key=lambda result: result.index)
        texts = preview_prompts(job.prompts, len(self._preview))
        write_json(job.run_dir / "summary.json", figures)
        self._tracker.table(*table_of(self._preview, texts, job.settings))
        self._console.result(preview_text(self._preview[:NUM_PREVIEW_ROWS], texts))
        self._console.result(closing_lines(figures, job))
        return Summary(
            job.run_dir,
            job.output_path,
            tally.num_rows,
            tally.num_failed,
            tally.num_samples,
            figures,
        )


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
    parts = [
        f"{figures['num_rows']:,} rows, {figures['num_samples']:,} samples in "
        f"{duration(figures['generate_s'])} (load {duration(figures['load_s'])}): "
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
