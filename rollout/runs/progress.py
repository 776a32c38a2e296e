"""Report a run: progress bar, metrics.jsonl and tracker while it runs, summary.json at its end.

Owns the clock of a run. Must not know about engines, beyond their facts and counters.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.engines.base import EngineFacts, EngineStats, Sampler
from rollout.errors import EngineError
from rollout.plan import history
from rollout.rows.prompt import Prompt
from rollout.rows.result import Result
from rollout.runs import metrics
from rollout.runs.display import Figures, TokenRates, sample_lines
from rollout.runs.hints import hints
from rollout.runs.job import Job
from rollout.runs.outlook import outlook_of
from rollout.runs.pace import Paces
from rollout.runs.preview import NUM_PREVIEW_ROWS, print_preview
from rollout.runs.record import about_run
from rollout.runs.standing import Standing
from rollout.runs.summary import (
    Summary,
    closing_lines,
    how_to_resume,
    replica_lines,
    summary_of,
)
from rollout.runs.tally import Tally
from rollout.runs.timeline import Timeline, mark, overlap
from rollout.runs.tracking import Tracker
from rollout.store.counts import Totals
from rollout.system.console import Console
from rollout.system.disk import write_json
from rollout.system.formats import strict_json
from rollout.system.status import Status
from rollout.system.terminal import MAX_COLUMNS, duration

LOOK_S = 0.1  # between two readings of the engine's counters

if TYPE_CHECKING:
    from rollout.postprocess.postprocess import Scored


class Clock:
    """Seconds since the launch."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def now(self) -> float:
        return time.monotonic() - self._start


class Report:
    """The reports of one attempt: bar, metrics.jsonl, tracker, summary."""

    def __init__(
        self,
        job: Job,
        console: Console,
        tracker: Tracker,
        clock: Clock,
        standing: Standing,
        attempt_dir: Path,
    ):
        self._job, self._console, self._tracker, self._clock = job, console, tracker, clock
        self._standing, self._attempt_dir = standing, attempt_dir
        self.tally = Tally()  # what this attempt finished
        self._timeline = Timeline()
        self._facts: EngineFacts | None = None
        self._rates, self._paces = TokenRates(), Paces()
        self._status: Status | None = None  # what is shown
        self._prompts: dict[int, Prompt] | None = {} if console.is_live else None  # in flight
        self._last_row: tuple[Prompt, Result] | None = None  # that finished with a response
        self._looked_at = 0.0
        self._num_restarts = 0
        self._shown = contextlib.ExitStack()  # the bar and metrics.jsonl, while they are open
        self.num_sharing = 1  # runs that share the engine, this one included
        self.num_beside = 0  # other engines, or sets of replicas, on the same host

    def engine_is_up(
        self,
        facts: EngineFacts,
        sampler: Sampler,
        load_s: float,
        steps: Sequence[str],
        waited_s: float,
        replica: str,
    ) -> None:
        """Report the attempt's first engine, a further one, or the replacement of one that died.

        `load_s` is 0 if it was already loaded; `steps` are settings lowered to save memory;
        no engine was up for `waited_s` before. `replica` names it; empty if it is the only one.
        """
        self._steps = list(steps)
        is_first, self._facts, self._sampler = self._facts is None, facts, sampler
        now = self._clock.now()
        if is_first:
            self._timeline.load = now - waited_s, now
        elif waited_s:
            self._timeline.reloads.append((now - waited_s, now))
        since = f"after {duration(waited_s or load_s)}" if load_s else "already"
        where = f" on {facts.where}" if facts.where else ""
        what = f"{facts.name} {facts.version}"
        who, what = (replica, f" ({what})") if replica else (what, "")
        self._console.note(
            f"{who} is up{where} {since}{what}: max_num_seqs={facts.max_num_seqs} "
            f"max_model_len={facts.max_model_len}"
        )
        if not is_first:
            return
        values = " ".join(f"{k}={v}" for k, v in sampler.sampling.items())
        notes = f" ({'; '.join(sampler.notes)})" if sampler.notes else ""
        self._console.note(f"sampling: {values}{notes}")
        for hint in hints(self._job, facts):
            self._console.note(f"note: {hint}")

    def capacity_is(self, max_num_seqs: int, num_gpus: int) -> None:
        """Note what the engines that are up can do together, whenever another one is."""
        self._timeline.max_num_seqs = max_num_seqs
        self._timeline.num_gpus = max(num_gpus, self._timeline.num_gpus)

    def engine_died(self, death: EngineError, what: str, replica: str) -> None:
        """Report a death; `replica` names the one that is loaded again; empty if it is the only."""
        self._num_restarts += 1
        which = f"{replica}: " if replica else ""
        again = "a new one is loaded" if replica else "loading it again"
        self._console.note(f"{which}{death}; {again}: {what}")

    def row_begins(self, prompt: Prompt) -> None:
        """Count a row that goes to the engine."""
        self.tally.num_begun += 1
        if self._prompts is not None:
            self._prompts[prompt.index] = prompt

    def begin(self, stats: Callable[..., EngineStats]) -> None:
        """Start to show progress; `stats(fresh=False)` returns the engine's current counters."""
        self._stats = stats
        counted = stats()
        self._timeline.is_shared = self.num_sharing > 1
        self._last = self._timeline.begin = mark(self._clock.now(), counted, self.tally)
        self._rates.add(self._last.at_s, counted.num_output_tokens)
        n_samples = self._job.settings.sampling.n_samples
        self._num_samples_before = self._standing.num_samples_done(n_samples)
        path = self._attempt_dir / "metrics.jsonl"
        self._metrics_file = self._shown.enter_context(path.open("a", buffering=1))
        self._bar = self._shown.enter_context(self._console.progress(stays=True))

    def end(self) -> None:
        """Stop showing progress: no more rows will come."""
        with self._shown:
            self._mark_end()

    def _mark_end(self) -> None:
        """Set the `end` mark: the last row is in, or no more will come."""
        if self.has_begun and self._timeline.end is None:
            now, stats = self._clock.now(), self._stats(fresh=True)
            self._timeline.weigh(stats)
            self._timeline.end = mark(now, stats, self.tally)
            self._write_metrics(now, stats)
            self._show(now, stats)

    def turn(self, finished: list[Result], source_dry: bool) -> None:
        """Count finished rows; every LOOK_S, update the bar and the metrics."""
        for result in finished:
            self.tally.add(result, self._job.settings.model.reasoning_tags)
            prompt = self._prompts.pop(result.index, None) if self._prompts else None
            if prompt and result.samples:
                self._last_row = prompt, result
        if self.tally.num_rows == self._standing.num_owed:
            self._mark_end()
            return
        now = self._clock.now()
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at, stats = now, self._stats()
        self._timeline.weigh(stats)
        self._timeline.observe(now, stats, self.tally, source_dry)
        if now - self._last.at_s >= self._job.settings.tracking.interval_s:
            self._write_metrics(now, stats)
        self._show(now, stats)

    def _show(self, now: float, stats: EngineStats) -> None:
        standing, num_owed = self._standing, self._standing.num_owed
        begin_s = self._timeline.begin.at_s
        elapsed_s = now - begin_s - overlap(self._timeline.reloads, (begin_s, now))
        self._paces.add(elapsed_s, stats)
        outlook = outlook_of(
            self.tally, stats, self._paces.now, num_owed, standing.samples_per_owed_row,
            self.longest_response,
        )  # fmt: skip
        num_samples = self._num_samples_before + self.tally.num_samples
        num_done = standing.num_rows - num_owed
        fraction = (num_done + outlook.fraction * num_owed) / standing.num_rows
        self._rates.add(now, stats.num_output_tokens)
        is_shared = self._timeline.is_shared  # then only tokens of finished rows are known
        figures = Figures(
            self.num_rows_done,
            standing.num_rows,
            num_samples + stats.num_ended_in_flight,
            standing.num_rows * self._job.settings.sampling.n_samples,
            replace(outlook, fraction=fraction),
            None if is_shared else self._rates.now,
            self._rates.average if self.tally.num_output_tokens or not is_shared else None,
            stats,
            self.tally.signs_so_far,
            self._timeline.num_gpus,
        )
        self._status = figures.status(sample_lines(*self._last_row) if self._last_row else ())
        self._bar.update(self._status)

    @property
    def longest_response(self) -> int:
        """The most tokens that a response may have; known once the engine is up."""
        return self._job.settings.sampling.token_limit or self._facts.max_model_len

    def note_progress(self) -> None:
        """Print the progress, on SIGUSR1."""
        now = duration(self._clock.now())
        line = f"{self.num_rows_done:,}/{self._standing.num_rows:,} rows; the engine is loading"
        if self._status:
            line = self._status.line(MAX_COLUMNS).lstrip()
        self._console.note(f"after {now}: {line}")

    def _write_metrics(self, now: float, stats: EngineStats) -> None:
        line = metrics.live(self._timeline, now, self.tally, stats, self._last)
        self._metrics_file.write(strict_json.dumps(line) + "\n")
        self._tracker.log(line, now)
        self._last = mark(now, stats, self.tally)

    @property
    def num_gpus(self) -> int:
        return self._timeline.num_gpus

    @property
    def has_begun(self) -> bool:
        """Whether an engine was loaded and rows were submitted."""
        return self._timeline.begin is not None

    @property
    def num_rows_done(self) -> int:
        """Complete rows, those of earlier attempts included."""
        return self._standing.num_rows - self._standing.num_owed + self.tally.num_rows

    def how_to_resume(self) -> str:
        """Return what is on disk and what to type, for a run that ends early."""
        return how_to_resume(self._job, self._standing, self.tally.num_rows)

    @contextlib.contextmanager
    def publishing(self) -> Iterator[Callable[[Iterable[Any]], Iterator[Any]]]:
        """Show the progress of publishing; yield a wrapper for the parts that are read."""
        began, num_rows = self._clock.now(), self._standing.num_rows

        def counted(parts: Iterable[Any]) -> Iterator[Any]:
            num_read = 0
            for part in parts:
                yield part
                num_read += part.num_rows
                show(num_read)

        def show(num_read: int) -> None:
            left_s = (self._clock.now() - began) * (num_rows - num_read) / num_read
            text = f"publishing {num_read:,}/{num_rows:,} rows"
            values = {"phase": "publish", "rows": num_read, "num_rows": num_rows, "text": text}
            bar.update(Status(num_read / num_rows, (text,), left_s, values=values))

        with self._console.progress() as bar:
            yield counted
            if num_rows:
                show(num_rows)  # the last part may be taken without asking for more
        self._timeline.publish = began, self._clock.now()

    @contextlib.contextmanager
    def scoring(self) -> Iterator[None]:
        """Note how long it takes to score and export the output, if that is asked for."""
        began = self._clock.now()
        yield
        if self._job.places.scoring:
            self._timeline.score = began, self._clock.now()

    def _remember_rate(self, figures: dict[str, Any]) -> None:
        """Keep this run's rate for time estimates, unless it shared its engine or had several."""
        job, rate = self._job, figures["output_tokens_per_s"]
        num_replicas = len(figures.get("replicas", ()))
        has_several = self.num_sharing > 1 or self.num_beside or num_replicas > 1
        if job.model is None or has_several or not rate:
            return
        history.record(
            history.new_record(
                machine=str(job.machine),
                model=str(job.settings.model.model_path),
                dtype=job.settings.engine.dtype,
                num_gpus=figures["num_gpus"],
                max_num_seqs=self._timeline.max_num_seqs,
                preset=str(job.settings.presets.get("engine", "custom")),
                output_tokens_per_s=rate,
                mean_response_tokens=figures["mean_response_tokens"] or 0.0,
                num_samples=figures["num_generated_samples"],
                max_tokens=self.longest_response,
            )
        )

    def finish(
        self, totals: Totals, first_results: list[Result], scored: "Scored | None" = None
    ) -> Summary:
        """Write summary.json, and print the last lines."""
        job, facts = self._job, self._facts
        figures = metrics.summarize(totals, self.tally, self._timeline)
        figures["num_engine_restarts"] = self._num_restarts
        figures["num_sharing"] = self.num_sharing
        figures["num_beside"] = self.num_beside
        figures |= metrics.of_replicas(self._timeline)
        figures["spans"] = list(self._timeline.spans())
        figures["reloads"] = [{"start_s": a, "end_s": b} for a, b in self._timeline.reloads]
        figures["wall_s"] = self._clock.now()
        figures["attempt"] = int(self._attempt_dir.name)
        if facts:
            figures["engine"] = {
                "name": facts.name,
                "version": facts.version,
                "max_num_seqs": facts.max_num_seqs,
                "max_model_len": facts.max_model_len,
                "sampling": self._sampler.sampling,
                "sampling_notes": self._sampler.notes,
                "stepped_down": self._steps,
                **facts.details,
            }
        figures |= about_run(job)
        figures["output_path"] = str(job.output_path)
        if scored:
            figures["scores"] = scored.figures
        self._remember_rate(figures)
        write_json(self._attempt_dir / "summary.json", figures)
        write_json(job.run_dir / "summary.json", figures)
        job.writer.ledger.adopt(job.run_dir / "summary.json")
        print_preview(job, first_results[:NUM_PREVIEW_ROWS], scored, self._console)
        lines = [closing_lines(figures, job)]
        if replicas := figures.get("replicas"):
            lines.append(replica_lines(replicas, figures["balance"]))
        if scored:
            lines.append(str(scored))
        self._console.summary("\n".join(lines), figures | {"run_dir": str(job.run_dir)})
        return summary_of(job, totals, figures)
